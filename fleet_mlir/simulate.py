"""Runs a compiled schedule on a model of its chip: the tool ``fleet-sim``, its results and a report of them."""

from __future__ import annotations

import html
import json
import os
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from . import tools
from .errors import FleetError

# The switches of a simulation and what they can be. One that is not given is what the schedule was compiled for.
SWITCHES: dict[str, tuple[str, ...]] = {
    "prefetch": ("on", "off"),
    "events": ("hierarchical", "flat"),
    "scheduler": ("static", "dynamic"),
    "chiplets": ("aware", "unaware"),
    "traversal": ("full_m", "m_major", "n_major"),
}

# Qwen3-8B decoding on one MI350X, from the Fleet paper (arXiv 2604.15379): batch -> ms a token and L2 hits in %
# (Table 4) of Mirage (the chiplet-unaware megakernel), of Fleet M-tile and of Fleet M-split.
PAPER: dict[int, dict[str, tuple[float, float | None]]] = {
    1: {"Mirage": (7.83, 16.4), "M-tile": (6.82, 16.9), "M-split": (6.73, 17.0)},
    2: {"Mirage": (8.51, None), "M-tile": (7.60, None), "M-split": (7.49, None)},
    4: {"Mirage": (9.10, None), "M-tile": (8.06, None), "M-split": (7.97, None)},
    8: {"Mirage": (9.83, 20.0), "M-tile": (8.59, 20.8), "M-split": (8.55, 20.8)},
    16: {"Mirage": (10.82, None), "M-tile": (9.36, None), "M-split": (9.32, None)},
    32: {"Mirage": (15.62, 38.9), "M-tile": (12.35, 51.0), "M-split": (13.37, 39.5)},
    64: {"Mirage": (24.10, 39.0), "M-tile": (18.61, 61.4), "M-split": (23.40, 47.4)},
}


def arguments(
    switches: Mapping[str, str] | None = None,
    *,
    row_tile: int = 16,
    context: int = 0,
    steps: int = 1,
    exact: bool = False,
    groups: Mapping[str, int] | None = None,
    parameters: Mapping[str, float] | None = None,
) -> list[str]:
    """The arguments of ``fleet-sim`` for some options.

    ``switches``: values of :data:`SWITCHES`. ``row_tile``: rows of a tile where the traversal is not ``full_m``.
    ``context``: positions that the rows attend to, 0 for all that the caches have. ``steps``: how many to run; the
    last is reported. ``exact``: caches of lines in sets. ``groups``: tiles of a body that make one piece of work.
    ``parameters``: values instead of the chip's. Raises FleetError for a switch or a value that does not exist.
    """
    result = []
    for name, value in (switches or {}).items():
        if name not in SWITCHES:
            raise FleetError(f"unknown switch {name}: the switches are {', '.join(SWITCHES)}")
        if value not in SWITCHES[name]:
            raise FleetError(f"unknown value {value} of the switch {name}: expected {' or '.join(SWITCHES[name])}")
        result.append(f"--{name}={ {'on': 'true', 'off': 'false'}.get(value, value) }".replace(" ", ""))
    result += [f"--row-tile={row_tile}", f"--context={context}", f"--steps={steps}"]
    if exact:
        result.append("--exact")
    if groups:
        result.append("--group=" + ",".join(f"{body}:{count}" for body, count in groups.items()))
    result += [f"--parameter={name}={value!r}" for name, value in (parameters or {}).items()]
    return result


def simulate(text: str, *, trace: str | os.PathLike[str] | None = None, **options: Any) -> dict[str, Any]:
    """Simulate a module of phase ``schedule`` or ``kernel``; the result as ``fleet-sim --json`` prints it (times in microseconds).

    ``trace``: a file to write for Perfetto. Other options are those of :func:`arguments`. Raises FleetError with the
    tool's sentence where the module is in another phase or a body does what the simulator does not know.
    """
    extra = [f"--trace={os.fspath(trace)}"] if trace else []
    return json.loads(tools.run("fleet-sim", ["--json", *extra, *arguments(**options)], text))


def stamps_of(work: Any, offset: int, entries: int, *, tick_ns: float, clock: str = "worker") -> dict[str, Any]:
    """What :func:`measured` reads, from the bytes of a work arena: ``entries`` rows of 4 int64 at ``offset``.

    A kernel leaves them there when its driver was given ``stamps`` (the manifest says ``stamps``: the offset). work: what
    gives bytes. tick_ns: nanoseconds of a count, as 1 / 1.98 of a clock at 1.98 GHz.
    """
    bytes_of = memoryview(work).cast("B")[offset : offset + 32 * entries]
    if len(bytes_of) != 32 * entries:
        raise FleetError(f"expected {32 * entries} bytes of stamps at offset {offset}, found {len(bytes_of)}")
    counts = memoryview(bytes(bytes_of)).cast("q")
    return {"tick_ns": tick_ns, "clock": clock, "stamps": [list(counts[i : i + 4]) for i in range(0, 4 * entries, 4)]}


def measured(
    text: str, stamps: str | os.PathLike[str], *, trace: str | os.PathLike[str] | None = None, context: int = 0
) -> dict[str, Any]:
    """What a kernel has measured, as :func:`simulate` gives a simulation; ``measured`` is true and bytes are 0.

    text: the module of phase ``schedule`` or ``kernel`` that the kernel was made of. stamps: a file of JSON with
    ``stamps``, four times of each queue entry (taken, waited for its events, computed, signalled) in the order of the
    queues, ``tick_ns``, nanoseconds of a unit of them, and ``clock``: ``common`` to all workers, or ``worker``, when
    each counts from a zero of its own and all are taken to begin together. Raises FleetError where they do not fit.
    """
    extra = [f"--trace={os.fspath(trace)}"] if trace else []
    return json.loads(
        tools.run("fleet-sim", ["--json", f"--stamps={os.fspath(stamps)}", f"--context={context}", *extra], text)
    )


def measured_text(model: Mapping[str, Any], measured: Mapping[str, Any]) -> str:
    """A simulation beside a measurement, body by body, as a table: times in microseconds.

    ``a task``: the longest entry of a device task, mean over the tasks. ``runs`` and ``waits``: mean over all entries.
    """
    head = ["body", "tasks", "a task", "measured", "error", "runs", "measured", "waits", "measured"]
    rows = []
    for name, m in sorted(measured["bodies"].items(), key=lambda item: -item[1]["longest_us"]):
        s = model["bodies"][name]
        pairs = [
            (of["longest_us"] / of["tasks"], of["run_us"] / of["entries"], of["wait_us"] / of["entries"])
            for of in (s, m)
        ]
        (a, b, c), (x, y, z) = pairs
        rows.append(
            [
                name,
                str(m["tasks"]),
                f"{a:.2f}",
                f"{x:.2f}",
                _error(a, x),
                f"{b:.2f}",
                f"{y:.2f}",
                f"{c:.2f}",
                f"{z:.2f}",
            ]
        )
    a, x = model["step_us"], measured["step_us"]
    rows.append(["step", "", f"{a:.1f}", f"{x:.1f}", _error(a, x), "", "", "", ""])
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in [head, *rows]
    )


def _error(model: float, measured: float) -> str:
    return f"{100 * (model / measured - 1):+.1f} %" if measured else "-"


def ablate(text: str, **options: Any) -> list[dict[str, Any]]:
    """Turn each switch off alone, then all of them: a row each, ``without`` names it; the first is without nothing."""
    return json.loads(tools.run("fleet-sim", ["--json", "--ablate", *arguments(**options)], text))


def spans(trace: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The spans of a trace: dicts with ``name``, ``cat``, ``tid`` (the worker), ``ts`` and ``dur`` in microseconds."""
    events = json.loads(Path(trace).read_text())["traceEvents"]
    return [event for event in events if event["ph"] == "X"]


def text_of(result: Mapping[str, Any]) -> str:
    """A result as a few lines for people."""
    data, target, path = result["bytes"], result["target"], result["critical_path"]
    mean, step = result["mean_worker_us"], result["step_us"]
    lines = [
        f"target          {target['name']}, {target['chiplets']} x {target['workers']} workers",
        f"step            {step:,.1f} us; the floor by HBM is {result['floor_us']['hbm']:,.1f} us",
        f"HBM             {data['hbm_read'] / 1e6:,.1f} MB read, {data['hbm_read'] / max(1, data['compulsory']):.4f} x compulsory",
        f"L2              {100 * result['l2_hit_rate']:.1f} % hits of {data['l2_requested'] / 1e6:,.1f} MB",
        f"signals         {result['counts']['signals']:,}, {result['counts']['device_signals']:,} of them to the device; "
        f"{result['counts']['exchanges']:,} exchanges, {result['counts']['write_backs']:,} write backs",
        "mean worker     " + ", ".join(f"{name} {100 * value / max(step, 1e-9):.1f} %" for name, value in mean.items()),
        f"critical path   {len(path['tasks'])} tasks, {path['exchanges']} exchanges: "
        + ", ".join(f"{name} {path[name + '_us']:,.1f} us" for name in ("compute", "bandwidth", "activations", "event")),
    ]  # fmt: skip
    return "\n".join(lines)


# What each idea of the scheduler is without: switches of the compiler.
IDEAS: dict[str, str] = {
    "prefetch": "prefetch=off",
    "hierarchical events": "events=flat",
    "chiplet binding": "chiplets=unaware,binding=off",
    "traversal": "traversal=n_major",
    "partition": "partition=columns",
    "static queues": "scheduler=dynamic",
}
# The paper's own choice: one dealer a chiplet, columns cut over chiplets, the tiles of a column together.
PAPER_SWITCHES = "scheduler=dynamic,partition=columns,binding=off,traversal=m_major,prefetch=off"


def ablate_ideas(
    text: str, *, progress: Callable[[Mapping[str, Any]], None] = lambda row: None, **options: Any
) -> list[dict[str, Any]]:
    """Compile a module that is not cut yet (raw, or of phase ``import`` or ``tasks``) without one idea of :data:`IDEAS` each, with one alone,
    with none and with the paper's choice, and simulate each.

    A row for each: ``name``, ``schedule`` (the switches), ``step_us``, ``hbm`` (read over compulsory bytes), and for a
    layer ``exchanges``, ``device_signals`` and ``arrivals`` (all signals). ``progress`` gets each row when it is there;
    ``options`` are those of :func:`arguments`. Raises FleetError as the compiler and :func:`simulate` do.
    """
    from .compiler import from_text

    everything = ",".join(IDEAS.values())
    cases = [("all ideas", "")]
    cases += [(f"without {name}", off) for name, off in IDEAS.items()]
    cases += [(f"{name} alone", ",".join(off for other, off in IDEAS.items() if other != name)) for name in IDEAS]
    cases += [("none of them", everything), ("the paper's choice", PAPER_SWITCHES)]
    rows = []
    for name, schedule in cases:
        result = simulate(str(from_text(text, compile_to="schedule", schedule=schedule or None)), **options)
        layers, counts, data = max(1, result["layers"]), result["counts"], result["bytes"]
        row = {
            "name": name,
            "schedule": schedule,
            "step_us": result["step_us"],
            "hbm": data["hbm_read"] / max(1, data["compulsory"]),
            "exchanges": counts["exchanges"] / layers,
            "device_signals": counts["device_signals"] / layers,
            "arrivals": counts["signals"] / layers,
        }
        rows.append(row)
        progress(row)
    return rows


def ideas_line(row: Mapping[str, Any] | None = None) -> str:
    """A row of :func:`ablate_ideas` as a line, or the line above the first."""
    if row is None:
        return f"{'':<30}{'step ms':>9}{'HBM':>9}{'exchanges':>11}{'device signals':>16}{'arrivals':>10}\n{'':<39}{'/ least':>9}{'a layer':>11}{'a layer':>16}{'a layer':>10}"
    return (
        f"{row['name']:<30}{row['step_us'] / 1000:>9.3f}{row['hbm']:>8.4f}x{row['exchanges']:>11.2f}"
        f"{row['device_signals']:>16.1f}{row['arrivals']:>10,.0f}"
    )


def ablation_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """An ablation as a table."""
    lines = [f"{'without':<24}{'step us':>10}{'against':>9}{'L2 hits':>9}{'HBM MB':>11}{'signals':>10}"]
    for row in rows:
        lines.append(
            f"{row['without']:<24}{row['step_us']:>10.1f}{row['step_us'] / rows[0]['step_us']:>8.2f}x"
            f"{100 * row['l2_hit_rate']:>8.1f}%{row['hbm_read'] / 1e6:>11.1f}{row['signals']:>10}"
        )
    return "\n".join(lines)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{''.join(f'<th>{html.escape(h)}</th>' for h in head)}</tr>{cells}</table>"


def _summary(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    data, counts = result["bytes"], result["counts"]
    return [
        ("step", f"{result['step_us'] / 1000:.3f} ms"),
        ("floor by HBM", f"{result['floor_us']['hbm'] / 1000:.3f} ms"),
        ("floor by matrix units", f"{result['floor_us']['matrix'] / 1000:.3f} ms"),
        ("HBM read", f"{data['hbm_read'] / 1e6:,.1f} MB"),
        ("HBM read / compulsory", f"{data['hbm_read'] / max(1, data['compulsory']):.4f}"),
        ("L2 misses", f"{data['l2_missed'] / 1e6:,.1f} MB"),
        ("L2 hits", f"{100 * result['l2_hit_rate']:.1f} %"),
        ("MALL hits", f"{100 * result['mall_hit_rate']:.1f} %"),
        ("cu tasks", f"{counts['cu_tasks']:,}"),
        ("signals", f"{counts['signals']:,}"),
        (
            "signals to the device a layer",
            f"{counts['device_signals'] / result['layers']:,.1f}" if result["layers"] else "-",
        ),
        ("exchanges a layer", f"{counts['exchanges'] / result['layers']:,.2f}" if result["layers"] else "-"),
        ("write backs", f"{counts['write_backs']:,}"),
        ("exchanges on the critical path", str(result["critical_path"]["exchanges"])),
    ]


def _origin(result: Mapping[str, Any], against: Mapping[str, Any] | None) -> str:
    if against is not None and against["measured"]:
        return "The first of each pair is simulated, the second is what a kernel has measured."
    return "Simulated times, none of them measured."


def _how(result: Mapping[str, Any]) -> str:
    if result["measured"]:
        return "measured"
    return ", ".join(
        f"{name} {'on' if value is True else 'off' if value is False else value}"
        for name, value in result["options"].items()
    )


def report(
    result: Mapping[str, Any],
    timeline: Sequence[Mapping[str, Any]] = (),
    *,
    title: str = "Fleet simulation",
    against: Mapping[str, Any] | None = None,
    against_timeline: Sequence[Mapping[str, Any]] = (),
    batch: int | None = None,
) -> str:
    """One HTML page without any reference to other files: timeline, roofline, stalls, comparisons, parameters.

    ``timeline``: what :func:`spans` gives. ``against``: another result to compare with, simulated or measured, and
    ``against_timeline`` its spans. ``batch``: the paper's row for this batch of Qwen3-8B, if it has one; None leaves
    the paper out.
    """
    names: dict[str, int] = {}

    def packed(timeline: Sequence[Mapping[str, Any]]) -> list[list[float]]:
        kinds = [span["name"] if span["cat"] == "task" else span["cat"] for span in timeline]
        return [
            [span["tid"], names.setdefault(kind, len(names)), round(span["ts"], 2), round(span["dur"], 2)]
            for span, kind in zip(timeline, kinds, strict=True)
        ]

    shown = [(result, timeline), *([(against, against_timeline)] if against is not None else [])]
    views = [
        {
            "spans": packed(its),
            "workers": [[worker[name] for name in one["mean_worker_us"]] for worker in one["workers"]],
            "step": one["step_us"],
            "title": _how(one),
        }
        for one, its in shown
    ]
    data = {
        "views": views,
        "names": list(names),
        "stalls": [name for name in result["mean_worker_us"]],
        "perChiplet": result["target"]["workers"],
        "step": result["step_us"],
        "flops": result["flops"],
        "bytes": result["bytes"]["hbm_read"],
        "gbs": result["target"]["hbm_gbs"] * result["parameters"]["hbm_efficiency"]["value"],
        "gflops": result["parameters"]["matrix_gflops"]["value"] * len(result["workers"]),
    }
    head, rows = ["", _how(result)], [[name, value] for name, value in _summary(result)]
    if against is not None:
        head.append(_how(against))
        for row, (_, value) in zip(rows, _summary(against), strict=True):
            row.append(value)
    if against is not None and against["measured"]:
        rows = [row for row in rows if row[0] in ("step", "cu tasks")]  # nothing else is measured
    parts = [
        f"<h1>{html.escape(title)}</h1>",
        f"<p>{html.escape(text_of(result).splitlines()[0].removeprefix('target').strip())}, {result['layers']} layers, "
        f"{result['rows']} rows a step. {_origin(result, against)}</p>",
        "<h2>Figures</h2>" + _table(head, rows),
    ]
    paper = PAPER.get(batch) if batch is not None else None
    if paper:
        gbs = 8000.0
        body = [["this schedule", f"{result['step_us'] / 1000:.2f}", f"{100 * result['l2_hit_rate']:.1f}", "simulated"]]
        body += [
            [f"paper, {name}", f"{ms:.2f}", "-" if hits is None else f"{hits:.1f}", "measured on an MI350X"]
            for name, (ms, hits) in paper.items()
        ]
        body.append(
            [
                f"all bytes at {gbs:,.0f} GB/s",
                f"{result['bytes']['compulsory'] / gbs / 1e6:.2f}",
                "-",
                "no schedule is faster",
            ]
        )
        parts.append(
            f"<h2>Qwen3-8B at batch {batch}, against the paper</h2>" + _table(["", "ms a token", "L2 hits %", ""], body)
        )
    if against is not None and against["measured"]:
        lines = [re.split(r"  +", line.strip()) for line in measured_text(result, against).splitlines()]
        parts.append("<h2>Bodies, against the measurement, us</h2>" + _table(lines[0], lines[1:]))
    several = [(i, html.escape(view["title"]) if len(views) > 1 else "") for i, view in enumerate(views)]
    parts += [
        '<h2>Roofline</h2><div id="roofline"></div>',
        '<h2>Where a worker\'s time goes</h2><div id="legend2" class="legend"></div>',
        *(f'<p>{title}</p><canvas class="stalls" data-view="{i}" height="220"></canvas>' for i, title in several),
        '<h2>Timeline</h2><p>A row is a worker. Turn the wheel to zoom, drag to move, point at a task to see it.</p>'
        '<div id="legend" class="legend"></div>',
        *(
            f'<p>{title}</p><canvas class="timeline" data-view="{i}" height="520"></canvas><p class="hint" id="hint{i}">&nbsp;</p>'
            for i, title in several
        ),
        "<h2>Critical path</h2>" + _table(
            ["part", "us"],
            [[name.removesuffix("_us"), f"{value:,.1f}"] for name, value in result["critical_path"].items() if name.endswith("_us")],
        ),
        "<h2>Time of bodies</h2>" + _table(
            ["body", "device tasks", "first start to last end, us, summed"],
            [[name, str(b["tasks"]), f"{b['span_us']:,.1f}"] for name, b in sorted(result["bodies"].items())],
        ),
        "<h2>Parameters</h2>" + _table(
            ["name", "value", "unit", "origin", "source"],
            [[name, f"{p['value']:g}", p["unit"], p["origin"], p["source"]] for name, p in result["parameters"].items()],
        ),
    ]  # fmt: skip
    script = _SCRIPT.replace("__DATA__", json.dumps(data, separators=(",", ":")).replace("</", "<\\/"))
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body>{''.join(parts)}<script>{script}</script></body></html>\n"
    )


_STYLE = """
body{font:14px/1.5 system-ui,sans-serif;margin:2em auto;max-width:1200px;padding:0 1em;color:#1d2733;background:#fff}
h1{font-size:1.6em}h2{font-size:1.15em;margin-top:2em}table{border-collapse:collapse}
td,th{padding:.2em .9em .2em 0;text-align:left;border-bottom:1px solid #dde3ea;vertical-align:top}
canvas{width:100%;display:block;border:1px solid #dde3ea}.legend span{margin-right:1.2em;white-space:nowrap}
.legend i{display:inline-block;width:.9em;height:.9em;margin-right:.4em;vertical-align:-.1em}
"""

_SCRIPT = r"""
const D=__DATA__;
const fixed={dispatch:'#b8860b',wait:'#e4e7eb',signal:'#9467bd'};
const wheel=['#1f77b4','#2ca02c','#ff7f0e','#17becf','#8c564b','#bcbd22','#e377c2','#5574a6','#3b7a57','#d2691e','#6a5acd','#708090'];
const colours=D.names.map((n,i)=>fixed[n]||wheel[i%wheel.length]);
const stallColours={compute:'#2ca02c',bandwidth:'#1f77b4',activations:'#17becf',dependency:'#d62728',signal:'#9467bd',dispatch:'#b8860b',idle:'#e4e7eb'};
const byId=id=>document.getElementById(id);
function legend(id,names,colour){byId(id).innerHTML=names.map((n,i)=>`<span><i style="background:${colour(n,i)}"></i>${n}</span>`).join('');}
function size(c){const r=devicePixelRatio||1;c.width=c.clientWidth*r;c.height=c.getAttribute('data-h')*r;const g=c.getContext('2d');g.setTransform(r,0,0,r,0,0);return [g,c.clientWidth,+c.getAttribute('data-h')];}
for(const c of document.querySelectorAll('canvas')){c.setAttribute('data-h',c.height);c.style.height=c.height+'px';}
legend('legend',D.names,(n,i)=>colours[i]);legend('legend2',D.stalls,n=>stallColours[n]);
function drawStalls(c){const V=D.views[+c.dataset.view],[g,w,h]=size(c);g.clearRect(0,0,w,h);const n=V.workers.length,bar=w/n;
 V.workers.forEach((times,i)=>{let y=h;times.forEach((t,k)=>{const d=t/V.step*h;g.fillStyle=stallColours[D.stalls[k]];g.fillRect(i*bar,y-d,Math.max(bar-(bar>3?1:0),.5),d);y-=d;});});
 g.fillStyle='#1d2733';for(let i=D.perChiplet;i<n;i+=D.perChiplet)g.fillRect(i*bar-.5,0,1,h);}
// All timelines show the same time.
const whole=Math.max(...D.views.map(V=>V.step));let from=0,to=whole;
for(const V of D.views){V.rows=V.workers.map(()=>[]);for(const s of V.spans)V.rows[s[0]].push(s);}
function drawTimeline(c){const i=+c.dataset.view,V=D.views[i],[g,w,h]=size(c);g.clearRect(0,0,w,h);const n=V.rows.length,row=h/n,x=t=>(t-from)/(to-from)*w;
 V.rows.forEach((list,i)=>{let lo=0,hi=list.length;while(lo<hi){const m=(lo+hi)>>1;if(list[m][2]+list[m][3]<from)lo=m+1;else hi=m;}
  for(let k=lo;k<list.length&&list[k][2]<=to;++k){const s=list[k];g.fillStyle=colours[s[1]];g.fillRect(x(s[2]),i*row,Math.max(s[3]/(to-from)*w,.3),Math.max(row-(row>3?1:0),.6));}});
 byId('hint'+i).textContent=`${from.toFixed(1)} to ${to.toFixed(1)} us of ${V.step.toFixed(1)} us`;}
const timelines=[...document.querySelectorAll('canvas.timeline')],drawTimelines=()=>timelines.forEach(drawTimeline);
let grip=null;addEventListener('mouseup',()=>grip=null);
for(const view of timelines){
 view.addEventListener('wheel',e=>{e.preventDefault();const f=e.offsetX/view.clientWidth,at=from+f*(to-from),k=e.deltaY>0?1.25:.8,span=Math.min(whole,Math.max(.05,(to-from)*k));
  from=Math.max(0,Math.min(whole-span,at-f*span));to=from+span;drawTimelines();},{passive:false});
 view.addEventListener('mousedown',e=>grip=e.clientX);
 view.addEventListener('mousemove',e=>{if(grip!==null){const span=to-from,d=(grip-e.clientX)/view.clientWidth*span;grip=e.clientX;from=Math.max(0,Math.min(whole-span,from+d));to=from+span;drawTimelines();return;}
  const i=+view.dataset.view,rows=D.views[i].rows,worker=Math.min(rows.length-1,Math.floor(e.offsetY/view.clientHeight*rows.length)),at=from+e.offsetX/view.clientWidth*(to-from);
  const s=(rows[worker]||[]).find(s=>s[2]<=at&&at<=s[2]+s[3]);if(s)byId('hint'+i).textContent=`chiplet ${Math.floor(worker/D.perChiplet)} worker ${worker%D.perChiplet}: ${D.names[s[1]]} from ${s[2].toFixed(2)} for ${s[3].toFixed(2)} us`;});}
function drawRoofline(){const W=700,H=300,L=70,B=40,ridge=D.gflops/D.gbs,ai=D.flops/Math.max(D.bytes,1),got=D.flops/Math.max(D.step,1e-9)/1e3,roof=Math.min(D.gflops,ai*D.gbs);
 const lo=Math.log10(Math.min(ai,ridge)/20),hi=Math.log10(Math.max(ai,ridge)*20),top=Math.log10(D.gflops*3),low=Math.log10(Math.max(Math.min(got,roof)/30,1e-3));
 const X=v=>L+(Math.log10(v)-lo)/(hi-lo)*(W-L-10),Y=v=>10+(top-Math.log10(v))/(top-low)*(H-B-10),a=10**lo,b=10**hi;
 let s=`<svg width="${W}" height="${H}" viewBox="0 0 ${W} ${H}" style="max-width:100%" font-size="12" fill="#1d2733"><line x1="${L}" y1="${H-B}" x2="${W}" y2="${H-B}" stroke="#888"/><line x1="${L}" y1="10" x2="${L}" y2="${H-B}" stroke="#888"/>`;
 s+=`<polyline fill="none" stroke="#1f77b4" stroke-width="2" points="${X(a)},${Y(Math.max(a*D.gbs,10**low))} ${X(ridge)},${Y(D.gflops)} ${X(b)},${Y(D.gflops)}"/>`;
 if(got>0)s+=`<line x1="${X(ai)}" y1="${Y(roof)}" x2="${X(ai)}" y2="${Y(got)}" stroke="#d62728" stroke-dasharray="4 3"/><circle cx="${X(ai)}" cy="${Y(got)}" r="5" fill="#d62728"/><text id="gap" x="${X(ai)+10}" y="${Y(got)+4}">${got.toFixed(0)} GFLOP/s, ${(100*got/roof).toFixed(1)} % of the limit at ${ai.toFixed(2)} FLOP/byte</text>`;
 s+=`<text x="${L+5}" y="22">GFLOP/s: roof ${D.gflops.toFixed(0)}, ${D.gbs.toFixed(0)} GB/s</text><text x="${W/2}" y="${H-12}">FLOP per HBM byte, both axes logarithmic</text></svg>`;byId('roofline').innerHTML=s;}
function drawAll(){drawRoofline();document.querySelectorAll('canvas.stalls').forEach(drawStalls);drawTimelines();}
addEventListener('resize',drawAll);drawAll();document.body.setAttribute('data-drawn','yes');
"""


def parse_switches(text: str) -> dict[str, str]:
    """``name=value,name=value`` as a dict for :func:`arguments`; raises FleetError where it is not of that form."""
    result = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if not equals:
            raise FleetError(f"expected SWITCH=VALUE, found {part!r}")
        result[name.strip()] = value.strip()
    return result


def parse_parameters(texts: Sequence[str]) -> dict[str, float]:
    """``name=number`` of each as a dict for :func:`arguments`; raises FleetError where it is not of that form."""
    result = {}
    for text in texts:
        name, _, value = text.partition("=")
        try:
            result[name] = float(value)
        except ValueError:
            raise FleetError(f"expected NAME=NUMBER, found {text!r}") from None
    return result


def schedule_of(path: str | os.PathLike[str]) -> str:
    """The text of a module's file; raises FleetError if it cannot be read."""
    try:
        return Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise FleetError(f"cannot read {os.fspath(path)}: {getattr(error, 'strerror', None) or 'not text'}") from None


def with_spans(
    text: str,
    *,
    keep: str | os.PathLike[str] | None = None,
    stamps: str | os.PathLike[str] | None = None,
    **options: Any,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """:func:`simulate`, or :func:`measured` of ``stamps``, together with the spans of its trace, which is written to
    ``keep`` if given."""
    with tempfile.TemporaryDirectory(prefix="fleet-") as folder:
        path = Path(keep) if keep else Path(folder) / "trace.json"
        if stamps:
            result = measured(text, stamps, trace=path, context=options.get("context", 0))
        else:
            result = simulate(text, trace=path, **options)
        return result, spans(path)

"""Runs a compiled schedule on a model of its chip: the tool ``fleet-sim``, its results and a report of them."""

from __future__ import annotations

import html
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import tools
from .errors import FleetError

# The switches of a simulation and what they can be; the first value is the compiled schedule's own.
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
        f"signals         {result['counts']['signals']:,}, {result['counts']['write_backs']:,} write backs",
        "mean worker     " + ", ".join(f"{name} {100 * value / max(step, 1e-9):.1f} %" for name, value in mean.items()),
        f"critical path   {len(path['tasks'])} tasks, {path['exchanges']} exchanges: "
        + ", ".join(f"{name} {path[name + '_us']:,.1f} us" for name in ("compute", "bandwidth", "activations", "event")),
    ]  # fmt: skip
    return "\n".join(lines)


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
        ("signals a layer", f"{counts['signals'] / result['layers']:,.0f}" if result["layers"] else "-"),
        ("write backs", f"{counts['write_backs']:,}"),
        ("exchanges on the critical path", str(result["critical_path"]["exchanges"])),
    ]


def _how(result: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {'on' if value is True else 'off' if value is False else value}" for name, value in result["options"].items())


def report(
    result: Mapping[str, Any],
    timeline: Sequence[Mapping[str, Any]] = (),
    *,
    title: str = "Fleet simulation",
    against: Mapping[str, Any] | None = None,
    batch: int | None = None,
) -> str:
    """One HTML page without any reference to other files: timeline, roofline, stalls, comparisons, parameters.

    ``timeline``: what :func:`spans` gives. ``against``: another result to compare with. ``batch``: the paper's row
    for this batch of Qwen3-8B, if it has one; None leaves the paper out.
    """
    names: dict[str, int] = {}
    packed = []
    for span in timeline:
        kind = span["name"] if span["cat"] == "task" else span["cat"]
        packed.append([span["tid"], names.setdefault(kind, len(names)), round(span["ts"], 2), round(span["dur"], 2)])
    data = {
        "spans": packed,
        "names": list(names),
        "stalls": [name for name in result["mean_worker_us"]],
        "workers": [[worker[name] for name in result["mean_worker_us"]] for worker in result["workers"]],
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
    parts = [
        f"<h1>{html.escape(title)}</h1>",
        f"<p>{html.escape(text_of(result).splitlines()[0].removeprefix('target').strip())}, {result['layers']} layers, "
        f"{result['rows']} rows a step. Simulated times, none of them measured.</p>",
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
        body.append([f"all bytes at {gbs:,.0f} GB/s", f"{result['bytes']['compulsory'] / gbs / 1e6:.2f}", "-", "no schedule is faster"])
        parts.append(f"<h2>Qwen3-8B at batch {batch}, against the paper</h2>" + _table(["", "ms a token", "L2 hits %", ""], body))
    parts += [
        '<h2>Roofline</h2><div id="roofline"></div>',
        '<h2>Where a worker\'s time goes</h2><div id="legend2" class="legend"></div><canvas id="stalls" height="220"></canvas>',
        '<h2>Timeline</h2><p>A row is a worker. Turn the wheel to zoom, drag to move, point at a task to see it.</p>'
        '<div id="legend" class="legend"></div><canvas id="timeline" height="520"></canvas><p id="hint">&nbsp;</p>',
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
function drawStalls(){const [g,w,h]=size(byId('stalls'));g.clearRect(0,0,w,h);const n=D.workers.length,bar=w/n;
 D.workers.forEach((times,i)=>{let y=h;times.forEach((t,k)=>{const d=t/D.step*h;g.fillStyle=stallColours[D.stalls[k]];g.fillRect(i*bar,y-d,Math.max(bar-(bar>3?1:0),.5),d);y-=d;});});
 g.fillStyle='#1d2733';for(let i=D.perChiplet;i<n;i+=D.perChiplet)g.fillRect(i*bar-.5,0,1,h);}
let from=0,to=D.step;
const rows=D.workers.map(()=>[]);for(const s of D.spans)rows[s[0]].push(s);
function drawTimeline(){const [g,w,h]=size(byId('timeline'));g.clearRect(0,0,w,h);const n=rows.length,row=h/n,x=t=>(t-from)/(to-from)*w;
 rows.forEach((list,i)=>{let lo=0,hi=list.length;while(lo<hi){const m=(lo+hi)>>1;if(list[m][2]+list[m][3]<from)lo=m+1;else hi=m;}
  for(let k=lo;k<list.length&&list[k][2]<=to;++k){const s=list[k];g.fillStyle=colours[s[1]];g.fillRect(x(s[2]),i*row,Math.max(s[3]/(to-from)*w,.3),Math.max(row-(row>3?1:0),.6));}});
 byId('hint').textContent=`${from.toFixed(1)} to ${to.toFixed(1)} us of ${D.step.toFixed(1)} us`;}
const view=byId('timeline');
view.addEventListener('wheel',e=>{e.preventDefault();const f=e.offsetX/view.clientWidth,at=from+f*(to-from),k=e.deltaY>0?1.25:.8,span=Math.min(D.step,Math.max(.05,(to-from)*k));
 from=Math.max(0,Math.min(D.step-span,at-f*span));to=from+span;drawTimeline();},{passive:false});
let grip=null;view.addEventListener('mousedown',e=>grip=e.clientX);addEventListener('mouseup',()=>grip=null);
view.addEventListener('mousemove',e=>{if(grip!==null){const span=to-from,d=(grip-e.clientX)/view.clientWidth*span;grip=e.clientX;from=Math.max(0,Math.min(D.step-span,from+d));to=from+span;drawTimeline();return;}
 const worker=Math.min(rows.length-1,Math.floor(e.offsetY/view.clientHeight*rows.length)),at=from+e.offsetX/view.clientWidth*(to-from);
 const s=(rows[worker]||[]).find(s=>s[2]<=at&&at<=s[2]+s[3]);if(s)byId('hint').textContent=`chiplet ${Math.floor(worker/D.perChiplet)} worker ${worker%D.perChiplet}: ${D.names[s[1]]} from ${s[2].toFixed(2)} for ${s[3].toFixed(2)} us`;});
function drawRoofline(){const W=700,H=300,L=70,B=40,ridge=D.gflops/D.gbs,ai=D.flops/Math.max(D.bytes,1),got=D.flops/Math.max(D.step,1e-9)/1e3,roof=Math.min(D.gflops,ai*D.gbs);
 const lo=Math.log10(Math.min(ai,ridge)/20),hi=Math.log10(Math.max(ai,ridge)*20),top=Math.log10(D.gflops*3),low=Math.log10(Math.max(Math.min(got,roof)/30,1e-3));
 const X=v=>L+(Math.log10(v)-lo)/(hi-lo)*(W-L-10),Y=v=>10+(top-Math.log10(v))/(top-low)*(H-B-10),a=10**lo,b=10**hi;
 let s=`<svg width="${W}" height="${H}" viewBox="0 0 ${W} ${H}" style="max-width:100%" font-size="12" fill="#1d2733"><line x1="${L}" y1="${H-B}" x2="${W}" y2="${H-B}" stroke="#888"/><line x1="${L}" y1="10" x2="${L}" y2="${H-B}" stroke="#888"/>`;
 s+=`<polyline fill="none" stroke="#1f77b4" stroke-width="2" points="${X(a)},${Y(Math.max(a*D.gbs,10**low))} ${X(ridge)},${Y(D.gflops)} ${X(b)},${Y(D.gflops)}"/>`;
 if(got>0)s+=`<line x1="${X(ai)}" y1="${Y(roof)}" x2="${X(ai)}" y2="${Y(got)}" stroke="#d62728" stroke-dasharray="4 3"/><circle cx="${X(ai)}" cy="${Y(got)}" r="5" fill="#d62728"/><text id="gap" x="${X(ai)+10}" y="${Y(got)+4}">${got.toFixed(0)} GFLOP/s, ${(100*got/roof).toFixed(1)} % of the limit at ${ai.toFixed(2)} FLOP/byte</text>`;
 s+=`<text x="${L+5}" y="22">GFLOP/s: roof ${D.gflops.toFixed(0)}, ${D.gbs.toFixed(0)} GB/s</text><text x="${W/2}" y="${H-12}">FLOP per HBM byte, both axes logarithmic</text></svg>`;byId('roofline').innerHTML=s;}
function drawAll(){drawRoofline();drawStalls();drawTimeline();}
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
    text: str, *, keep: str | os.PathLike[str] | None = None, **options: Any
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """:func:`simulate` together with the spans of its trace, which is written to ``keep`` if given."""
    with tempfile.TemporaryDirectory(prefix="fleet-") as folder:
        path = Path(keep) if keep else Path(folder) / "trace.json"
        result = simulate(text, trace=path, **options)
        return result, spans(path)

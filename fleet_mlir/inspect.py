"""Tables about a compiled model: tasks, events, signals and bytes of each phase."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

# Per layer of Qwen3-8B at batch 1, unaware of chiplets -> Fleet: arXiv 2604.15379.
PAPER = {"tasks": (1407, 543), "signals": (25200, 1830)}

_OP = re.compile(r"^\s*(?:%[\w:, %]+ = )?(?:\")?(fleet\.[a-z_]+)", re.MULTILINE)
_WAITS = re.compile(r"fleet\.task .*? waits \[([^\]]*)\]")
_BODY = re.compile(r"\b(?:fleet\.body|fleet\.body = )")
_TABLE = re.compile(r"@(device_tasks|cu_tasks|waits|arrivals|queues)\b.*?: memref<(\d+)(?:x(\d+))?xi32")
_CHIP = re.compile(r"chiplets = (\d+)(?:.*?)workers = (\d+)")


def count_phase(text: str) -> dict[str, Any]:
    """Counts of one module's text."""
    ops = Counter(match.group(1) for match in _OP.finditer(text))
    waits = sum(len(m.group(1).split(",")) for m in _WAITS.finditer(text) if m.group(1).strip())
    row: dict[str, Any] = {
        "device tasks": ops["fleet.task"],
        "chiplet tasks": ops["fleet.chiplet_task"],
        "cu tasks": ops["fleet.cu_task"],
        "waits": waits,
        "bodies": len(_BODY.findall(text)),
        "kB": round(len(text) / 1000),
    }
    for name, rows, _ in _TABLE.findall(text):
        key = {"device_tasks": "device tasks", "cu_tasks": "cu tasks", "waits": "waits"}.get(name)
        if key:
            row[key] = int(rows)
    return row


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table of text: first column left, the rest right."""
    cells = [[str(c) for c in header], *([_show(c) for c in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    lines = []
    for row in cells:
        first, *rest = (cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True)))
        lines.append("  ".join([first, *rest]).rstrip())
    lines.insert(1, "  ".join("-" * w for w in widths))
    return "\n".join(lines)


def _show(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return "-"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.1f}"
    return str(value)


def phases_table(texts: Mapping[str, str]) -> str:
    """One row a phase."""
    rows, header = [], None
    for phase, text in texts.items():
        counts = count_phase(text)
        header = header or ["phase", *counts]
        rows.append([phase, *counts.values()])
    return table(header or ["phase"], rows)


def stats_table(stats: Mapping[str, Any], layers: int) -> str:
    """Counts of a step and of a layer."""
    rows = [
        [name.replace("_", " "), value, value / layers if layers and name != "bodies" else None]
        for name, value in stats.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    ]
    return table(["count", "step", "layer"], rows)


def manifest_tables(manifest: Mapping[str, Any]) -> str:
    """What a program needs: sizes, arenas, parameters, counts."""
    head = (
        f"target {manifest.get('target_option', manifest.get('target'))}, {manifest['tokens']} rows a step,"
        f" {manifest['slots']} slots of {manifest['context']} positions, {manifest['out_rows']} rows of logits,"
        f" {manifest.get('layers', '?')} layers, {len(manifest['params'])} parameters"
    )
    arenas = table(["arena", "bytes"], list(manifest["arenas"].items()))
    parts = [head, arenas]
    if manifest.get("stats"):
        parts.append(stats_table(manifest["stats"], manifest.get("layers") or 0))
    if manifest.get("seconds"):
        parts.append(table(["compiling", "seconds"], [[k, f"{v:.2f}"] for k, v in manifest["seconds"].items()]))
    return "\n\n".join(parts)


def kernel_facts(vmfb: bytes) -> dict[str, int]:
    """What the AMD code object in a vmfb takes, as its descriptor and metadata say.

    Sizes in bytes; registers of a lane, AGPRs among the VGPRs they share a file with; waves of one workgroup a
    SIMD, and as many as the registers would allow.
    """
    from .cdna.codeobject import CodeObject
    from .cdna.machine import MAX_WAVES_PER_SIMD, SIMDS, VGPR_FILE, WAVE
    from .gpu import code_object

    data = code_object(vmfb)
    parsed = CodeObject(data)
    (kernel,) = parsed.kernels.values()
    known = kernel.metadata
    return {
        "code object": len(data),
        "instructions": parsed.text[1] - parsed.text[0],
        "VGPRs": known[".vgpr_count"] - known[".agpr_count"],
        "AGPRs": known[".agpr_count"],
        "SGPRs": known[".sgpr_count"],
        "LDS": kernel.lds,
        "scratch": kernel.scratch,
        "spilled VGPRs": known[".vgpr_spill_count"],
        "spilled SGPRs": known[".sgpr_spill_count"],
        "waves a SIMD": -(-known[".max_flat_workgroup_size"] // (WAVE * SIMDS)),
        "waves a SIMD, by registers": min(MAX_WAVES_PER_SIMD, VGPR_FILE // kernel.total_vgprs),
    }


def stats_of_text(text: str) -> dict[str, int]:
    """Counts from the text of a scheduled module, whose manifest has none yet."""
    counts = count_phase(text)
    names = {"device_tasks": "device tasks", "chiplet_tasks": "chiplet tasks", "cu_tasks": "cu tasks"}
    stats = {name: counts[key] for name, key in names.items() if counts[key]}
    if "cu_tasks" in stats:
        stats["signals"] = stats["cu_tasks"] + _device_signals(text)
    return stats


def _device_signals(text: str) -> int:
    """Signals to the device of a scheduled module: of each chiplet, for each task that is waited for there, and the last."""
    chiplets: list[set[str]] = []
    waited, has_own = set(), False
    for match in re.finditer(r"fleet\.task (\d+) |waits \[([^\]]*)\](?: chiplet_waits \[)?|fleet\.chiplet_task on (\d+)", text):
        if match.group(1) is not None:
            chiplets.append(set())
        elif match.group(3) is not None:
            chiplets[-1].add(match.group(3))
        else:
            has_own |= "chiplet_waits" in match.group(0)
            waited |= {int(n) for n in match.group(2).split(",") if n.strip()}
    tells = [not has_own or number in waited or number == len(chiplets) - 1 for number in range(len(chiplets))]
    return sum(len(of) for of, told in zip(chiplets, tells, strict=True) if told)


def compare_paper(stats: Mapping[str, Any], layers: int) -> str:
    """Our tasks and signals a layer beside the paper's Qwen3-8B, each row with what it counts.

    A cu task signals once, to the counter of its chiplet; the last one of a chiplet signals once more, to the device.
    Without that level every cu task would signal the device.
    """
    counts = [stats.get(name) for name in ("cu_tasks", "chiplet_tasks", "device_tasks")]
    if not layers or not all(counts):
        return "no counts: compile to the phase schedule or kernel"
    cu, chiplet, device = (count / layers for count in counts)
    signals_here = stats.get("signals", counts[0] + counts[1]) / layers
    (flat_tasks, tasks), (flat_signals, signals) = PAPER["tasks"], PAPER["signals"]
    rows = [
        ["tasks, one worker each (here: cu tasks)", flat_tasks, None, cu],
        ["tasks, one chiplet each (here: chiplet tasks)", None, tasks, chiplet],
        ["tasks, the whole device (here: device tasks)", None, None, device],
        ["signals, if every worker's task told the device", flat_signals, None, cu],
        ["signals, on both levels", None, signals, signals_here],
        ["- of these inside one chiplet", None, None, cu],
        ["- of these to the device, with one write-back of an L2", None, None, signals_here - cu],
    ]
    notes = [
        "a layer: the counts of the whole step, embedding and head too, over its layers; a signal here: one atomic add to a counter",
        "paper: arXiv 2604.15379, Qwen3-8B at batch 1 on 8 chiplets, the tasks and signals of its own runtime and tile sizes",
    ]
    return "\n".join([table(["a layer", "paper, no chiplets", "paper, Fleet", "here"], rows), *notes])

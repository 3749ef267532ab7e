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


def stats_of_text(text: str) -> dict[str, int]:
    """Counts from the text of a scheduled module, for a manifest that has none.

    A device task is signalled once by each cu task (local counter) and once by each chiplet (device counter);
    flat: every cu task signals the device counter of the task to each worker that waits for it.
    """
    counts = count_phase(text)
    cu, chiplet, device = counts["cu tasks"], counts["chiplet tasks"], counts["device tasks"]
    if not cu or not chiplet:
        return {}
    return {"device_tasks": device, "chiplet_tasks": chiplet, "cu_tasks": cu, "signals": cu + chiplet}


def compare_paper(stats: Mapping[str, Any], layers: int) -> str:
    """Our tasks and signals a layer beside the paper's Qwen3-8B."""
    if not stats or not layers:
        return "no counts: compile to the phase schedule or further"
    flat_tasks, our_tasks = stats.get("cu_tasks"), stats.get("chiplet_tasks", stats.get("device_tasks"))
    rows = [
        ["tasks, each worker's own (paper: Mirage)", PAPER["tasks"][0], flat_tasks / layers if flat_tasks else None],
        ["tasks, chiplet tasks (paper: Fleet)", PAPER["tasks"][1], our_tasks / layers if our_tasks else None],
        ["signals, flat (paper: Mirage)", PAPER["signals"][0],
         stats["signals_flat"] / layers if stats.get("signals_flat") else None],
        ["signals, hierarchical (paper: Fleet)", PAPER["signals"][1],
         stats["signals"] / layers if stats.get("signals") else None],
    ]  # fmt: skip
    return table(["a layer", "paper, Qwen3-8B", "here"], rows)

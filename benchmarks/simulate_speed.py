"""What compiling and simulating a schedule costs: Qwen3-8B on gfx950 with more layers, then with more chiplets.

Seconds of one core: ``schedule`` are the compiler's phases from ``import`` to ``schedule``, ``simulate`` is ``fleet-sim``.
The last column is its cost a layer or a chiplet, over that of the first row: 1 is linear. Run:
``python benchmarks/simulate_speed.py``.
"""

from __future__ import annotations

import resource
import time

from fleet_mlir import simulate
from fleet_mlir.compiler import compile as compile_model
from fleet_mlir.compiler import from_text
from fleet_mlir.known import config_of

LAYERS = (8, 16, 32, 64)
CHIPLETS = (4, 8, 16, 32, 64)


def cost(layers: int, chiplets: int) -> tuple[int, float, float]:
    """Queue entries, seconds to schedule and processor seconds to simulate a step of batch 1."""
    target = f"gfx950:{chiplets}x32"
    config = config_of("qwen3-8b")
    config.num_hidden_layers, config.layer_types = layers, ["full_attention"] * layers
    raw = compile_model(config, target, tokens=1, slots=1, context=1024, out_rows=1, cache=False, compile_to="import")
    begin = time.process_time() + children()
    text = str(from_text(str(raw), compile_to="schedule"))
    scheduled, before = time.process_time() + children() - begin, children()
    entries = simulate.simulate(text)["counts"]["cu_tasks"]
    return entries, scheduled, children() - before


def children() -> float:
    """Processor seconds of the tools that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    print(f"{'layers':>7}{'chiplets':>9}{'entries':>10}{'schedule s':>12}{'simulate s':>12}{'over linear':>13}")
    for cases in ([(layers, 8) for layers in LAYERS], [(36, chiplets) for chiplets in CHIPLETS]):
        first = 0.0
        for layers, chiplets in cases:
            entries, scheduled, simulated = cost(layers, chiplets)
            each = simulated / (layers if cases[0][1] == cases[-1][1] else chiplets)
            first = first or each
            print(
                f"{layers:>7}{chiplets:>9}{entries:>10,}{scheduled:>12.1f}{simulated:>12.1f}{each / first:>13.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()

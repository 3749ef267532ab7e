"""What compiling and simulating a schedule costs: Qwen3-8B on gfx950 with more rows, more layers, more chiplets.

Seconds of one core: ``schedule`` are the compiler's phases from ``import`` to ``schedule``, ``simulate`` is ``fleet-sim``.
The last column is its cost a layer or a chiplet, over that of the first row: 1 is linear. Run:
``python benchmarks/simulate_speed.py``; ``batches``, ``layers`` or ``chiplets`` after it runs one table alone.
"""

from __future__ import annotations

import resource
import sys
import time

from fleet_mlir import simulate
from fleet_mlir.compiler import compile as compile_model
from fleet_mlir.compiler import from_text
from fleet_mlir.known import config_of

BATCHES = (1, 8, 32, 64, 128)
LAYERS = (8, 16, 32, 64)
CHIPLETS = (4, 8, 16, 32, 64)


def cost(layers: int, chiplets: int, batch: int = 1) -> tuple[int, float, float]:
    """Queue entries, seconds to schedule and processor seconds to simulate a step of `batch` rows."""
    target = f"gfx950:{chiplets}x32"
    config = config_of("qwen3-8b")
    config.num_hidden_layers, config.layer_types = layers, ["full_attention"] * layers
    raw = compile_model(
        config, target, tokens=batch, slots=batch, context=1024, out_rows=batch, cache=False, compile_to="import"
    )
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
    tables = {
        "batches": [(36, 8, batch) for batch in BATCHES],
        "layers": [(layers, 8, 1) for layers in LAYERS],
        "chiplets": [(36, chiplets, 1) for chiplets in CHIPLETS],
    }
    print(
        f"{'batch':>6}{'layers':>7}{'chiplets':>9}{'entries':>10}{'schedule s':>12}{'simulate s':>12}{'over linear':>13}"
    )
    for table in sys.argv[1:] or tables:
        first = 0.0
        for layers, chiplets, batch in tables[table]:
            entries, scheduled, simulated = cost(layers, chiplets, batch)
            each = simulated / {"batches": 1, "layers": layers, "chiplets": chiplets}[table]
            first = first or each
            over = "" if table == "batches" else f"{each / first:.2f}"
            print(
                f"{batch:>6}{layers:>7}{chiplets:>9}{entries:>10,}{scheduled:>12.1f}{simulated:>12.1f}{over:>13}",
                flush=True,
            )


if __name__ == "__main__":
    main()

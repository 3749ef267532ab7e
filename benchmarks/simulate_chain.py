"""The simulator against a measured chain: Qwen3-8B's matrices at batch 1 in one persistent kernel on an H200.

A stage reads the whole result of the stage before it, weights stream through a ring of 11 slots of 16 KB, a unit is 2
result columns. Measured (medians of 40 launches; a barrier is a counter in L2): milliseconds by exchanges a layer, with
weights fetched across the barriers and without. Run: ``python benchmarks/simulate_chain.py [NAME=VALUE ...]``, with parameters
of the simulator.
"""

from __future__ import annotations

import itertools
import sys

from fleet_mlir import simulate

# Exchanges a layer: (columns, contracted rows) of its stages, measured ms with prefetch, without.
LAYERS = {
    5: ([(6144, 4096), (512, 4096), (4096, 4096), (24576, 4096), (4096, 12288)], 3.79, 4.17),
    4: ([(6656, 4096), (4096, 4096), (24576, 4096), (4096, 12288)], 3.69, 4.07),
    2: ([(10752, 4096), (36864, 4096)], 3.55, 3.78),
}
WORKERS, LDS, SLOT = 132, 11 * 16384 + 4096 + 64, 16384
HBM = "#fleet.mem<hbm>"


def body(columns: int, rows: int) -> str:
    """One stage: the activation is read once, then units of 2 columns."""
    x, out, w = f"memref<1x{rows}xbf16, {HBM}>", f"memref<1x{columns}xbf16, {HBM}>", f"memref<{columns // 2}x{rows}x2xbf16, {HBM}>"
    local, tile = f"memref<1x{rows}xbf16, #fleet.mem<lds>>", f"memref<{rows}x2xbf16, strided<[2, 1], offset: ?>, {HBM}>"
    part = f"memref<1x2xbf16, strided<[{columns}, 1], offset: ?>, {HBM}>"
    return f"""
  func.func private @stage_{columns}_{rows}(%x: {x}, %w: {w}, %out: {out}, %lo: index, %hi: index, %s: memref<64xi8, #fleet.mem<lds>>)
      attributes {{fleet.body, fleet.scratch = 64 : i64}} {{
    %c2 = arith.constant 2 : index
    %own = memref.alloca() : {local}
    memref.copy %x, %own : {x} to {local}
    %first = arith.muli %lo, %c2 : index
    %last = arith.muli %hi, %c2 : index
    scf.for %i = %first to %last step %c2 {{
      %t = arith.divui %i, %c2 : index
      %wt = memref.subview %w[%t, 0, 0] [1, {rows}, 2] [1, 1, 1] : {w} to {tile}
      %o = memref.subview %out[0, %i] [1, 2] [1, 1] : {out} to {part}
      linalg.matmul ins(%own, %wt : {local}, {tile}) outs(%o : {part})
    }}
    return
  }}"""


def chain(exchanges: int) -> str:
    """The chain of 36 layers and a head as a module of phase schedule."""
    stages = [*(LAYERS[exchanges][0] * 36), (151936, 4096)]
    buffers, tasks, offset = [], [], 0
    for i, (columns, rows) in enumerate(stages):
        x, out, w = f"memref<1x{rows}xbf16, {HBM}>", f"memref<1x{columns}xbf16, {HBM}>", f"memref<{columns // 2}x{rows}x2xbf16, {HBM}>"
        # A stage reads the front of what the stage before it wrote: one of two buffers.
        buffers += [
            f'    %w{i} = fleet.buffer "params" offset {offset} : {w}',
            f'    %x{i} = fleet.buffer "work" offset {i % 2 * (1 << 20)} : {x}',
            f'    %y{i} = fleet.buffer "work" offset {(i + 1) % 2 * (1 << 20)} : {out}',
        ]
        offset += columns * rows * 2
        units = columns // 2
        cuts = [units * k // WORKERS for k in range(WORKERS + 1)]
        cus = " ".join(f"fleet.cu_task on {k} tiles {a} to {b}" for k, (a, b) in enumerate(itertools.pairwise(cuts)))
        tasks.append(
            f"    fleet.task {i} @stage_{columns}_{rows}(%x{i}, %w{i}, %y{i}) partition <columns, tiles = {units}, size = 2> "
            f"waits [{i - 1 if i else ''}] : ({x}, {w}, {out}) -> () into {{ fleet.chiplet_task on 0 tiles 0 to {units} into {{ {cus} }} }}"
        )
    queues = [f"    fleet.queue chiplet 0 worker {k} {list(range(len(stages)))}" for k in range(WORKERS)]
    bodies = "".join(body(*stage) for stage in dict.fromkeys(stages))
    return f"""module attributes {{fleet.phase = "schedule", fleet.layers = 36 : i64,
    fleet.target = #fleet.target<"sm_90a", backend = nvvm, chiplets = 1, workers = {WORKERS}, lds = {LDS},
        l2 = 52428800, hbm_gbs = 4800, tile = 2>}} {{{bodies}
  func.func @step() {{
""" + "\n".join([*buffers, *tasks, *queues]) + "\n    return\n  }\n}\n"


def main() -> None:
    # No barrier within a unit of the chain, and its tables are constants.
    parameters = {"tile_ns": 20.0, "dispatch_ns": 20.0, "slot_bytes": float(SLOT), **simulate.parse_parameters(sys.argv[1:])}
    print(f"{'exchanges':>9} {'prefetch':>8} {'measured':>9} {'simulated':>9} {'error':>7}")
    for exchanges, (_, *measured) in LAYERS.items():
        text = chain(exchanges)
        for prefetch, ms in zip(("on", "off"), measured, strict=True):
            got = simulate.simulate(text, switches={"prefetch": prefetch}, parameters=parameters)["step_us"] / 1000
            print(f"{exchanges:>9} {prefetch:>8} {ms:>9.2f} {got:>9.2f} {100 * (got / ms - 1):>6.1f}%")


if __name__ == "__main__":
    main()

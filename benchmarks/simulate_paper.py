"""The simulator against the Fleet paper: Qwen3-8B decoding on an MI350X, its M-tile kernel and the chiplet-unaware one.

The two task graphs are written out here as modules of phase ``schedule``, as the paper and its public code describe
them: contractions in tiles of 16x64x256 (rows x columns x contracted) up to 16 rows and 64x64x128 above, in a loop over
the contracted dimension of which each step loads activations and weights together, nothing ahead of its task. Tiles
load all of their rows, also those beyond the batch.

* M-tile: QKV, O and down in tiles of 16 rows whatever the batch, those of the same columns one after another, so that
  neighbouring workers read the same weights at one time; gate, up and SiLU fused, all rows in one tile; columns cut over
  the chiplets; each chiplet computes the norms for itself; attention by KV heads, one a chiplet.
* unaware: tasks go round over all workers; QKV and gate, up, SiLU have all rows in one tile; O and down cut the
  contracted dimension in 4 (64 x 4 tasks), pass over their weights once for each 16 rows and add to sums in memory;
  norms and attention are a task for each row or each (row, head).

Run: ``python benchmarks/simulate_paper.py [--batch N] [--details] [NAME=VALUE ...]``, with parameters of the simulator. It
prints each figure beside the paper's, and whether it was fitted or is predicted.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from fleet_mlir import simulate

HBM, LDS = "#fleet.mem<hbm>", "#fleet.mem<lds>"
CHIPLETS, WORKERS = 8, 32
LAYERS, HIDDEN, INTER, QKV, VOCAB = 36, 4096, 12288, 6144, 153600  # the paper's code pads the vocabulary
KV_HEADS, QUERIES, DEPTH = 8, 4, 128
# 64 tokens in and 1024 out: positions read on average.
CONTEXT = 576
SLOT = 40960  # a step of a 16x64x256 tile: 8 KB of activations and 32 KB of weights
# One set for all runs, fitted to the times of the unaware kernel and of M-tile at batch 1. The first two say how many
# loads these kernels have in flight; scheduler_ns and add_gbs, fitted here as well, are the simulator's own values.
FITTED = {"worker_gbs": 36.0, "load_bytes": 4096.0}
# HBM reads of M-tile over those of the unaware kernel, from the paper (Table 4).
PAPER_RATIO = {1: 0.98, 8: 1.00, 32: 0.82, 64: 0.63}
# What counts as agreement: share of the time, points of L2 hits, difference of the ratio.
TIME, HITS, RATIO = 0.15, 5.0, 0.08


def bf16(*shape: int, space: str = HBM, layout: str = "") -> str:
    """A memref type of bf16."""
    return f"memref<{'x'.join(map(str, shape))}xbf16{layout and ', ' + layout}, {space}>"


def strided(*strides: int) -> str:
    """The layout of a view at an offset that is not static."""
    return f"strided<[{', '.join(map(str, strides))}], offset: ?>"


class Graph:
    """A chain of device tasks, each waiting for the one before it, in the order in which a module of phase schedule lists them."""

    def __init__(self, batch: int) -> None:
        self.batch = batch
        self.bodies: dict[str, str] = {}
        self.lines: list[str] = []
        self.buffers = 0
        self.tasks = 0
        self.sizes = {"params": 0, "state": 0, "work": 0, "input": 0, "output": 0}

    def place(self, arena: str, nbytes: int) -> int:
        """Offset of new bytes in an arena."""
        offset = self.sizes[arena]
        self.sizes[arena] += -(-nbytes // 128) * 128
        return offset

    def view(self, arena: str, offset: int, kind: str) -> tuple[str, str]:
        """A buffer: its name and type."""
        name = f"%b{self.buffers}"
        self.buffers += 1
        self.lines.append(f'    {name} = fleet.buffer "{arena}" offset {offset} : {kind}')
        return name, kind

    def task(self, body: str, tiles: int, operands: list[tuple[str, str]], code: str) -> None:
        """A device task of ``tiles`` tiles. ``code`` is what a tile does, with %t the tile and %a0, %a1 ... the operands."""
        types = ", ".join(kind for _, kind in operands)
        if body not in self.bodies:
            args = ", ".join(f"%a{i}: {kind}" for i, (_, kind) in enumerate(operands))
            self.bodies[body] = f"""
  func.func private @{body}({args}, %lo: index, %hi: index, %s: memref<64xi8, {LDS}>) attributes {{fleet.body, fleet.scratch = 64 : i64}} {{
    %zero = arith.constant 0.0 : bf16
    %one = arith.constant 1 : index
    scf.for %t = %lo to %hi step %one {{
{code}
    }}
    return
  }}"""
        parts = " ".join(
            f"fleet.chiplet_task on {c} tiles {a} to {b} into {{ fleet.cu_task on 0 tiles {a} to {b} }}"
            for c, (a, b) in enumerate((tiles * c // CHIPLETS, tiles * (c + 1) // CHIPLETS) for c in range(CHIPLETS))
            if a < b
        )
        waits = f"waits [{self.tasks - 1 if self.tasks else ''}]"
        self.lines.append(
            f"    fleet.task {self.tasks} @{body}({', '.join(name for name, _ in operands)}) partition <columns, tiles = {tiles}, "
            f"size = 64> {waits} : ({types}) -> () into {{ {parts} }}"
        )
        self.tasks += 1
        self.queues = getattr(self, "queues", [[] for _ in range(CHIPLETS)])
        for c in range(CHIPLETS):
            if tiles * c // CHIPLETS < tiles * (c + 1) // CHIPLETS:
                self.queues[c].append(self.tasks - 1)

    def module(self) -> str:
        """The text."""
        queues = [f"    fleet.queue chiplet {c} worker 0 {queue}" for c, queue in enumerate(self.queues)]
        return (
            f"""module attributes {{fleet.phase = "schedule", fleet.layers = {LAYERS} : i64,
    fleet.manifest = {{inputs = {{tokens = {{shape = [{self.batch}]}}}}}},
    fleet.target = #fleet.target<"gfx950", backend = rocdl, chiplets = {CHIPLETS}, workers = {WORKERS}, lds = {2 * SLOT + 4096 + 64},
        l2 = 4194304, hbm_gbs = 8000, tile = 64>}} {{{"".join(self.bodies.values())}
  func.func @step() {{
"""
            + "\n".join([*self.lines, *queues])
            + "\n    return\n  }\n}\n"
        )


class Model:
    """The tasks of one decoding step of a batch."""

    def __init__(self, batch: int, is_tiled: bool) -> None:
        self.g = Graph(batch)
        self.batch, self.is_tiled = batch, is_tiled
        # Rows of a tile that has all of them, and rows that buffers have.
        self.block = 16 if batch <= 16 else 64
        self.rows = max(batch, self.block)
        self.copies = CHIPLETS if is_tiled else 1
        rows = self.rows
        self.at = {
            name: self.g.place("work", rows * width * nbytes)
            for name, width, nbytes in (
                ("x", HIDDEN, 2), ("normed", HIDDEN * self.copies, 2), ("qkv", QKV, 2), ("q", HIDDEN, 2), ("attended", HIDDEN, 2),
                ("inner", INTER, 2), ("sums", HIDDEN, 4), ("logits", VOCAB, 2), ("best", 240, 8),
            )
        }  # fmt: skip
        self.build()

    def gemm(self, name: str, x: str, out: str, columns: int, depth: int, *, block: int, residual: bool = False,
             split: int = 1, wide: int = 1, gated: bool = False) -> None:  # fmt: skip
        """A contraction. ``block``: rows of a tile; ``split``: parts of the contracted dimension; ``wide``: tiles of
        64 columns that a task runs one after another; ``gated``: two weights, gate and up, for each result column."""
        g, step = self.g, 256 if block == 16 else 128
        copies = self.copies if x == "normed" else 1
        # A task that has all rows passes over its weights for each block of them; M-tile makes a task of each.
        blocks = -(-self.batch // block)
        m_tiles = blocks if self.is_tiled and not gated and wide == 1 else 1
        passes = blocks // m_tiles
        steps, n_tiles = depth // step // split, columns // 64
        tiles = n_tiles // wide * m_tiles * split
        weights = n_tiles * (2 if gated else 1)
        ix, iw = bf16(copies, depth // step, self.rows, step), bf16(weights, depth // step, step, 64)
        tx, tw = bf16(block, step, layout=strided(step, 1)), bf16(step, 64, layout=strided(64, 1))
        io, to = bf16(self.rows, columns), bf16(block, 64, layout=strided(columns, 1))
        operands = [
            g.view("work", self.at[x], ix),
            g.view("params", g.place("params", weights * 64 * depth * 2), iw),
            g.view("work", self.at[out], io),
        ]
        if residual:
            operands.append(g.view("work", self.at["x"], io))
        if split > 1:
            sums = f"memref<{self.rows}x{columns}xf32, {HBM}>"
            operands.append(g.view("work", self.at["sums"], sums))
        code = f"""      %parts = arith.constant {m_tiles * split} : index
      %whole = arith.divui %t, %parts : index
      %rest = arith.remui %t, %parts : index
      %wide = arith.constant {wide} : index
      %passes = arith.constant {passes} : index
      %steps = arith.constant {steps} : index
      %nil = arith.constant 0 : index
      %c64 = arith.constant 64 : index
      %block = arith.constant {block} : index
      %group = arith.constant {max(1, tiles // CHIPLETS)} : index
      %home = arith.divui %t, %group : index
      %copy = arith.{"addi %home" if copies > 1 else "muli %nil"}, %nil : index
      %acc = memref.alloca() : memref<{block}x64xf32, {LDS}>
      %first = arith.muli %whole, %wide : index
      scf.for %nn = %nil to %wide step %one {{
        %n = arith.addi %first, %nn : index
        scf.for %mm = %nil to %passes step %one {{
          %m = arith.addi %{"rest" if m_tiles > 1 else "nil"}, %mm : index
          %row = arith.muli %m, %block : index
          %col = arith.muli %n, %c64 : index
          %start = arith.muli %{"rest" if split > 1 else "nil"}, %steps : index
"""
        for which in range(2 if gated else 1):
            code += f"""          %scale{which} = arith.constant {2 if gated else 1} : index
          %pair{which} = arith.muli %n, %scale{which} : index
          %which{which} = arith.constant {which} : index
          %wn{which} = arith.addi %pair{which}, %which{which} : index
          scf.for %k{which} = %nil to %steps step %one {{
            %ks = arith.addi %start, %k{which} : index
            %xt = memref.subview %a0[%copy, %ks, %row, 0] [1, 1, {block}, {step}] [1, 1, 1, 1] : {ix} to {tx}
            %wt = memref.subview %a1[%wn{which}, %ks, 0, 0] [1, 1, {step}, 64] [1, 1, 1, 1] : {iw} to {tw}
            linalg.matmul ins(%xt, %wt : {tx}, {tw}) outs(%acc : memref<{block}x64xf32, {LDS}>)
          }}
"""
        own = f"memref<{block}x64xbf16, {LDS}>"
        if split == 1:
            if residual:
                code += f"""          %r = memref.subview %a3[%row, %col] [{block}, 64] [1, 1] : {io} to {to}
          %own = memref.alloca() : {own}
          memref.copy %r, %own : {to} to {own}
"""
            code += f"""          %o = memref.subview %a2[%row, %col] [{block}, 64] [1, 1] : {io} to {to}
          linalg.fill ins(%zero : bf16) outs(%o : {to})
        }}
      }}"""
        else:
            # Rows of the batch are added to sums in f32. Who adds last rounds them: here the last part.
            rows, all_rows = min(block, self.batch), bf16(self.batch, 64, layout=strided(columns, 1))
            part = f"memref<{rows}x64xf32, {strided(columns, 1)}, {HBM}>"
            whole = f"memref<{self.batch}x64xf32, {strided(columns, 1)}, {HBM}>"
            mine, theirs = f"memref<{self.batch}x64xf32, {LDS}>", bf16(self.batch, 64, space=LDS)
            code += f"""          %sum = memref.subview %a4[%row, %col] [{rows}, 64] [1, 1] : {sums} to {part}
          %value = memref.alloca() : memref<{rows}x64xf32, {LDS}>
          linalg.generic {{indexing_maps = [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d0, d1)>],
              iterator_types = ["parallel", "parallel"]}} ins(%value : memref<{rows}x64xf32, {LDS}>) outs(%sum : {part}) {{
          ^bb0(%v: f32, %before: f32):
            %after = arith.addf %v, %before : f32
            linalg.yield %after : f32
          }}
        }}
        %others = arith.constant {split - 1} : index
        %last = arith.divui %rest, %others : index
        %column = arith.muli %n, %c64 : index
        scf.for %l = %nil to %last step %one {{
          %sum = memref.subview %a4[0, %column] [{self.batch}, 64] [1, 1] : {sums} to {whole}
          %mine = memref.alloca() : {mine}
          memref.copy %sum, %mine : {whole} to {mine}
          %r = memref.subview %a3[0, %column] [{self.batch}, 64] [1, 1] : {io} to {all_rows}
          %own = memref.alloca() : {theirs}
          memref.copy %r, %own : {all_rows} to {theirs}
          %o = memref.subview %a2[0, %column] [{self.batch}, 64] [1, 1] : {io} to {all_rows}
          linalg.fill ins(%zero : bf16) outs(%o : {all_rows})
        }}
      }}"""
        g.task(name, tiles, operands, code)

    def norm(self, name: str) -> None:
        """RMSNorm: each chiplet for itself and all rows, or a task for each row."""
        g, batch, row = self.g, self.batch, bf16(1, HIDDEN, layout=strided(HIDDEN, 1))
        ix, iw, io = bf16(self.rows, HIDDEN), bf16(HIDDEN), bf16(self.copies * self.rows, HIDDEN)
        operands = [
            g.view("work", self.at["x"], ix),
            g.view("params", g.place("params", HIDDEN * 2), iw),
            g.view("work", self.at["normed"], io),
        ]
        code = f"""      %nil = arith.constant 0 : index
      %rows = arith.constant {self.rows if self.is_tiled else 0} : index
      %count = arith.constant {batch if self.is_tiled else 1} : index
      %base = arith.muli %t, %rows : index
      %own = memref.alloca() : {bf16(1, HIDDEN, space=LDS)}
      scf.for %i = %nil to %count step %one {{
        %r = arith.addi %{"i" if self.is_tiled else "t"}, %nil : index
        %to = arith.addi %base, %r : index
        %x = memref.subview %a0[%r, 0] [1, {HIDDEN}] [1, 1] : {ix} to {row}
        fleet.rms_norm ins(%x, %a1 : {row}, {iw}) outs(%own : {bf16(1, HIDDEN, space=LDS)}) {{eps = 1.0e-6 : f64}}
        %o = memref.subview %a2[%to, 0] [1, {HIDDEN}] [1, 1] : {io} to {row}
        linalg.fill ins(%zero : bf16) outs(%o : {row})
      }}"""
        g.task(name, CHIPLETS if self.is_tiled else batch, operands, code)

    def attention(self) -> None:
        """Keys and values are stored, then read for each (row, KV head): one task or two."""
        g, batch = self.g, self.batch
        heads = QUERIES * DEPTH
        cache = bf16(batch, KV_HEADS, CONTEXT, DEPTH)
        size = batch * KV_HEADS * CONTEXT * DEPTH * 2
        places = [g.place("state", size), g.place("state", size)]
        strides = strided(CONTEXT * DEPTH, DEPTH, 1)
        group = (QUERIES + 2) * DEPTH
        qkv, q, out = bf16(self.rows, QKV), bf16(self.rows, HIDDEN), bf16(self.rows, HIDDEN)
        # Tile = head * batch + row on the head's chiplet, or row * heads + head.
        head, row = ("divui", "remui") if self.is_tiled else ("remui", "divui")
        where = f"""      %by = arith.constant {batch if self.is_tiled else KV_HEADS} : index
      %h = arith.{head} %t, %by : index
      %r = arith.{row} %t, %by : index
      %group = arith.constant {group} : index
      %heads = arith.constant {heads} : index
      %from = arith.muli %h, %group : index
      %to = arith.muli %h, %heads : index
"""
        store = f"""      %in = memref.subview %a0[%r, %from] [1, {group}] [1, 1] : {qkv} to {bf16(1, group, layout=strided(QKV, 1))}
      %mine = memref.alloca() : {bf16(1, group, space=LDS)}
      memref.copy %in, %mine : {bf16(1, group, layout=strided(QKV, 1))} to {bf16(1, group, space=LDS)}
"""
        for i in (1, 2):
            kind = bf16(1, 1, DEPTH, layout=strides)
            store += f"""      %new{i} = memref.subview %a{i}[%r, %h, {CONTEXT - 1}, 0] [1, 1, 1, {DEPTH}] [1, 1, 1, 1] : {cache} to {kind}
      linalg.fill ins(%zero : bf16) outs(%new{i} : {kind})
"""

        def reads(first: int) -> str:
            text = ""
            part = bf16(1, CONTEXT, DEPTH, layout=strides)
            for i in (first, first + 1):
                text += f"""      %all{i} = memref.subview %a{i}[%r, %h, 0, 0] [1, 1, {CONTEXT}, {DEPTH}] [1, 1, 1, 1] : {cache} to {part}
      %own{i} = memref.alloca() : {bf16(1, CONTEXT, DEPTH, space=LDS)}
      memref.copy %all{i}, %own{i} : {part} to {bf16(1, CONTEXT, DEPTH, space=LDS)}
"""
            return text

        def writes(i: int) -> str:
            kind = bf16(1, heads, layout=strided(HIDDEN, 1))
            return f"""      %o = memref.subview %a{i}[%r, %to] [1, {heads}] [1, 1] : {out} to {kind}
      linalg.fill ins(%zero : bf16) outs(%o : {kind})"""

        source, keys, values = g.view("work", self.at["qkv"], qkv), *(g.view("state", place, cache) for place in places)
        attended = g.view("work", self.at["attended"], out)
        if self.is_tiled:
            g.task(
                "attention", batch * KV_HEADS, [source, keys, values, attended], where + store + reads(1) + writes(3)
            )
            return
        ready = g.view("work", self.at["q"], q)
        g.task("store_cache", batch * KV_HEADS, [source, keys, values, ready], where + store + writes(3))
        kind = bf16(1, heads, layout=strided(HIDDEN, 1))
        query = f"""      %in = memref.subview %a0[%r, %to] [1, {heads}] [1, 1] : {q} to {kind}
      %mine = memref.alloca() : {bf16(1, heads, space=LDS)}
      memref.copy %in, %mine : {kind} to {bf16(1, heads, space=LDS)}
"""
        g.task("attention", batch * KV_HEADS, [ready, keys, values, attended], where + query + reads(1) + writes(3))

    def build(self) -> None:
        g, batch = self.g, self.batch
        table, x = bf16(batch, HIDDEN), bf16(batch, HIDDEN)
        g.task(
            "embed", 1, [g.view("params", g.place("params", batch * HIDDEN * 2), table), g.view("work", self.at["x"], x)],
            f"""      memref.copy %a0, %a1 : {table} to {x}""",
        )  # fmt: skip
        small = 16 if self.is_tiled else self.block
        for _ in range(LAYERS):
            self.norm("norm")
            self.gemm("qkv", "normed", "qkv", QKV, HIDDEN, block=small)
            self.attention()
            self.gemm("o", "attended", "x", HIDDEN, HIDDEN, block=16, residual=True, split=1 if self.is_tiled else 4)
            self.norm("norm")
            self.gemm("gate_up", "normed", "inner", INTER, HIDDEN, block=self.block, gated=True)
            self.gemm("down", "inner", "x", HIDDEN, INTER, block=16, residual=True, split=1 if self.is_tiled else 4)
        self.norm("norm")
        self.gemm("head", "normed", "logits", VOCAB, HIDDEN, block=self.block, wide=10)
        logits, best = bf16(self.rows, VOCAB), f"memref<{self.rows}x240xi64, {HBM}>"
        part, own = bf16(batch, VOCAB // 240, layout=strided(VOCAB, 1)), bf16(batch, VOCAB // 240, space=LDS)
        one = f"memref<{batch}x1xi64, {strided(240, 1)}, {HBM}>"
        operands = [g.view("work", self.at["logits"], logits), g.view("work", self.at["best"], best)]
        g.task("argmax_parts", 240, operands, f"""      %width = arith.constant {VOCAB // 240} : index
      %from = arith.muli %t, %width : index
      %l = memref.subview %a0[0, %from] [{batch}, {VOCAB // 240}] [1, 1] : {logits} to {part}
      %own = memref.alloca() : {own}
      memref.copy %l, %own : {part} to {own}
      %none = arith.constant 0 : i64
      %o = memref.subview %a1[0, %t] [{batch}, 1] [1, 1] : {best} to {one}
      linalg.fill ins(%none : i64) outs(%o : {one})""")  # fmt: skip
        token, mine = f"memref<{batch}xi64, {HBM}>", f"memref<{self.rows}x240xi64, {LDS}>"
        operands = [g.view("work", self.at["best"], best), g.view("output", 0, token)]
        g.task("argmax", 1, operands, f"""      %own = memref.alloca() : {mine}
      memref.copy %a0, %own : {best} to {mine}
      %none = arith.constant 0 : i64
      linalg.fill ins(%none : i64) outs(%a1 : {token})""")  # fmt: skip


def run(batch: int, is_tiled: bool, parameters: Mapping[str, float] | None = None) -> dict[str, Any]:
    """Simulate one step of ``batch`` rows; the result of :func:`fleet_mlir.simulate.simulate`.

    ``is_tiled``: the M-tile kernel, else the unaware one. ``parameters``: instead of the fitted and the chip's.
    """
    switches = {"scheduler": "dynamic"} | ({} if is_tiled else {"chiplets": "unaware", "events": "flat"})
    values = {"slot_bytes": float(SLOT), **FITTED, **(parameters or {})}
    return simulate.simulate(Model(batch, is_tiled).g.module(), switches=switches, parameters=values)


def figures(
    batch: int, unaware: Mapping[str, Any], tiled: Mapping[str, Any]
) -> list[tuple[str, str, float, float, bool, bool]]:
    """The figures of a batch: (kernel, what, paper's, simulated, is fitted, agrees)."""
    rows = []
    for kernel, result in (("unaware", unaware), ("M-tile", tiled)):
        ms, hits = simulate.PAPER[batch]["Mirage" if kernel == "unaware" else kernel]
        got = result["step_us"] / 1000
        is_fitted = kernel == "unaware" or batch == 1
        rows.append((kernel, "ms a token", ms, got, is_fitted, abs(got / ms - 1) <= TIME))
        points = 100 * result["l2_hit_rate"]
        rows.append((kernel, "L2 hits %", hits, points, False, abs(points - hits) <= HITS))
    # What the paper counts at HBM is what leaves the L2: a memory side cache stands behind its counter.
    ratio = tiled["bytes"]["l2_missed"] / unaware["bytes"]["l2_missed"]
    rows.append(("both", "reads, ratio", PAPER_RATIO[batch], ratio, False, abs(ratio - PAPER_RATIO[batch]) <= RATIO))
    return rows


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--batch", type=int, action="append", choices=PAPER_RATIO, help="default: all")
    arguments.add_argument("--details", action="store_true", help="print bytes and the mean time of each task, too")
    arguments.add_argument("parameters", nargs="*", metavar="NAME=VALUE")
    args = arguments.parse_args()
    parameters = simulate.parse_parameters(args.parameters)
    print(f"{'batch':>5} {'kernel':<8} {'figure':<13} {'paper':>7} {'here':>7}  {'':<10}")
    for batch in args.batch or PAPER_RATIO:
        results = [run(batch, is_tiled, parameters) for is_tiled in (False, True)]
        for kernel, what, paper, here, is_fitted, agrees in figures(batch, *results):
            origin = "fitted" if is_fitted else "predicted"
            print(
                f"{batch:>5} {kernel:<8} {what:<13} {paper:>7.2f} {here:>7.2f}  {origin:<10}{'' if agrees else 'DISAGREES'}".rstrip(),
                flush=True,
            )
        for result in results if args.details else ():
            data = result["bytes"]
            print(
                "      "
                + ", ".join(
                    f"{name} {data[name] / 1e9:.2f} GB"
                    for name in ("compulsory", "l2_requested", "l2_missed", "hbm_read")
                )
            )
            print(
                "      "
                + ", ".join(
                    f"{name} {body['span_us'] / body['tasks']:.1f} us" for name, body in result["bodies"].items()
                )
            )


if __name__ == "__main__":
    main()

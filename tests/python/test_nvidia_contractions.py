"""Contractions of many rows as NVIDIA's kernel computes them, lane by lane, with its ring and its producer, against numpy."""

import re
from collections.abc import Callable

import numpy as np
import pytest
from fleet_mlir.passmanager import PassManager
from lanes import Workgroup, from_bf16, to_bf16
from shared import Producer, Shared

from fleet_mlir import ir

COLUMNS, LINE, BANKS = 16, 64, 32
MODULE = """
#same = affine_map<(d0, d1) -> (d0, d1)>
#turned = affine_map<(d0, d1) -> (d1, d0)>
module attributes {{fleet.target = #fleet.target<"sm_90a", backend = nvvm, chiplets = 1, workers = 1, lds = {lds},
                                                l2 = 1, hbm_gbs = 1, tile = 16>}} {{
  gpu.module @fleet attributes {{fleet.threads = 256 : i64, fleet.lanes = 32 : i64}} {{
    memref.global "private" constant @device_tasks : memref<1x8xi32, #gpu.address_space<global>>
        = dense<[[0, 0, 0, 0, {offsets}, 0, 0]]>
    memref.global "private" constant @cu_tasks : memref<{entries}x3xi32, #gpu.address_space<global>> = dense<{cu_tasks}>
    memref.global "private" constant @queues : memref<2xi32, #gpu.address_space<global>> = dense<[0, {entries}]>
    memref.global "private" constant @arrivals : memref<1x1xi32, #gpu.address_space<global>> = dense<1>
    memref.global "private" @expired : memref<2xi32, #gpu.address_space<workgroup>> = uninitialized
    memref.global "private" @scratch : memref<{scratch}xi8, #gpu.address_space<workgroup>> = uninitialized
    func.func private @many(%all: {all}, %v: {w}, %w: {w}, %y: {y}, %lo: index, %hi: index, %scratch: {bytes}) {{
      %c0 = arith.constant 0 : index
      %c16 = arith.constant 16 : index
      %half = arith.constant {half} : index
      %begin = arith.constant {begin:f} : f32
      {views}
      {left_side}
      scf.for %i = %lo to %hi step %c16 {{
        %n = arith.divui %i, %c16 : index
        %to = memref.subview %y[0, %i] [{rows}, 16] [1, 1] : {y} to {part}
        {body}
      }}
      return
    }}
    func.func private @dispatch(%kind: index, %x: {all}, %v: {w}, %w: {w}, %y: {y}, %u: {u}, %z: {z},
                                %lo: index, %hi: index, %scratch: {bytes}) {{
      scf.index_switch %kind
      case 0 {{
        func.call @many(%x, %v, %w, %y, %lo, %hi, %scratch) : ({all}, {w}, {w}, {y}, index, index, {bytes}) -> ()
        scf.yield
      }}
      case 1 {{
        func.call @wide(%u, %v, %z, %lo, %hi) : ({u}, {w}, {z}, index, index) -> ()
        scf.yield
      }}
      default {{
      }}
      return
    }}
    func.func private @wide(%u: {u}, %v: {w}, %z: {z}, %lo: index, %hi: index) {{
      %c16 = arith.constant 16 : index
      %zero = arith.constant 0.0 : f32
      scf.for %i = %lo to %hi step %c16 {{
        %n = arith.divui %i, %c16 : index
        %a = memref.subview %v[%n, 0, 0] [1, {depth}, 16] [1, 1, 1] : {w} to {one}
        linalg.fill ins(%zero : f32) outs(%z : {z})
        linalg.matmul ins(%u, %a : {u}, {one}) outs(%z : {z})
      }}
      return
    }}
    gpu.func @fleet_step(%params: memref<{params}xi8, #gpu.address_space<global>>,
                         %state: memref<64xi8, #gpu.address_space<global>>, %work: memref<64xi8, #gpu.address_space<global>>,
                         %input: memref<64xi8, #gpu.address_space<global>>, %output: memref<64xi8, #gpu.address_space<global>>,
                         %epoch: i32, %steps: i32) kernel {{
      gpu.barrier
      gpu.return
    }}
  }}
}}
"""
TILE = """
        %{tile} = memref.subview %{of}[%n, 0, 0] [1, {depth}, 16] [1, 1, 1] : {w} to {one}
        linalg.fill ins(%begin : f32) outs({out} : {kind})
        linalg.matmul ins(%x, %{tile} : {x}, {one}) outs({out} : {kind})"""
# The second half of what is twice as deep.
SLICE = """
      %one = arith.divui %c16, %c16 : index
      %depth = arith.constant {depth} : index
      %from = arith.muli %one, %depth : index
      %x = memref.subview %all[0, %from] [{rows}, {depth}] [1, 1] : {all} to {x}"""
# silu(gate) * up.
VIEWS = """
      %s = memref.view %scratch[%c0][] : {bytes} to {kind}
      %r = memref.view %scratch[%half][] : {bytes} to {kind}"""
TEMPORARY = """
      %two = arith.addi %half, %half : index
      %t = memref.view %scratch[%two][] : {bytes} to {kind}"""
GATED = """
        {tiles}
        linalg.generic {{indexing_maps = [#same, #same, #same], iterator_types = ["parallel", "parallel"]}}
            ins(%s, %r : {kind}, {kind}) outs(%to : {part}) {{
        ^bb0(%p: f32, %q: f32, %out: f32):
          %one = arith.constant 1.0 : f32
          %minus = arith.negf %p : f32
          %power = math.exp %minus : f32
          %below = arith.addf %power, %one : f32
          %quotient = arith.divf %p, %below : f32
          %product = arith.mulf %quotient, %q : f32
          linalg.yield %product : f32
        }}"""
# gate * up + gate, in two steps with a temporary between them.
CHAINED = """
        {tiles}
        linalg.generic {{indexing_maps = [#same, #same, #same], iterator_types = ["parallel", "parallel"]}}
            ins(%s, %r : {kind}, {kind}) outs(%t : {kind}) {{
        ^bb0(%p: f32, %q: f32, %out: f32):
          %product = arith.mulf %p, %q : f32
          linalg.yield %product : f32
        }}
        linalg.generic {{indexing_maps = [#same, #same, #same], iterator_types = ["parallel", "parallel"]}}
            ins(%t, %s : {kind}, {kind}) outs(%to : {part}) {{
        ^bb0(%p: f32, %q: f32, %out: f32):
          %sum = arith.addf %p, %q : f32
          linalg.yield %sum : f32
        }}"""
PASSES = """builtin.module(gpu.module(fleet-nvgpu-stream-weights,fleet-nvgpu-lower-contractions,fleet-gpu-lower-elementwise),
    canonicalize,cse)"""


class Case:
    """`rows` x `depth` activations by tiles of 16 columns of one matrix, or of two: silu of one times the other.

    The worker has an entry of its queue for each number of `entries`, of so many tiles. `wide` says that activations
    are of f32, `wide_beside` that those of another body of the kernel are. The product is added to `begin`: what is not zero
    is not streamed. Activations stand in global memory, where warpgroups copy them, unless their memory `is_unknown`;
    those of a `slice` are a part of deeper ones. `turned` gates each tile of 16 rows by the other one's transpose,
    `chained` by two ops in a row.
    """

    def __init__(
        self,
        rows,
        depth,
        entries=(3, 2),
        *,
        wide=False,
        wide_beside=False,
        streams=1,
        begin=0.0,
        lds=176000,
        is_unknown=False,
        slice=False,
        turned=False,
        chained=False,
    ):
        random = np.random.default_rng(rows + depth)
        self.rows, self.depth, self.streams = rows, depth, streams
        self.columns = sum(entries) * COLUMNS
        x = random.standard_normal((rows, depth)).astype(np.float32)
        self.left = x if wide else to_bf16(x)
        # What the kernel is given.
        self.memory = np.concatenate([np.ones_like(self.left), self.left], 1) if slice else self.left
        self.weights = [to_bf16(random.standard_normal((depth, self.columns)) / depth**0.5) for _ in range(streams)]
        exact = (x if wide else from_bf16(self.left)).astype(np.float64)
        products = [exact @ from_bf16(weight).astype(np.float64) for weight in self.weights]
        if turned:
            products[1] = np.concatenate([tile.T for tile in np.split(products[1], sum(entries), 1)], 1)
        if streams == 2:
            gate = products[0] if chained else products[0] / (1 + np.exp(-products[0]))
            self.expected = gate * products[1] + (products[0] if chained else 0)
        else:
            self.expected = begin + products[0]
        ends = np.cumsum(entries)
        self.entries = [(int(end - count), int(end)) for end, count in zip(ends, entries, strict=True)]
        size = depth * self.columns * 2
        half = -(-rows * COLUMNS * 4 // 128) * 128
        self.scratch = (2 + chained) * half if streams == 2 else 128
        kind = f"memref<{rows}x16xf32, #gpu.address_space<workgroup>>"
        element, space = "f32" if wide else "bf16", "" if is_unknown else ", #gpu.address_space<global>"
        layout = f", strided<[{2 * depth}, 1], offset: ?>" if slice else ""
        types = {
            "depth": depth,
            "x": f"memref<{rows}x{depth}x{element}{layout}{space}>",
            "all": f"memref<{rows}x{self.memory.shape[1]}x{element}{space}>",
            "w": f"memref<{sum(entries)}x{depth}x16xbf16>",
            "one": f"memref<{depth}x16xbf16, strided<[16, 1], offset: ?>>",
            "u": f"memref<{rows}x{depth}x{'f32' if wide or wide_beside else 'bf16'}>",
            "z": f"memref<{rows}x16xf32>",
            "y": f"memref<{rows}x{self.columns}xf32>",
            "part": f"memref<{rows}x16xf32, strided<[{self.columns}, 1], offset: ?>>",
            "bytes": f"memref<{self.scratch}xi8, #gpu.address_space<workgroup>>",
        }
        if streams == 1:
            views, body = "", TILE.format(tile="a", of="v", out="%to", kind=types["part"], **types)
        else:
            tiles = [
                TILE.format(tile="a", of="v", out="%s", kind=kind, **types),
                TILE.format(tile="b", of="w", out="%r", kind=kind, **types),
            ]
            views = VIEWS.format(kind=kind, **types)
            gated = GATED.replace("[#same, #same", "[#same, #turned") if turned else GATED
            views, gated = (views + TEMPORARY.format(kind=kind, **types), CHAINED) if chained else (views, gated)
            body = gated.format(tiles="".join(tiles), kind=kind, **types)
        left_side = SLICE.format(rows=rows, **types) if slice else ""
        text = MODULE if slice else MODULE.replace("%all", "%x")
        self.text = text.format(
            lds=lds,
            offsets=f"0, {size // LINE}" if streams == 2 else "0, 0",
            entries=len(entries),
            cu_tasks=[[0, *entry] for entry in self.entries],
            scratch=self.scratch,
            half=half,
            begin=begin,
            rows=rows,
            params=streams * size,
            views=views,
            left_side=left_side,
            body=body,
            **types,
        )

    def pack(self, *, isOrdered: bool) -> np.ndarray:
        """The parameters' bytes."""
        packed = []
        for weight in self.weights:
            tiles = weight.reshape(self.depth, -1, COLUMNS).transpose(1, 0, 2)
            if isOrdered:
                chunks = []
                for first in range(0, self.depth, 256):
                    steps = tiles[:, first : first + 256].reshape(len(tiles), -1, 4, 2, 2, 2, COLUMNS // 2)
                    chunks.append(steps.transpose(0, 5, 1, 3, 6, 2, 4).reshape(len(tiles), -1))
                tiles = np.concatenate(chunks, axis=1)
            packed.append(np.ascontiguousarray(tiles).reshape(-1))
        return np.concatenate(packed).view(np.uint8)

    @staticmethod
    def size_of(kernel: ir.Operation, symbol: str) -> int:
        """The bytes of a buffer of shared memory."""
        for operation in kernel.regions[0].blocks[0].operations:
            if ir.StringAttr(operation.attributes["sym_name"]).value == symbol:
                return ir.MemRefType(ir.TypeAttr(operation.attributes["type"]).value).shape[0]
        raise AssertionError(f"expected @{symbol}, found none")

    def run(
        self,
        change: Callable[[ir.Module], None] = lambda module: None,
        rewrite: Callable[[str], str] = lambda text: text,
        order: Callable[[bool], bool] = lambda isOrdered: isOrdered,
    ) -> float:
        """The greatest error of the kernel's result, relative to the greatest result.

        `change` and `rewrite` may damage the kernel, or its text, and `order` the order in which weights are packed.
        """
        with ir.Context() as context:
            module = ir.Module.parse(self.text)
            PassManager.parse(PASSES).run(module.operation)
            context.allow_unregistered_dialects = True
            module = ir.Module.parse(rewrite(str(module)))
            change(module)
            kernel = module.body.operations[0].operation
            self.isOrdered = "fleet.ordered_weights" in kernel.attributes
            self.isCopied = "@chunk_full" in str(module)
            parameters = self.pack(isOrdered=order(self.isOrdered))
            functions = {}
            for operation in kernel.regions[0].blocks[0].operations:
                functions[ir.StringAttr(operation.attributes["sym_name"]).value] = operation.operation
            shared = Shared()
            self.room = self.size_of(kernel, "scratch")
            scratch = shared.buffer("scratch", self.room)
            nothing = np.zeros(64, np.uint8)
            step = [parameters, nothing, nothing, nothing, nothing, 0, 1]
            # All threads of the walk begin; then the producer alone goes through the queue.
            Workgroup(functions["fleet_step"], step, shared)
            shared.recorded = []
            Workgroup(functions["fleet_step"], step, shared, thread=256)
            shared.producer, shared.recorded = Producer(shared.recorded), None
            self.isStreamed = bool(shared.producer.events)
            shared.producer.run(shared)
            result = np.full((self.rows, self.columns), np.nan, np.float32)
            weights = list(parameters.view(np.uint16).reshape(self.streams, -1, self.depth, COLUMNS))
            for first, last in self.entries:
                shared.store_elsewhere(self.memory)
                places = [first * COLUMNS, last * COLUMNS, scratch[: self.scratch]]
                Workgroup(functions["many"], [self.memory, weights[0], weights[-1], result, *places], shared)
        assert shared.producer.is_over(), "expected all slots of the ring to be read, found one that is not"
        return float(np.abs(result - self.expected).max() / np.abs(self.expected).max())


# What f32 activations as two bf16 leave of them, and sums of products that are exact.
WIDE, NARROW = 1e-5, 1e-6
WGMMA = [
    pytest.param(WIDE, (32, 1024), {"wide": True}, id="f32, 32 rows"),
    pytest.param(WIDE, (24, 1296), {"wide": True}, id="f32, 24 rows, a ragged depth"),
    pytest.param(WIDE, (32, 1024), {"wide": True, "streams": 2}, id="f32, 32 rows, gate and up"),
    pytest.param(NARROW, (32, 1024), {"wide_beside": True}, id="bf16 beside f32, 32 rows"),
    pytest.param(NARROW, (20, 1296), {"wide_beside": True}, id="bf16 beside f32, 20 rows, a ragged depth"),
    pytest.param(NARROW, (64, 1024), {}, id="bf16, 64 rows"),
    pytest.param(NARROW, (40, 1296), {}, id="bf16, 40 rows, a ragged depth"),
    pytest.param(NARROW, (64, 512), {"streams": 2}, id="bf16, 64 rows, gate and up"),
    pytest.param(NARROW, (100, 528), {}, id="bf16, 100 rows, two warpgroups a turn"),
    pytest.param(WIDE, (32, 768), {"wide": True, "slice": True}, id="f32, 32 rows, a slice of an odd number of chunks"),
    pytest.param(NARROW, (64, 512), {"slice": True}, id="bf16, 64 rows, a slice"),
    pytest.param(NARROW, (64, 512, (6, 1)), {"streams": 2}, id="bf16, 64 rows, gate and up, in parts"),
    pytest.param(NARROW, (40, 272, (5,)), {"streams": 2, "chained": True}, id="bf16, 40 rows, two ops behind them"),
    pytest.param(WIDE, (24, 1296), {"wide": True, "is_unknown": True, "lds": 110000}, id="f32, 24 rows, loaded"),
    pytest.param(NARROW, (64, 512), {"is_unknown": True, "lds": 110000}, id="bf16, 64 rows, loaded"),
]
MMA = [
    pytest.param(WIDE, (8, 4096), {"wide": True}, id="f32, 8 rows"),
    pytest.param(WIDE, (12, 784), {"wide": True, "streams": 2}, id="f32, 12 rows, gate and up"),
    pytest.param(NARROW, (16, 1312), {}, id="bf16, 16 rows, a ragged depth"),
    pytest.param(NARROW, (32, 1024), {}, id="bf16, 32 rows"),
    pytest.param(WIDE, (3, 1024), {"wide": True}, id="f32, 3 rows"),
    pytest.param(WIDE, (5, 784), {"wide": True, "streams": 2}, id="f32, 5 rows, gate and up"),
    pytest.param(NARROW, (4, 1312), {}, id="bf16, 4 rows, a ragged depth"),
    pytest.param(NARROW, (2, 1024), {}, id="bf16, 2 rows"),
    pytest.param(NARROW, (16, 512), {"streams": 2, "turned": True}, id="bf16, 16 rows, by columns of another product"),
    pytest.param(NARROW, (12, 512), {"streams": 2, "chained": True}, id="bf16, 12 rows, two ops behind them"),
]


@pytest.mark.parametrize(("bound", "shape", "options"), WGMMA)
def test_products_of_warpgroups_are_those_of_numpy(bound, shape, options):
    case = Case(*shape, **options)
    assert case.run() < bound
    assert case.isOrdered and case.isCopied != options.get("is_unknown", False)


@pytest.mark.parametrize(("bound", "shape", "options"), MMA)
def test_products_of_warps_are_those_of_numpy(bound, shape, options):
    case = Case(*shape, **options, lds=200000)
    assert case.run() < bound
    assert not case.isOrdered and not case.isCopied


def test_chunks_stand_where_temporaries_of_tiles_do_not():
    # Gate and up of a tile in 4 KB of scratch, which sums of all tiles replace.
    case = Case(32, 512, entries=(1,), wide=True, streams=2)
    assert case.run() < WIDE
    assert case.room == 8 * (8192 + 128)


def instead(*pairs: tuple[str, str]) -> Callable[[str], str]:
    """Replaces in a kernel's text what the first pattern of each pair finds by the second."""

    def rewrite(text: str) -> str:
        for right, wrong in pairs:
            if not re.search(right, text):
                raise ValueError(f"expected {right} in the kernel, found none")
            text = re.sub(right, wrong, text)
        return text

    return rewrite


def reads_all_banks(case: Case, monkeypatch, **faults) -> bool:
    """Whether lanes read chunks in shared memory from all banks at once."""
    turns = []

    def note(self, buffer, places, threads, is_store):
        if buffer.shape[0] != 8 or buffer.shape[-1] < 512 or is_store:
            return
        first = sum(place[:, 0] * stride for place, stride in zip(places, buffer.strides, strict=True))
        words = (first[:, None] + np.arange(0, places[-1].shape[1] * buffer.itemsize, 4)) // 4
        turns.append(np.sort(words.reshape(-1, BANKS) % BANKS, 1))

    monkeypatch.setattr(Shared, "note", note)
    case.run(**faults)
    return bool((np.concatenate(turns) == np.arange(BANKS)).all())


def sums_use_all_banks(case: Case, monkeypatch) -> bool:
    """Whether lanes store a turn's sums to all banks at once, and read them so."""
    turns = []

    def note(self, buffer, places, threads, is_store):
        if buffer.ndim != 3 or buffer.shape[2] != COLUMNS or buffer.base is None:
            return
        first = sum(place[:, 0] * stride for place, stride in zip(places, buffer.strides, strict=True))
        words = (first[:, None] + np.arange(0, places[-1].shape[1] * buffer.itemsize, 4)) // 4
        turns.append(np.sort(words.reshape(-1, BANKS) % BANKS, 1))

    monkeypatch.setattr(Shared, "note", note)
    case.run()
    return bool((np.concatenate(turns) == np.arange(BANKS)).all())


def test_sums_of_warpgroups_use_all_banks_at_once(monkeypatch):
    assert sums_use_all_banks(Case(32, 512, wide=True, streams=2), monkeypatch)
    assert sums_use_all_banks(Case(64, 512), monkeypatch)


def test_it_is_noticed_that_lanes_share_banks(monkeypatch):
    # Sums of mma.sync, whose lanes have rows side by side.
    assert not sums_use_all_banks(Case(16, 512, lds=200000), monkeypatch)


@pytest.mark.parametrize("options", [{"wide": True}, {"wide_beside": True}, {}], ids=["f32", "bf16 beside f32", "bf16"])
def test_lanes_read_chunks_from_all_banks_at_once(options, monkeypatch):
    assert reads_all_banks(Case(32 if options else 64, 512, entries=(1,), **options), monkeypatch)


def test_rows_that_begin_in_the_same_bank_are_noticed(monkeypatch):
    same = instead(("8x2x1040xf32", "8x2x1024xf32"))
    assert not reads_all_banks(Case(32, 512, entries=(1,), wide=True), monkeypatch, rewrite=same)


def test_what_is_not_streamed_reads_ordered_weights():
    case = Case(33, 528, begin=1.0, lds=150000)
    assert case.run() < NARROW
    assert case.isOrdered and not case.isStreamed


def assembly_of(operation: ir.Operation) -> str:
    is_assembly = operation.name == "llvm.inline_asm"
    return ir.StringAttr(operation.attributes["asm_string"]).value if is_assembly else ""


def free_before_reading(module: ir.Module) -> None:
    """Slots are freed in front of what reads them."""
    everything: list[ir.Operation] = []
    module.operation.walk(lambda op: everything.append(op) or ir.WalkResult.ADVANCE, ir.WalkOrder.PRE_ORDER)
    reading = [i for i, op in enumerate(everything) if "wgmma" in assembly_of(op) or op.name == "nvvm.ldmatrix"]
    freeing = [i for i, op in enumerate(everything) if "mbarrier.arrive.shared" in assembly_of(op)]
    if not reading or not freeing:
        raise ValueError("expected a kernel that reads slots and frees them, found none")
    for first, arrival in zip([0, *freeing], freeing, strict=False):
        reads = next(everything[i] for i in reading if first < i < arrival)
        branch = everything[arrival].parent
        for moved in (branch.operands[0].owner.operation, branch.operation):
            if everything.index(moved) > everything.index(reads):
                moved.move_before(reads)


def noticed(case: Case, bound: float, **faults) -> bool:
    """Whether a damaged kernel's numbers are wrong, or it does what no kernel may."""
    try:
        return not case.run(**faults) < bound
    except AssertionError:
        return True


FAULTS = {
    # In units of 16 bytes: 8 to the next elements, in the upper half of the descriptor's first word, and 256 to the next columns.
    "offsets of the descriptor swapped": instead(
        (
            r"(\n *)%(\w+) = arith.ori (%\w+), %c524288_i32 : i32",
            r"\1%of_\2 = arith.constant 16777216 : i32\1%\2 = arith.ori \3, %of_\2 : i32",
        ),
        (r"\{low, \$81\}", "{low, 8}"),
    ),
    "chunks of two tiles not side by side": instead((r"\{low, \$81\}", "{low, 128}")),
    "freed when one warp has read it": instead((r"(mbarrier.init.*?%c)4_i32", r"\g<1>1_i32")),
    "products not waited for": instead(("wait_group.sync.aligned 0", "wait_group.sync.aligned 1")),
    "registers not fenced": instead(("wgmma.fence.sync.aligned;", "")),
    "first product added to what was there": instead(("setp.ne.s32 p, 0, 0;", "setp.eq.s32 p, 0, 0;")),
    "a step read twice": instead(("add.s32 low, low, 16;", "add.s32 low, low, 8;")),
    # The walk's places in the ring begin with 0.
    "the slot of another turn": instead(
        (r"memref.store %c0_i32, (.* memref<8xi32, #gpu.address_space<workgroup>>)", r"memref.store %c1_i32, \1")
    ),
}


def in_body(damage: Callable[[str], str]) -> Callable[[str], str]:
    """Damages the body of contractions alone."""

    def rewrite(text: str) -> str:
        before, name, rest = text.partition("func.func private @many")
        body, end, after = rest.partition("func.func private @dispatch")
        return before + name + damage(body) + end + after

    return rewrite


def wait_for_no_chunk(body: str) -> str:
    """All waits at mbarriers at which warps expect copies are over at once."""
    asked = set(re.findall(r'arrive\.expect_tx.*"l,r,~\{memory\}" (%\w+),', body))
    over = r'"{ .reg .pred p; setp.eq.s32 p, 0, 0; selp.u32 $0, 1, 0, p; }"'
    return instead((rf'"[^"]*try_wait[^"]*"(, "[^"]*" (?:{"|".join(asked)}),)', rf"{over}\1"))(body)


FAULTS_OF_COPIES = {
    "a copy that is not waited for": wait_for_no_chunk,
    "the parity of another round": instead((r"arith.xori (%arg\w+), %c1_i32 : i32", r"arith.xori \1, %c0_i32 : i32")),
    "the parity that an earlier body began with": instead(
        (r"arith.extui (%\w+) : i1 to i32", "arith.constant 0 : i32")
    ),
    "asked for before all lanes have read": instead((r"nvvm.bar.warp.sync .*(\n *%\w+ = nvvm.elect.sync)", r"\1")),
    "loads overtaken": instead(("fence.proxy.async.shared::cta;", "")),
    "what others have stored overtaken": instead(("fence.proxy.async.global;", "")),
    # Read where the second part would be if it began in the same bank.
    "rows that begin in the same bank": instead(("8x2x1040xf32", "8x2x1024xf32")),
}


@pytest.mark.parametrize("fault", FAULTS_OF_COPIES.values(), ids=FAULTS_OF_COPIES.keys())
def test_a_chunk_that_is_copied_in_another_way_is_noticed(fault):
    # Three rounds of each entry, the last one ragged.
    assert noticed(Case(24, 1296, wide=True), WIDE, rewrite=in_body(fault))


FAULTS_OF_SUMS = {
    "a turn dropped": instead((r"(arith.addf) (%\w+), %\w+ : vector<4xf32>", r"\1 \2, \2 : vector<4xf32>")),
    "halves of rows not changed back": instead((r"arith.xori (%\w+), %\w+ : index", r"arith.ori \1, \1 : index")),
    "sums of another tile": instead(
        (r"(?s)(scf.for (%\w+) = [^\n]* step %c2\w* \{(?:(?!scf.for).)*?arith.muli )\2, %c4\b", r"\1%c1, %c4")
    ),
}


@pytest.mark.parametrize("fault", FAULTS_OF_SUMS.values(), ids=FAULTS_OF_SUMS.keys())
def test_sums_that_are_added_in_another_way_are_noticed(fault):
    assert noticed(Case(32, 512, wide=True, streams=2), WIDE, rewrite=in_body(fault))


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_a_damaged_kernel_is_noticed(fault):
    assert noticed(Case(32, 1024, wide=True), WIDE, rewrite=fault)


def test_weights_in_another_order_are_noticed():
    assert noticed(Case(32, 1024, wide=True), WIDE, order=lambda isOrdered: not isOrdered)


def test_a_slot_that_is_freed_too_early_is_noticed():
    assert noticed(Case(32, 1024, wide=True), WIDE, change=free_before_reading)
    assert noticed(Case(32, 1024, lds=200000), NARROW, change=free_before_reading)


def test_it_is_noticed_that_the_rest_of_f32_is_dropped():
    # x - x in place of x - high: numbers as if activations were rounded.
    drop = instead((r"arith.subf (%\w+), %\w+ : f32", r"arith.subf \1, \1 : f32"))
    assert 1e-4 < Case(32, 1024, wide=True).run(rewrite=drop) < 1e-2


def test_the_slot_of_another_turn_is_noticed_without_warpgroups():
    assert noticed(Case(32, 1024, lds=200000), NARROW, rewrite=FAULTS["the slot of another turn"])

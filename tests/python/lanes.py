"""Lock-step interpreter of a body of an NVIDIA kernel, for numbers without a GPU.

It runs all threads of one workgroup side by side, on the ops that the passes of NVIDIA's kernels leave. An SSA value is an
array of [threads] or [threads, elements of its vector]; bf16 is kept as uint16 bits, i32 as uint32, index and i64 as
int64. A buffer is an array that is the same for all threads, and a pointer an int64. Both sides of a branch
are computed under a mask, and mma and shuffles insist on whole warps, as the hardware does. What shared memory does beside
the threads, and inline assembly, is in shared.py.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from shared import THREADS, WARP, Shared

from fleet_mlir import ir

LANE = np.arange(THREADS) % WARP
WARP_OF, ROW, COLUMN = np.arange(THREADS) // WARP, LANE // 4, LANE % 4


def to_bf16(x: np.ndarray) -> np.ndarray:
    """The bits (uint16) of f32 rounded to the nearest bf16, ties to even."""
    bits = np.ascontiguousarray(x, dtype=np.float32).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def from_bf16(bits: np.ndarray) -> np.ndarray:
    """bf16 bits (uint16) as f32."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def _signed(x: np.ndarray) -> np.ndarray:
    return x.view(np.int32) if x.dtype == np.uint32 else x


def _unsigned(x: np.ndarray) -> np.ndarray:
    return x.astype(np.uint64)


def _where(condition: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.where(condition if x.ndim == 1 else condition[:, None], x, y)


ARITHMETIC = {
    "arith.addi": lambda x, y: x + y,
    "arith.subi": lambda x, y: x - y,
    "arith.muli": lambda x, y: x * y,
    "arith.divui": lambda x, y: x // y,
    "arith.remui": lambda x, y: x % y,
    "arith.minui": lambda x, y: np.where(_unsigned(x) < _unsigned(y), x, y),
    "arith.maxui": lambda x, y: np.where(_unsigned(x) > _unsigned(y), x, y),
    "arith.maxsi": lambda x, y: np.where(_signed(x) > _signed(y), x, y),
    "arith.andi": lambda x, y: x & y,
    "arith.ori": lambda x, y: x | y,
    "arith.xori": lambda x, y: x ^ y,
    "arith.shli": lambda x, y: x << y,
    "arith.shrui": lambda x, y: (
        (x.view(np.uint64) >> y.view(np.uint64)).view(np.int64) if x.dtype == np.int64 else x >> y
    ),
    "arith.addf": lambda x, y: x + y,
    "arith.subf": lambda x, y: x - y,
    "arith.mulf": lambda x, y: x * y,
    "arith.divf": lambda x, y: x / y,
    "arith.negf": lambda x: -x,
    "math.sqrt": np.sqrt,
    "math.fma": lambda x, y, z: x * y + z,
    "vector.fma": lambda x, y, z: x * y + z,
    "math.exp": lambda x: np.exp(x.astype(np.float64)).astype(np.float32),
    "arith.maxnumf": np.fmax,
    "arith.truncf": to_bf16,
    "arith.extf": from_bf16,
    "arith.select": _where,
    "arith.extui": lambda x: x.astype(np.int64),
    "arith.trunci": lambda x: (x & 0xFFFFFFFF).astype(np.uint32),
}
# In the order of the predicates of arith.cmpi.
COMPARISONS = [
    lambda x, y: x == y,
    lambda x, y: x != y,
    lambda x, y: _signed(x) < _signed(y),
    lambda x, y: _signed(x) <= _signed(y),
    lambda x, y: _signed(x) > _signed(y),
    lambda x, y: _signed(x) >= _signed(y),
    lambda x, y: _unsigned(x) < _unsigned(y),
    lambda x, y: _unsigned(x) <= _unsigned(y),
    lambda x, y: _unsigned(x) > _unsigned(y),
    lambda x, y: _unsigned(x) >= _unsigned(y),
]
ASSEMBLY = {
    # The first operand is the upper half.
    "cvt.rn.bf16x2.f32": lambda x, y: to_bf16(y).astype(np.uint32) | (to_bf16(x).astype(np.uint32) << 16),
    "prmt.b32 $0, $1, $2, 0x5410": lambda x, y: (x & np.uint32(0xFFFF)) | (y << np.uint32(16)),
    "prmt.b32 $0, $1, $2, 0x7632": lambda x, y: (x >> np.uint32(16)) | (y & np.uint32(0xFFFF0000)),
    "{ .reg .b32 low, high; mov.b64 {low, high}, $1; shfl.sync.idx": lambda x: x[::WARP].repeat(WARP),
    "ex2.approx.ftz.f32": lambda x: np.exp2(x.astype(np.float64)).astype(np.float32),
}
NOTHING = {"nvvm.barrier", "func.return", "gpu.return"}
# Nobody else runs while a thread waits.
ROUNDS = 3
ELEMENTS = {"f32": np.float32, "bf16": np.uint16, "i32": np.uint32, "i64": np.int64, "i8": np.uint8}


def multiply(operands: list[np.ndarray]) -> list[np.ndarray]:
    """mma.sync m16n8k16 of bf16: four words of A, two of B, four f32 of C, as the lanes of each warp hold them."""
    warps = THREADS // WARP
    a, b, c = (np.zeros((warps, *shape), np.float32) for shape in ((16, 16), (16, 8), (16, 8)))

    def halves(word: np.ndarray) -> list[np.ndarray]:
        return [(word << np.uint32(16)).view(np.float32), (word & np.uint32(0xFFFF0000)).view(np.float32)]

    for i, (row, depth) in enumerate([(0, 0), (8, 0), (0, 8), (8, 8)]):
        for half, value in enumerate(halves(operands[i])):
            a[WARP_OF, ROW + row, 2 * COLUMN + depth + half] = value
    for i, depth in enumerate([0, 8]):
        for half, value in enumerate(halves(operands[4 + i])):
            b[WARP_OF, 2 * COLUMN + depth + half, ROW] = value
    places = [(WARP_OF, ROW + 8 * (i // 2), 2 * COLUMN + i % 2) for i in range(4)]
    for place, value in zip(places, operands[6:10], strict=True):
        c[place] = value
    product = (c + a.astype(np.float64) @ b.astype(np.float64)).astype(np.float32)
    return [product[place] for place in places]


@dataclass
class Parts:
    """Of each thread, a part of `whole` that begins at its own `offsets`."""

    whole: np.ndarray
    offsets: list[np.ndarray]
    shape: list[int]


class Workgroup:
    """256 threads that run `function`, an MLIR function of buffers (arrays, written in place) and numbers.

    With `thread` only one runs it, who takes itself for that one. `shared` is what an earlier function may have left.
    `turn` is what other workgroups do after each operation on words of global memory, of which a wait asks for `rounds`.
    """

    def __init__(
        self,
        function: ir.Operation,
        arguments: list[np.ndarray | int],
        shared: Shared | None = None,
        thread: int | None = None,
        turn: Callable[[], None] | None = None,
        rounds: int = ROUNDS,
    ):
        block = function.regions[0].blocks[0]
        self.values = {}
        self.arenas = [argument for argument in arguments if isinstance(argument, np.ndarray)]
        self.turn, self.rounds = turn, rounds
        self.module = function.parent
        self.shared = shared or Shared()
        self.threads = np.arange(THREADS, dtype=np.int64) if thread is None else np.full(THREADS, thread, np.int64)
        for argument, value in zip(block.arguments, arguments, strict=True):
            if isinstance(value, int):
                value = np.full(THREADS, value, np.uint32 if str(argument.type) == "i32" else np.int64)
            self.values[argument] = value
        with np.errstate(all="ignore"):
            self._block(block, np.arange(THREADS) < (THREADS if thread is None else 1))

    def _block(self, block: ir.Block, mask: np.ndarray) -> list[np.ndarray]:
        for operation in block.operations:
            if operation.operation.name in ("scf.yield", "scf.condition"):
                return [self.values[value] for value in operation.operands]
            results = self._run(operation.operation, mask)
            for result, value in zip(operation.results, results, strict=True):
                self.values[result] = value
        return []

    def _run(self, op: ir.Operation, mask: np.ndarray) -> list:
        """The results of an operation, whose effects are those of the threads of `mask`."""
        name, operands = op.name, [self.values[value] for value in op.operands]
        type_of = str(op.results[0].type) if len(op.results) else ""
        if name == "scf.if":
            return self._branch(op, operands[0], mask)
        if name == "scf.for":
            return self._loop(op, operands, mask)
        if name == "scf.while":
            return self._while(op, operands, mask)
        if name in ARITHMETIC:
            return [ARITHMETIC[name](*operands)]
        if name == "arith.cmpi":
            return [COMPARISONS[ir.IntegerAttr(op.attributes["predicate"]).value](*operands)]
        if name == "arith.constant":
            return [self._constant(op.attributes["value"], type_of)]
        if name == "arith.extui":
            assert type_of == "i32"
            return [operands[0].astype(np.uint32)]
        if name in ("arith.index_cast", "arith.index_castui"):
            word = _signed(operands[0]) if name == "arith.index_cast" else operands[0]
            wide = word.astype(np.int64)
            return [wide.astype(np.uint32) if type_of == "i32" else wide]
        if name == "vector.bitcast":
            element = ELEMENTS[str(ir.VectorType(op.results[0].type).element_type)]
            return [np.ascontiguousarray(operands[0]).view(element)]
        if name == "arith.bitcast":
            return [np.ascontiguousarray(operands[0]).view(np.float32 if type_of == "f32" else np.uint32)]
        if name == "vector.extract":
            return [operands[0][:, ir.DenseI64ArrayAttr(op.attributes["static_position"])[0]].copy()]
        if name == "vector.broadcast":
            return [np.repeat(operands[0][:, None], ir.VectorType(op.results[0].type).shape[0], 1)]
        if name == "vector.reduction":
            return [operands[0].sum(1)]
        if name == "vector.from_elements":
            return [np.stack(operands, 1)]
        if name in ("vector.load", "memref.load"):
            return [self._load(op, operands[0], operands[1:], mask)]
        if name in ("vector.store", "memref.store"):
            self._store(operands[0], operands[1], operands[2:], mask)
            return []
        if name in ("llvm.load", "llvm.store"):
            return self._word(op, operands, mask)
        if name == "memref.prefetch":
            for thread in np.nonzero(mask)[0]:
                assert all(0 <= at[thread] < size for at, size in zip(operands[1:], operands[0].shape, strict=True))
            return []
        if name == "gpu.thread_id":
            return [self.threads]
        if name in ("fleet.chiplet_id", "fleet.worker_rank"):
            return [np.zeros(THREADS, np.int64)]
        if name in ("memref.get_global", "memref.view", "memref.subview"):
            return [self._buffer(op, operands, mask)]
        if name == "memref.extract_aligned_pointer_as_index":
            assert "offset" not in str(op.operands[0].type)
            return [np.full(THREADS, self.shared.address(operands[0]), np.int64)]
        if name == "memref.extract_strided_metadata":
            buffer = operands[0]
            strides = [stride // buffer.itemsize for stride in buffer.strides]
            whole = buffer if buffer.flags.c_contiguous else buffer.base
            begin, first = (x.__array_interface__["data"][0] for x in (whole, buffer))
            numbers = ((first - begin) // buffer.itemsize, *buffer.shape, *strides)
            return [whole, *(np.full(THREADS, n, np.int64) for n in numbers)]
        if name == "llvm.inttoptr":
            return operands
        if name == "memref.atomic_rmw":
            # What one thread reads so.
            assert mask.sum() == 1 and not operands[0].any()
            return [self._load(op, operands[1], operands[2:], mask)]
        if name == "nvvm.ldmatrix":
            return [self.shared.load_matrices(operands[0], mask)]
        if name == "gpu.subgroup_broadcast":
            return [operands[0][::WARP].repeat(WARP)]
        if name == "nvvm.shfl.sync":
            assert "idx" in str(op.attributes["kind"]), f"expected an exchange by lane, found {op}"
            return [operands[1][(WARP_OF * WARP + operands[2]).astype(np.int64)]]
        if name in ("gpu.shuffle", "nvvm.mma.sync"):
            taking = mask.reshape(-1, WARP).sum(1)
            assert np.isin(taking, (0, WARP)).all(), f"expected whole warps at {name}"
            if name == "nvvm.mma.sync":
                return [multiply(operands)]
            lane = LANE ^ operands[1] if "xor" in str(op.attributes["mode"]) else operands[1]
            return [operands[0][(WARP_OF * WARP + lane).astype(np.int64)], np.ones(THREADS, bool)]
        if name == "llvm.extractvalue":
            return [operands[0][ir.DenseI64ArrayAttr(op.attributes["position"])[0]]]
        if name == "llvm.inline_asm":
            return self._assembly(op, operands, mask)
        if name == "nvvm.elect.sync":
            assert np.isin(mask.reshape(-1, WARP).sum(1), (0, WARP)).all(), f"expected whole warps at {name}"
            return [LANE == 0]
        if name in ("gpu.barrier", "nvvm.bar.warp.sync"):
            self.shared.sync(mask, of_all=name == "gpu.barrier")
            return []
        assert name in NOTHING, f"expected an operation that this interpreter knows, found {name}"
        return []

    def _word(self, op: ir.Operation, operands: list[np.ndarray], mask: np.ndarray) -> list:
        """A word of 8 bytes of an argument, in one access; then others have a turn."""
        assert 'syncscope("device") monotonic' in str(op), f"expected a relaxed access of the device, found {op}"
        assert str((op.results or op.operands)[0].type) == "i64", f"expected a word of 8 bytes, found {op}"
        loaded = np.zeros(THREADS, np.int64)
        for thread in np.nonzero(mask)[0]:
            places = (
                (arena, int(operands[-1][thread]) - arena.__array_interface__["data"][0]) for arena in self.arenas
            )
            arena, at = next((arena, at) for arena, at in places if 0 <= at < arena.nbytes)
            assert at % 8 == 0
            words = arena.reshape(-1).view(np.int64)
            if op.name == "llvm.store":
                words[at // 8] = operands[0][thread]
            loaded[thread] = words[at // 8]
        if self.turn:
            self.turn()
        return [loaded] if op.name == "llvm.load" else []

    def _assembly(self, op: ir.Operation, operands: list[np.ndarray], mask: np.ndarray) -> list:
        text = ir.StringAttr(op.attributes["asm_string"]).value
        for begin, compute in ASSEMBLY.items():
            if text.startswith(begin):
                return [compute(*operands)]
        results = self.shared.assembly(text, ir.StringAttr(op.attributes["constraints"]).value, operands, mask)
        return [results] if len(results) > 1 else results

    def _buffer(self, op: ir.Operation, operands: list[np.ndarray], mask: np.ndarray) -> np.ndarray:
        """The array behind a symbol, or a part of another array."""
        kind = ir.MemRefType(op.results[0].type)
        shape, element = list(kind.shape), ELEMENTS[str(kind.element_type)]

        def uniform(index: np.ndarray) -> int:
            assert (index[mask] == index[mask][0]).all(), f"expected one place of {op.name}, found several"
            return int(index[mask][0])

        if op.name == "memref.view":
            first = uniform(operands[1])
            return operands[0][first : first + int(np.prod(shape)) * element().itemsize].view(element).reshape(shape)
        if op.name == "memref.subview":
            dynamic = iter(operands[1:])
            sizes = list(ir.DenseI64ArrayAttr(op.attributes["static_sizes"]))
            dynamic_offset = ir.ShapedType.get_dynamic_stride_or_offset()
            offsets = [
                next(dynamic) if offset == dynamic_offset else np.full(THREADS, offset)
                for offset in ir.DenseI64ArrayAttr(op.attributes["static_offsets"])
            ]
            if len(sizes) == len(shape) and any((offset[mask] != offset[mask][0]).any() for offset in offsets):
                return Parts(operands[0], offsets, shape)
            offsets = [uniform(offset) for offset in offsets]
            assert all(x + n <= size for x, n, size in zip(offsets, sizes, operands[0].shape, strict=True))
            part = operands[0][tuple(slice(x, x + n) for x, n in zip(offsets, sizes, strict=True))]
            dropped = len(sizes) - len(shape)
            assert sizes[dropped:] == shape
            return part[(0,) * dropped]
        symbol = ir.FlatSymbolRefAttr(op.attributes["name"]).value
        if "workgroup" in str(kind.memory_space):
            size = int(np.prod(shape)) * element().itemsize
            return self.shared.buffer(symbol, size).view(element).reshape(shape)
        for other in self.module.regions[0].blocks[0].operations:
            if "sym_name" in other.attributes and ir.StringAttr(other.attributes["sym_name"]).value == symbol:
                return (
                    np.array(ir.DenseIntElementsAttr(other.attributes["initial_value"])).astype(element).reshape(shape)
                )
        raise AssertionError(f"expected a constant @{symbol}, found none")

    @staticmethod
    def _constant(value: ir.Attribute, type_of: str) -> np.ndarray:
        if type_of == "f32":
            return np.full(THREADS, ir.FloatAttr(value).value, np.float32)
        if type_of.startswith("vector"):
            kind = ir.VectorType(ir.DenseElementsAttr(value).type)
            assert str(kind.element_type) == "f32"
            return np.tile(np.array(ir.DenseFPElementsAttr(value)).reshape(1, -1), (THREADS, 1)).astype(np.float32)
        if type_of == "i1":
            return np.full(THREADS, ir.BoolAttr(value).value)
        number = ir.IntegerAttr(value).value
        return (
            np.full(THREADS, number & 0xFFFFFFFF, np.uint32) if type_of == "i32" else np.full(THREADS, number, np.int64)
        )

    @staticmethod
    def _places(buffer: np.ndarray | Parts, indices: list[np.ndarray], count: int, mask: np.ndarray):
        """An array, the threads of `mask`, and an index of what each has there: `count` consecutive elements."""
        threads = np.nonzero(mask)[0]
        at = [index[threads] for index in indices]
        for index, size, wide in zip(at, buffer.shape, [1] * (len(at) - 1) + [count], strict=True):
            inside = (0 <= index) & (index + wide <= size)
            assert inside.all(), f"expected indices in {buffer.shape}, found {[int(i[~inside][0]) for i in at]}"
        if isinstance(buffer, Parts):
            moved = [index + offset for index, offset in zip(indices, buffer.offsets, strict=True)]
            return Workgroup._places(buffer.whole, moved, count, mask)
        return buffer, threads, (*(index[:, None] for index in at[:-1]), at[-1][:, None] + np.arange(count))

    def _load(self, op: ir.Operation, buffer: np.ndarray, indices: list[np.ndarray], mask: np.ndarray) -> np.ndarray:
        is_vector = op.name == "vector.load"
        count = ir.VectorType(op.results[0].type).shape[0] if is_vector else 1
        buffer, threads, places = self._places(buffer, indices, count, mask)
        loaded = np.zeros((THREADS, count), buffer.dtype)
        loaded[threads] = buffer[places]
        self.shared.note(buffer, places, threads, is_store=False)
        return loaded if is_vector else loaded[:, 0].copy()

    def _store(self, value: np.ndarray, buffer: np.ndarray, indices: list[np.ndarray], mask: np.ndarray) -> None:
        values = value.reshape(THREADS, -1)
        buffer, threads, places = self._places(buffer, indices, values.shape[1], mask)
        buffer[places] = values[threads]
        self.shared.note(buffer, places, threads, is_store=True)

    def _branch(self, op: ir.Operation, condition: np.ndarray, mask: np.ndarray) -> list[np.ndarray]:
        sides = []
        for region, side in zip(op.regions, (mask & condition, mask & ~condition), strict=True):
            sides.append(self._block(region.blocks[0], side) if len(region.blocks) and side.any() else None)
        then, otherwise = sides
        if not len(op.results):
            return []
        if then is None or otherwise is None:
            return then or otherwise or [np.zeros(THREADS, np.uint32)] * len(op.results)
        return [_where(condition, x, y) for x, y in zip(then, otherwise, strict=True)]

    def _loop(self, op: ir.Operation, operands: list[np.ndarray], mask: np.ndarray) -> list[np.ndarray]:
        (at, end, step), carried = operands[:3], operands[3:]
        block = op.regions[0].blocks[0]
        taking = mask & (_signed(at) < _signed(end))
        while taking.any():
            for argument, value in zip(block.arguments, [at, *carried], strict=True):
                self.values[argument] = value
            after = self._block(block, taking)
            carried = [_where(taking, new, old) for new, old in zip(after, carried, strict=True)]
            at = at + step
            taking = taking & (_signed(at) < _signed(end))
        return carried

    def _while(self, op: ir.Operation, operands: list[np.ndarray], mask: np.ndarray) -> list[np.ndarray]:
        before, after = (region.blocks[0] for region in op.regions)
        carried, results = operands, None
        taking, rounds = mask, 0
        while taking.any():
            for argument, value in zip(before.arguments, carried, strict=True):
                self.values[argument] = value
            condition, *passed = self._block(before, taking)
            ends = taking & ~condition
            results = results or [np.zeros_like(x) for x in passed]
            results = [_where(ends, new, old) for new, old in zip(passed, results, strict=True)]
            taking, rounds = taking & condition, rounds + 1
            assert rounds < self.rounds, "expected a wait that ends, found one that nobody ends"
            if taking.any():
                for argument, value in zip(after.arguments, passed, strict=True):
                    self.values[argument] = value
                carried = self._block(after, taking)
        return results

"""Lock-step interpreter of a body of an NVIDIA kernel, for numbers without a GPU.

It runs all threads of one workgroup side by side, on the ops that `fleet-nvgpu-lower-attention` leaves. An SSA value is an
array of [threads] or [threads, elements of its vector]; bf16 is kept as uint16 bits, i32 as uint32. Both sides of a branch
are computed under a mask, and mma and shuffles insist on whole warps, as the hardware does.
"""

import numpy as np

from fleet_mlir import ir

THREADS, WARP = 256, 32
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
    "arith.addf": lambda x, y: x + y,
    "arith.subf": lambda x, y: x - y,
    "arith.mulf": lambda x, y: x * y,
    "arith.maxnumf": np.fmax,
    "arith.truncf": to_bf16,
    "arith.extf": from_bf16,
    "arith.select": _where,
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
    "ex2.approx.ftz.f32": lambda x: np.exp2(x.astype(np.float64)).astype(np.float32),
}
NOTHING = {"gpu.barrier", "nvvm.bar.warp.sync", "func.return"}


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


class Workgroup:
    """256 threads that run `function`, an MLIR function of buffers (arrays, written in place) and an index."""

    def __init__(self, function: ir.Operation, arguments: list[np.ndarray | int]):
        block = function.regions[0].blocks[0]
        self.values = {}
        for argument, value in zip(block.arguments, arguments, strict=True):
            self.values[argument] = np.full(THREADS, value, np.int64) if isinstance(value, int) else value
        with np.errstate(all="ignore"):
            self._block(block, np.ones(THREADS, bool))

    def _block(self, block: ir.Block, mask: np.ndarray) -> list[np.ndarray]:
        for operation in block.operations:
            if operation.operation.name == "scf.yield":
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
        if name in ARITHMETIC:
            return [ARITHMETIC[name](*operands)]
        if name == "arith.cmpi":
            return [COMPARISONS[ir.IntegerAttr(op.attributes["predicate"]).value](*operands)]
        if name == "arith.constant":
            return [self._constant(op.attributes["value"], type_of)]
        if name in ("arith.index_cast", "arith.index_castui"):
            word = _signed(operands[0]) if name == "arith.index_cast" else operands[0]
            wide = word.astype(np.int64)
            return [wide if type_of == "index" else wide.astype(np.uint32)]
        if name in ("arith.bitcast", "vector.bitcast"):
            return [np.ascontiguousarray(operands[0]).view(np.float32 if type_of == "f32" else np.uint32)]
        if name == "vector.extract":
            return [operands[0][:, ir.DenseI64ArrayAttr(op.attributes["static_position"])[0]].copy()]
        if name == "vector.from_elements":
            return [np.stack(operands, 1)]
        if name in ("vector.load", "memref.load"):
            return [self._load(op, operands[0], operands[1:], mask)]
        if name in ("vector.store", "memref.store"):
            self._store(operands[0], operands[1], operands[2:], mask)
            return []
        if name == "memref.prefetch":
            for thread in np.nonzero(mask)[0]:
                assert all(0 <= at[thread] < size for at, size in zip(operands[1:], operands[0].shape, strict=True))
            return []
        if name == "gpu.thread_id":
            return [np.arange(THREADS, dtype=np.int64)]
        if name == "gpu.subgroup_broadcast":
            return [operands[0][::WARP].repeat(WARP)]
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
            text = ir.StringAttr(op.attributes["asm_string"]).value
            return [next(f for begin, f in ASSEMBLY.items() if text.startswith(begin))(*operands)]
        assert name in NOTHING, f"expected an operation of an attention body, found {name}"
        return []

    @staticmethod
    def _constant(value: ir.Attribute, type_of: str) -> np.ndarray:
        if type_of == "f32":
            return np.full(THREADS, ir.FloatAttr(value).value, np.float32)
        if type_of == "i1":
            return np.full(THREADS, ir.BoolAttr(value).value)
        number = ir.IntegerAttr(value).value
        return (
            np.full(THREADS, number & 0xFFFFFFFF, np.uint32) if type_of == "i32" else np.full(THREADS, number, np.int64)
        )

    @staticmethod
    def _places(buffer: np.ndarray, indices: list[np.ndarray], count: int, mask: np.ndarray):
        for thread in np.nonzero(mask)[0]:
            at = tuple(int(index[thread]) for index in indices)
            inside = all(0 <= i < size for i, size in zip(at, buffer.shape, strict=True))
            assert inside and at[-1] + count <= buffer.shape[-1], f"expected indices in {buffer.shape}, found {at}"
            yield thread, (*at[:-1], slice(at[-1], at[-1] + count))

    def _load(self, op: ir.Operation, buffer: np.ndarray, indices: list[np.ndarray], mask: np.ndarray) -> np.ndarray:
        is_vector = op.name == "vector.load"
        count = ir.VectorType(op.results[0].type).shape[0] if is_vector else 1
        loaded = np.zeros((THREADS, count), buffer.dtype)
        for thread, place in self._places(buffer, indices, count, mask):
            loaded[thread] = buffer[place]
        return loaded if is_vector else loaded[:, 0].copy()

    def _store(self, value: np.ndarray, buffer: np.ndarray, indices: list[np.ndarray], mask: np.ndarray) -> None:
        for thread, place in self._places(buffer, indices, value.shape[1] if value.ndim > 1 else 1, mask):
            buffer[place] = value[thread]

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

"""Shared memory of a workgroup, and what works on it beside the threads: mbarriers, bulk copies and wgmma.

All of them are as late as they may be. A bulk copy spoils its place at once, and its bytes are there when a thread asks
its mbarrier; a wgmma reads its right side when its warps wait for it. Who reads too early, or frees a slot too
early, finds NaN or what came next. A copy that a warp asks for is of another proxy than loads and stores: the warp's
accesses of shared memory before it, and all stores of what it reads, need a sync and a fence.
"""

import re
from dataclasses import dataclass, field

import numpy as np

THREADS, WARP, WARPGROUP = 256, 32, 128
SPOILED = 0xFF
BYTES = 232448
ALIGNMENT = 128
# What wgmma m64n32k16 has: rows of the left side, columns, contracted elements.
ROWS, COLUMNS, DEPTH = 64, 32, 16


@dataclass
class Barrier:
    """An mbarrier: `phases` of it are over; the one at hand still waits for `arrivals` and for the bytes of `copies`."""

    count: int
    arrivals: int = 0
    expected: int = 0
    phases: int = 0
    copies: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)

    def __post_init__(self):
        self.arrivals = self.count

    def settle(self) -> None:
        if self.arrivals == 0 and self.expected == 0:
            self.phases, self.arrivals = self.phases + 1, self.count

    def arrive(self, expected: int = 0) -> None:
        assert self.arrivals, f"expected {self.count} arrivals at an mbarrier, found one more"
        self.arrivals, self.expected = self.arrivals - 1, self.expected + expected
        self.settle()

    def is_over(self, parity: int) -> bool:
        """Whether the phase of that parity is over. Copies that were asked for arrive now."""
        for to, data in self.copies:
            to[:] = data
            self.expected -= len(data)
        if self.copies:
            self.copies = []
            self.settle()
        return self.phases % 2 != parity


@dataclass
class Accesses:
    """Loads and stores by threads: of `size` bytes each at `addresses`. A copy may follow once they are synced and fenced."""

    threads: np.ndarray
    addresses: np.ndarray
    size: int
    is_synced: np.ndarray
    is_fenced: np.ndarray

    def overlap(self, address: int, size: int) -> np.ndarray:
        return (self.addresses < address + size) & (address < self.addresses + self.size)


@dataclass
class Product:
    """A wgmma on its way, of the warpgroup that begins with thread `first`.

    Words of the left side, the descriptor of the right side, and the sums before and after, of all threads.
    """

    first: int
    left: list[np.ndarray]
    right: int
    before: list[np.ndarray]
    after: list[np.ndarray]


class Producer:
    """What a producer did while its waits were over at once, to be done again as soon as they are.

    `events` are ("wait", barrier, parity), ("expect", barrier, bytes) and ("copy", to, source (bytes), barrier), in order;
    barriers and places are addresses in shared memory.
    """

    def __init__(self, events: list[tuple]):
        self.events, self.at = events, 0
        # By the barrier it waited for: its place, and how many phases of that were over then.
        self.filled: dict[int, tuple[np.ndarray, int]] = {}
        self.waited = 0

    def is_over(self) -> bool:
        return self.at == len(self.events)

    def run(self, shared: "Shared") -> None:
        """Goes on as far as it can. What it may fill is spoiled, if only by it."""
        for at, (place, phases) in self.filled.items():
            if shared.barriers[at].phases > phases:
                place[:] = SPOILED
        while self.at < len(self.events):
            kind, *operands = self.events[self.at]
            if kind == "wait":
                self.waited = operands[0]
                if not shared.barriers[self.waited].is_over(operands[1]):
                    return
            elif kind == "expect":
                shared.barriers[operands[0]].arrive(operands[1])
            else:
                self.filled[self.waited] = shared.copy(*operands), shared.barriers[self.waited].phases
            self.at += 1


class Shared:
    """Bytes, mbarriers by address, and wgmmas on their way, of one workgroup.

    `recorded` is None, or takes the events of a producer, which finds all its waits over.
    """

    def __init__(self):
        self.bytes = np.full(BYTES, SPOILED, np.uint8)
        self.places: dict[str, np.ndarray] = {}
        self.end = 0
        self.barriers: dict[int, Barrier] = {}
        self.producer = Producer([])
        self.recorded: list[tuple] | None = None
        self.arenas: list[np.ndarray] = []
        # By the first thread of a warpgroup: what it has asked for since its last commit, and its groups.
        self.asked: dict[int, list[Product]] = {first: [] for first in range(0, THREADS, WARPGROUP)}
        self.groups: dict[int, list[list[Product]]] = {first: [] for first in range(0, THREADS, WARPGROUP)}
        self.is_fenced = np.zeros(THREADS, bool)
        self.accesses: list[Accesses] = []

    def buffer(self, name: str, size: int) -> np.ndarray:
        """The bytes of the buffer `name`."""
        if name not in self.places:
            assert self.end + size <= BYTES, f"expected {BYTES} bytes of shared memory, found {self.end + size}"
            self.places[name] = self.bytes[self.end : self.end + size]
            self.end += -(-size // ALIGNMENT) * ALIGNMENT
        return self.places[name]

    def address(self, buffer: np.ndarray) -> int:
        """Where a buffer begins: below BYTES in shared memory, above it elsewhere."""
        at = buffer.__array_interface__["data"][0]
        own = at - self.bytes.__array_interface__["data"][0]
        if 0 <= own < BYTES:
            return own
        assert at >= BYTES
        if not any(arena is buffer for arena in self.arenas):
            self.arenas.append(buffer)
        return at

    def outside(self, address: int, size: int) -> np.ndarray:
        """A copy of `size` bytes that stand elsewhere than in shared memory."""
        for arena in self.arenas:
            first = address - arena.__array_interface__["data"][0]
            if 0 <= first and first + size <= arena.nbytes:
                return arena.reshape(-1).view(np.uint8)[first : first + size].copy()
        raise AssertionError(f"expected {size} bytes of an argument at {address:#x}, found none")

    def note(self, buffer: np.ndarray, places: tuple[np.ndarray, ...], threads: np.ndarray, is_store: bool) -> None:
        """Threads have accessed those elements of a buffer, consecutive ones each: what a copy may depend on."""
        first = buffer.__array_interface__["data"][0]
        own = first - self.bytes.__array_interface__["data"][0]
        is_own = 0 <= own < BYTES
        if not len(threads) or not (is_own or is_store):
            return
        addresses = sum(
            np.broadcast_to(place[:, 0], threads.shape) * stride
            for place, stride in zip(places, buffer.strides, strict=True)
        )
        count = places[-1].shape[1] * buffer.itemsize
        no = np.zeros(len(threads), bool)
        self.accesses.append(Accesses(threads, addresses + (own if is_own else first), count, no, no.copy()))

    def store_elsewhere(self, buffer: np.ndarray) -> None:
        """Other workers have stored a buffer, which the event that these threads waited for says."""
        yes, no = np.ones(1, bool), np.zeros(1, bool)
        thread, address = np.zeros(1, np.int64), np.array([self.address(buffer)])
        self.accesses.append(Accesses(thread, address, buffer.nbytes, yes, no))

    def sync(self, mask: np.ndarray, of_all: bool) -> None:
        """Threads of a warp, or all, have met."""
        for access in self.accesses:
            access.is_synced |= True if of_all else mask[access.threads]

    def fence(self, mask: np.ndarray, is_global: bool) -> None:
        """Threads order their own accesses, and what they have met, before copies: of shared or of global memory."""
        warps = mask.reshape(-1, WARP).any(1)
        for access in self.accesses:
            met = access.is_synced & (warps[access.threads // WARP] | (access.addresses >= BYTES))
            access.is_fenced |= (mask[access.threads] | met) & (is_global == (access.addresses >= BYTES))

    def check_proxies(self, to: int, source: int, size: int) -> None:
        """That a copy does not overtake the accesses it depends on; those of its place are over."""
        kept = []
        for access in self.accesses:
            depends = access.overlap(to, size) | access.overlap(source, size)
            is_over = access.is_synced & access.is_fenced
            assert is_over[depends].all(), "expected a sync and a proxy fence between an access and a copy, found none"
            if not is_over.all():
                kept.append(access)
        self.accesses = kept

    def copy(self, to: int, source: np.ndarray, barrier: int) -> np.ndarray:
        """A bulk copy; gives the bytes that it fills."""
        assert to % 16 == 0 and len(source) % 16 == 0, f"expected multiples of 16 bytes, found {to} and {len(source)}"
        place = self.bytes[to : to + len(source)]
        place[:] = SPOILED
        self.barriers[barrier].copies.append((place, source))
        return place

    def load_matrices(self, addresses: np.ndarray, mask: np.ndarray) -> list[np.ndarray]:
        """ldmatrix.x4.trans: lane 8 m + r has the address of row r of matrix m; a lane gets column g of rows 2t, 2t + 1."""
        taken = np.where(mask, addresses, 0)
        assert (taken % 16 == 0).all() and (0 <= taken).all() and (taken + 16 <= BYTES).all()
        rows = self.bytes[taken[:, None] + np.arange(16)].view(np.uint16).reshape(-1, 4, 8, 8)
        lane = np.arange(WARP)
        low, high = (rows[:, :, lane % 4 * 2 + half, lane // 4].astype(np.uint32) for half in range(2))
        return list((low | high << np.uint32(16)).transpose(1, 0, 2).reshape(4, -1))

    def right_side(self, descriptor: int) -> np.ndarray:
        """32 columns x 16 contracted elements (f32) that a descriptor of wgmma names: K-major and not swizzled."""
        units = [descriptor >> shift & 0x3FFF for shift in (0, 16, 32)]
        assert descriptor >> 46 == 0, f"expected a descriptor without swizzle, found {descriptor:#x}"
        first, along_depth, along_columns = (16 * unit for unit in units)
        n, k = np.meshgrid(np.arange(COLUMNS), np.arange(DEPTH), indexing="ij")
        at = first + n // 8 * along_columns + k // 8 * along_depth + n % 8 * 16 + k % 8 * 2
        words = self.bytes[at].astype(np.uint32) | self.bytes[at + 1].astype(np.uint32) << np.uint32(8)
        return (words << np.uint32(16)).view(np.float32)

    def multiply(self, product: Product) -> None:
        """Computes a wgmma, with what stands in shared memory now."""
        own, thread = slice(product.first, product.first + WARPGROUP), np.arange(WARPGROUP)
        warp, row, column = thread // WARP, thread % WARP // 4, thread % 4
        left = np.zeros((ROWS, DEPTH), np.float32)
        for i, word in enumerate(product.left):
            for half, bits in enumerate([word << np.uint32(16), word & np.uint32(0xFFFF0000)]):
                left[16 * warp + row + i % 2 * 8, 2 * column + i // 2 * 8 + half] = bits[own].view(np.float32)
        result = left.astype(np.float64) @ self.right_side(product.right).T.astype(np.float64)
        for i, (before, after) in enumerate(zip(product.before, product.after, strict=True)):
            added = result[16 * warp + row + i // 2 % 2 * 8, 2 * column + i % 2 + i // 4 * 8]
            after[own] = (before[own] + added).astype(np.float32)

    def assembly(self, text: str, constraints: str, operands: list[np.ndarray], mask: np.ndarray) -> list[np.ndarray]:
        """Runs inline assembly, statement by statement; gives its results, NaN where a wgmma is not over."""
        names = constraints.split(",")
        count = sum(name.startswith("=") for name in names)
        floats = [name.endswith("f") for name in names[:count]]
        results = [
            np.full(THREADS, np.nan, np.float32) if is_float else np.zeros(THREADS, np.uint32) for is_float in floats
        ]
        for name, operand in zip(names[count:], operands, strict=False):
            if name.isdigit():
                results[int(name)] = operand.copy()
        registers: dict[str, np.ndarray] = {f"${i}": x for i, x in enumerate([*results, *operands])}
        outputs = {f"${i}" for i in range(count)}

        def value(name: str) -> np.ndarray:
            return registers[name] if name in registers else np.full(THREADS, int(name, 0), np.int64)

        text = text.strip()
        for statement in (text[1:-1] if text.startswith("{") else text).split(";"):
            self._statement(statement.strip(), registers, outputs, value, mask)
        return [registers[f"${i}"] for i in range(count)]

    def _statement(self, statement, registers, outputs, value, mask) -> None:
        threads = np.nonzero(mask)[0]
        name, _, rest = statement.partition(" ")
        lists = [part.replace(" ", "").split(",") for part in re.findall(r"\{(.*?)\}", rest)]
        operands = [x.strip(" []") for x in re.sub(r"\{.*?\}", "", rest).split(",") if x.strip(" []")]
        if not statement or name in (".reg", "wgmma.fence.sync.aligned") or name.startswith(("fence.", "setmaxnreg.")):
            if name.startswith("wgmma.fence"):
                self.is_fenced |= mask
            elif name.startswith("fence.proxy.async"):
                self.fence(mask, is_global=name == "fence.proxy.async.global")
        elif name.startswith(("mov.", "selp.")):
            self._move(name, registers, lists, operands, value)
        elif name.startswith(("setp.", "add.")):
            x, y = (value(operand).astype(np.int64) for operand in operands[1:])
            compute = {"eq": np.equal, "ne": np.not_equal, "s64": np.add, "s32": np.add}[name.split(".")[1]]
            registers[operands[0]] = compute(x, y)
        elif name.startswith("mbarrier."):
            self._barrier(name, registers, operands, value, threads)
        elif name.startswith("cp.async.bulk."):
            to, source, size, barrier = (value(operand) for operand in operands)
            for thread in threads:
                data = self.outside(int(source[thread]), int(size[thread]))
                if self.recorded is None:
                    self.check_proxies(int(to[thread]), int(source[thread]), len(data))
                    self.copy(int(to[thread]), data, int(barrier[thread]))
                else:
                    self.recorded.append(("copy", int(to[thread]), data, int(barrier[thread])))
        elif name.startswith("wgmma."):
            self._warpgroups(name, registers, outputs, lists, operands, value, mask)
        else:
            raise AssertionError(f"expected an instruction that this interpreter knows, found {statement}")

    def _move(self, name, registers, lists, operands, value) -> None:
        if lists:
            low, high = (value(x).astype(np.int64) for x in lists[0])
            registers[operands[0]] = low | high << 32
        elif name.startswith("mov."):
            registers[operands[0]] = value(operands[1]).copy()
        else:
            registers[operands[0]] = np.where(value(operands[3]), value(operands[1]), value(operands[2])).astype(
                np.uint32
            )

    def _barrier(self, name, registers, operands, value, threads) -> None:
        if "_wait" in name:
            pointer, parity = value(operands[1]), value(operands[2])
            over = np.zeros(THREADS, bool)
            if self.recorded is None:
                self.producer.run(self)
            for thread in threads:
                at, phase = int(pointer[thread]), int(parity[thread])
                if self.recorded is None:
                    over[thread] = self.barriers[at].is_over(phase)
                else:
                    over[thread] = True
                    if "try_wait" in name:
                        self.recorded.append(("wait", at, phase))
            registers[operands[0]] = over
            return
        operands = [operand for operand in operands if operand != "_"]
        pointer, *counts = (value(operand) for operand in operands)
        for thread in threads:
            at, count = int(pointer[thread]), int(counts[0][thread]) if counts else 1
            if ".init." in name:
                self.barriers[at] = Barrier(count)
            elif ".inval." in name:
                assert not self.barriers.pop(at).copies, "expected an mbarrier without copies on their way, found one"
            elif ".expect_tx." in name and self.recorded is not None:
                self.recorded.append(("expect", at, count))
            elif ".expect_tx." in name:
                self.barriers[at].arrive(count)
            else:
                for _ in range(count):
                    self.barriers[at].arrive()
        self.producer.run(self)

    def _warpgroups(self, name, registers, outputs, lists, operands, value, mask) -> None:
        taking = mask.reshape(-1, WARPGROUP).sum(1)
        assert np.isin(taking, (0, WARPGROUP)).all(), f"expected whole warpgroups at {name}"
        firsts = [int(first) for first in np.nonzero(taking)[0] * WARPGROUP]
        if name.startswith("wgmma.mma_async"):
            assert self.is_fenced[mask].all(), "expected wgmma.fence before a wgmma, found none"
            assert name.endswith("m64n32k16.f32.bf16.bf16") and operands[2:] == ["1", "1", "0"], (
                f"found {name} {operands}"
            )
            sums, left = lists
            assert set(sums) <= outputs and len(sums) == COLUMNS // 2 and len(left) == 4
            right = value(operands[0])
            adds = value(operands[1])
            before = [registers[x] if adds.all() else np.where(adds, registers[x], np.float32(0)) for x in sums]
            after = [np.full(THREADS, np.nan, np.float32) for _ in sums]
            for first in firsts:
                own = right[first : first + WARPGROUP]
                assert (own == own[0]).all(), "expected one descriptor in a warpgroup, found several"
                words = [registers[x].copy() for x in left]
                self.asked[first].append(Product(first, words, int(own[0]), before, after))
            for x, result in zip(sums, after, strict=True):
                registers[x] = result
        elif name.startswith("wgmma.commit_group"):
            for first in firsts:
                self.groups[first].append(self.asked[first])
                self.asked[first] = []
            self.is_fenced &= ~mask
        elif name.startswith("wgmma.wait_group"):
            for first in firsts:
                while len(self.groups[first]) > int(operands[0]):
                    for product in self.groups[first].pop(0):
                        self.multiply(product)
        else:
            raise AssertionError(f"expected a wgmma, found {name}")

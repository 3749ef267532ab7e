"""Results that carry the number of their step, as NVIDIA's kernel stores and takes them, two workgroups in turns."""

import re
from collections.abc import Callable

import numpy as np
import pytest
from fleet_mlir.passmanager import PassManager
from lanes import Workgroup, to_bf16
from shared import Shared

from fleet_mlir import ir

STEP = 7
GLOBAL = "#gpu.address_space<global>"
MODULE = """
gpu.module @fleet attributes {{fleet.threads = 256 : i64, fleet.lanes = 32 : i64}} {{
  memref.global "private" constant @queues : memref<2xi32, #gpu.address_space<global>> = dense<0>
  memref.global "private" constant @arrivals : memref<1x1xi32, #gpu.address_space<global>> = dense<0>
  func.func @publish(%values: {values}, %words: {words}) {{
    fleet.publish %values to %words : {values}, {words}
    return
  }}
  func.func @receive(%words: {words}, %values: {values}) {{
    {receive}
    return
  }}
}}
"""
RECEIVE = "fleet.receive %words to %values : {words}, {values}"
TAKE = """
    %c0 = arith.constant 0 : index
    %c4 = arith.constant 4 : index
    %thread = gpu.thread_id x
    %at = arith.muli %thread, %c4 : index
    %x = fleet.take %words[%c0, %at] : {words}, vector<4xf32>
    vector.store %x, %values[%c0, %at] : {values}, vector<4xf32>"""


class Kernel:
    """Bodies that exchange `[rows, size]` of `element`; `damage` changes the text they are lowered to."""

    def __init__(
        self, rows: int, size: int, element: str = "f32", receive: str = RECEIVE, damage: Callable[[str], str] = str
    ):
        words = size // (2 if element == "bf16" else 1)
        types = {
            "values": f"memref<{rows}x{size}x{element}, {GLOBAL}>",
            "words": f"memref<{rows}x{words}xi64, {GLOBAL}>",
        }
        self.context = ir.Context()
        with self.context:
            module = ir.Module.parse(MODULE.format(receive=receive.format(**types), **types))
            passes = "builtin.module(gpu.module(fleet-nvgpu-lower-events{poll-budget=6}),canonicalize,cse)"
            PassManager.parse(passes).run(module.operation)
            self.module = ir.Module.parse(damage(str(module)))
        random = np.random.default_rng(size)
        self.sent = random.standard_normal((rows, size)).astype(np.float32)
        if element == "bf16":
            self.sent = to_bf16(self.sent)
        self.words = np.zeros((rows, words), np.int64)

    def expected(self, step: int = STEP) -> np.ndarray:
        bits = self.sent.reshape(-1).view(np.uint32).reshape(self.words.shape).astype(np.int64)
        return bits | step << 32

    def run(self, name: str, *arguments: np.ndarray, step: int = STEP, turn=None, is_late: bool = False) -> bool:
        """Whether the workgroup has given up then."""
        shared = Shared()
        late = shared.buffer("late", 4).view(np.uint32)
        shared.buffer("step_number", 4).view(np.uint32)[0], late[0] = step, is_late
        with self.context as context:
            context.allow_unregistered_dialects = True
            functions = self.module.body.operations[0].regions[0].blocks[0].operations
            body = next(op.operation for op in functions if f"@{name}(" in str(op).partition("\n")[0])
            Workgroup(body, list(arguments), shared, turn=turn, rounds=10)
        return bool(late[0])

    def publish(self, step: int = STEP, **options) -> None:
        self.run("publish", self.sent, self.words, step=step, **options)

    def receive(self, turn: Callable[[], None] | None = None) -> tuple[np.ndarray, bool]:
        """What has come, and whether the wait gave up."""
        out = np.full_like(self.sent, 0x7FC0 if self.sent.dtype == np.uint16 else np.nan)
        return out, self.run("receive", self.words, out, turn=turn)


def in_turn(*actions: Callable[[], None]) -> Callable[[], None]:
    """The next action each time it is called, then nothing."""
    left = iter(actions)
    return lambda: next(left, lambda: None)()


SIZES = [
    pytest.param(1, 512, "f32", RECEIVE, id="two words a thread"),
    pytest.param(1, 7000, "f32", RECEIVE, id="more than a thread asks for at once"),
    pytest.param(1, 1024, "bf16", RECEIVE, id="two values a word"),
    pytest.param(1, 1024, "f32", TAKE, id="four words of each thread"),
    pytest.param(2, 96, "f32", RECEIVE, id="fewer words than threads"),
    pytest.param(1, 600, "f32", RECEIVE, id="a rest"),
]


@pytest.mark.parametrize(("rows", "size", "element", "receive"), SIZES)
def test_values_come_through_words(rows, size, element, receive):
    kernel = Kernel(rows, size, element, receive)
    kernel.publish()
    np.testing.assert_array_equal(kernel.words, kernel.expected())
    out, is_late = kernel.receive()
    np.testing.assert_array_equal(out, kernel.sent)
    assert not is_late


def exchange(kernel: Kernel) -> None:
    """A wait that begins with the words of the step before; those of this one become visible half by half."""
    kernel.words[:] = np.roll(kernel.expected(STEP - 1), 1)
    half = kernel.words.shape[1] // 2

    def show(part: slice) -> Callable[[], None]:
        return lambda: kernel.words.__setitem__((slice(None), part), kernel.expected()[:, part])

    none, low, high = show(slice(0, 0)), show(slice(0, half)), show(slice(half, None))
    out, is_late = kernel.receive(in_turn(*[none] * 3, high, *[none] * 5, low))
    np.testing.assert_array_equal(out, kernel.sent)
    assert not is_late


@pytest.mark.parametrize(("rows", "size", "element", "receive"), SIZES[:4])
def test_a_wait_sees_through_what_the_step_before_has_left(rows, size, element, receive):
    exchange(Kernel(rows, size, element, receive))


@pytest.mark.parametrize(
    "change", [pytest.param(("arith.andi", "arith.xori"), id="any word is taken"),
               pytest.param(("arith.ori", "arith.andi"), id="one of a thread's words counts")]
)  # fmt: skip
def test_a_stale_word_that_is_taken_is_noticed(change):
    def damage(text: str) -> str:
        front, name, body = text.partition("@receive(")
        assert change[0] in body
        return front + name + body.replace(*change)

    with pytest.raises(AssertionError, match="Mismatched elements"):
        exchange(Kernel(1, 512, damage=damage))


@pytest.mark.parametrize("size", [512, 5000])
@pytest.mark.parametrize(("step", "published"), [(STEP - 1, None), (STEP + 1, None), (STEP, -1)])
def test_words_that_do_not_come_end_the_wait(size, step, published):
    kernel = Kernel(1, size)
    kernel.publish(step)
    if published:
        kernel.words[:, published:] = 0
    assert kernel.receive()[1]


def test_who_has_given_up_stores_nothing():
    kernel = Kernel(1, 512)
    kernel.publish(is_late=True)
    assert not kernel.words.any()


def see_whole_words(kernel: Kernel) -> None:
    """Whoever looks while words are stored sees none with this step's number and another value."""
    kernel.words[:] = np.roll(kernel.expected(STEP - 1), 1)

    def look() -> None:
        is_new = kernel.words >> 32 == STEP
        assert (kernel.words == kernel.expected())[is_new].all(), (
            "expected whole words, found a number without its value"
        )

    kernel.publish(turn=look)
    assert (kernel.words >> 32 == STEP).all()


def test_a_word_is_stored_at_once():
    see_whole_words(Kernel(1, 512))


def test_a_number_in_front_of_its_value_is_noticed():
    def damage(text: str) -> str:
        number = re.search(r"(%\d+) = arith.shli", text)[1]
        damaged, count = re.subn(r"llvm.store (%\d+)(,.*\n)", rf"llvm.store {number}\2llvm.store \1\2", text)
        assert count
        return damaged

    with pytest.raises(AssertionError, match="a number without its value"):
        see_whole_words(Kernel(1, 512, damage=damage))

"""Random models through the whole flow on the cpu, against Hugging Face."""

import numpy as np
import pytest
import torch
from reference import TOLERANCE, check_greedy, exact, logits_of, relative, weights_of
from tiny_models import tiny

from fleet_mlir import compile
from fleet_mlir.runtime import Executable

TYPES = {"f32": torch.float32, "bf16": torch.bfloat16}
PROMPT = [3, 17, 200, 5, 91, 64, 7]
OTHERS = ([9, 8, 7, 6], [250, 1, 33])


def build(model, **options) -> Executable:
    options = {"context": 64, "slots": 1, **options}
    target = options.pop("target", "cpu")
    return compile(model, target, **options).bind(weights_of(model))


def check_rows(result, want, tolerance):
    assert relative(result.logits, want) < tolerance
    for row, token in enumerate(result.ids.tolist()):
        assert token == int(result.logits[row].argmax())
        check_greedy(token, want[row], tolerance)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("kind", ["llama", "qwen3", "neox"])
def test_decode_is_the_reference(kind, dtype):
    model, tolerance = tiny(kind, TYPES[dtype]), TOLERANCE[TYPES[dtype]]
    step, reference = build(model), exact(model)
    ids = list(PROMPT)
    for position in range(24):
        result = step.step([ids[position]], [position], [0])
        want = logits_of(reference, ids[: position + 1])[-1:]
        check_rows(result, want, tolerance)
        if position + 1 == len(ids):
            ids.append(int(result.ids[0]))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("kind", ["llama", "qwen3", "neox"])
def test_prefill_is_the_reference(kind, dtype):
    model, tolerance = tiny(kind, TYPES[dtype]), TOLERANCE[TYPES[dtype]]
    step = build(model, tokens=8, out_rows=8)
    want = logits_of(exact(model), PROMPT)
    check_rows(step.step(PROMPT, range(7), [0] * 7, range(7)), want, tolerance)


def alone(model, ids, **options):
    step = build(model, tokens=8, slots=3, out_rows=3, **options)
    return step.step(ids, range(len(ids)), [0] * len(ids), [len(ids) - 1]).logits[0]


@pytest.mark.parametrize("dtype", TYPES)
def test_mixed_step_equals_the_three_alone(dtype):
    """One slot reads 7 rows of a prompt while another has its next token decoded, then two decode."""
    model, tolerance = tiny("llama", TYPES[dtype]), TOLERANCE[TYPES[dtype]]
    step = build(model, tokens=9, slots=3, out_rows=3)
    for slot, ids in enumerate(OTHERS, start=1):
        count = len(ids) - 1
        step.step(ids[:-1], range(count), [slot] * count, [count - 1])
    tokens = [*PROMPT, OTHERS[0][-1], OTHERS[1][-1]]
    positions = [*range(7), len(OTHERS[0]) - 1, len(OTHERS[1]) - 1]
    mixed = step.step(tokens, positions, [0] * 7 + [1, 2], [6, 7, 8])
    for row, ids in enumerate((PROMPT, *OTHERS)):
        assert relative(mixed.logits[row], alone(model, ids)) < tolerance
        assert relative(mixed.logits[row], logits_of(exact(model), ids)[-1]) < tolerance


def test_rows_in_any_order_and_idle_rows_change_nothing():
    model = tiny("llama", torch.float32)
    step = build(model, tokens=8, slots=3, out_rows=3)
    first = step.step(PROMPT, range(7), [0] * 7, [6]).logits[0]
    order = [3, 0, 6, 1, 5, 2, 4]
    second = step.step([PROMPT[i] for i in order], order, [1] * 7, [2]).logits[0]
    idle = step.step([0, *PROMPT], [0, *range(7)], [-1] + [2] * 7, [7]).logits[0]
    assert relative(second, first) < 1e-5
    assert relative(idle, first) < 1e-5


def test_a_slot_can_be_used_again():
    model = tiny("llama", torch.float32)
    step = build(model, tokens=8, slots=2, out_rows=2)
    fresh = step.step(OTHERS[0], range(4), [0] * 4, [3]).logits[0]
    step.step(PROMPT, range(7), [1] * 7, [6])
    again = step.step(OTHERS[0], range(4), [1] * 4, [3]).logits[0]
    assert np.array_equal(fresh, again)


def test_runs_are_bit_reproducible():
    model = tiny("qwen3", torch.bfloat16)
    one, two = (build(model, tokens=8, out_rows=1).step(PROMPT, range(7), [0] * 7).logits for _ in range(2))
    assert np.array_equal(one, two)


@pytest.mark.parametrize("kind", ["llama", "neox"])
@pytest.mark.parametrize("target", ["cpu:8x4", "cpu:3x2"])
def test_many_chiplets_give_the_same(kind, target):
    model = tiny(kind, torch.float32)
    one, many = (build(model, tokens=8, out_rows=8, target=t) for t in ("cpu", target))
    for begin in (0, 7):
        rows = range(begin, begin + 7)
        a, b = (s.step(PROMPT, rows, [0] * 7, range(7)) for s in (one, many))
        assert relative(b.logits, a.logits) < 1e-5
        assert a.ids.tolist() == b.ids.tolist()


def test_prefill_and_decode_share_weights_and_caches():
    model = tiny("llama", torch.float32)
    decode = build(model)
    prefill = compile(model, tokens=8, slots=1, context=64).bind(weights_of(model), share=decode)
    assert prefill.params is decode.params
    token = int(prefill.step(PROMPT, range(7), [0] * 7).ids[0])
    result = decode.step([token], [7], [0])
    assert relative(result.logits[0], logits_of(model, [*PROMPT, token])[-1]) < 1e-5


def test_a_saved_program_is_the_same(tmp_path):
    model = tiny("llama", torch.float32)
    step = build(model)
    step.save(tmp_path / "m.fleet")
    again = Executable.load(tmp_path / "m.fleet").bind(weights_of(model))
    assert np.array_equal(step.step([3], [0], [0]).logits, again.step([3], [0], [0]).logits)


def test_a_damaged_cache_entry_is_compiled_again():
    from fleet_mlir import cache

    model = tiny("llama", torch.float32)
    compile(model, context=32)
    entries = list(cache.directory().glob("*.fleet"))
    assert entries
    for entry in entries:
        entry.write_bytes(entry.read_bytes()[:100])
    assert compile(model, context=32).context == 32
    assert not list(cache.directory().glob(".*"))


def test_phases_are_dumped_and_taken_up_again(tmp_path):
    from fleet_mlir.compiler import PHASES, dump_name, from_text

    model = tiny("llama", torch.float32)
    whole = compile(model, context=32, dump_phases=tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [dump_name(p) for p in PHASES]
    text = compile(model, context=32, compile_to="events")
    assert text == (tmp_path / "50_events.mlir").read_text()
    resumed = from_text(text, "cpu")
    assert resumed.manifest["params"] == whole.manifest["params"]

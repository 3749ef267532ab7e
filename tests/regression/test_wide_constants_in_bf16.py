"""A constant that the model writes as a Python float, rounded to bf16: no f64 may reach the code generator."""

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from fleet_mlir import compile


def test_gelu_of_gpt2_in_bf16_is_compiled():
    config = GPT2Config(
        n_embd=64, n_head=4, n_layer=1, vocab_size=256, n_positions=128, bos_token_id=0, eos_token_id=0
    )
    model = GPT2LMHeadModel(config).to(torch.bfloat16).eval()
    text = compile(model, tokens=1, context=32, cache=False, compile_to="target")
    assert "xbf16>" not in text

"""The importer: the contract of the raw phase in its text, and the patched model against the model as it was."""

from __future__ import annotations

import re

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    CohereConfig,
    Gemma2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    Olmo2Config,
    Qwen2Config,
    Qwen3Config,
)

from fleet_mlir.errors import FleetError
from fleet_mlir.importer import Cache, Step, import_step, patched, run_step, use_cache

SMALL = dict(
    hidden_size=64,
    intermediate_size=96,
    num_hidden_layers=2,
    num_attention_heads=4,
    vocab_size=128,
    max_position_embeddings=64,
)
GROUPED = dict(SMALL, num_key_value_heads=2)
CONFIGS = {
    "llama": LlamaConfig(**GROUPED),
    "llama-tied": LlamaConfig(**GROUPED, tie_word_embeddings=True),
    "qwen2": Qwen2Config(**GROUPED),
    "qwen3": Qwen3Config(**GROUPED, head_dim=32),
    "gpt-neox": GPTNeoXConfig(**SMALL, rotary_pct=0.25, use_parallel_residual=True),
    "olmo2": Olmo2Config(**GROUPED),
    "mistral": MistralConfig(**GROUPED, sliding_window=64),
}
NORM = {"gpt-neox": "layer_norm"}


def i32(values) -> torch.Tensor:
    return torch.tensor(list(values), dtype=torch.int32)


def model_of(config) -> torch.nn.Module:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    for parameter in model.parameters():
        parameter.data.add_(torch.randn_like(parameter) * 0.1)
    return model


@pytest.mark.parametrize("name", CONFIGS)
def test_patched_model_equals_the_reference(name):
    model = model_of(CONFIGS[name])
    ids = torch.randint(0, 128, (2, 9))
    with torch.no_grad():
        want = model(input_ids=ids).logits
        before = {n: m.__dict__.get("forward") for n, m in model.named_modules()}
        with patched(model), use_cache(Cache(slots=3, context=16)):
            # Request 0 in slot 2, request 1 in slot 0: four rows of each, mixed with an idle row, then one row at a time.
            rows = [(r, p) for p in range(4) for r in (0, 1)]
            tokens = i32([ids[r, p] for r, p in rows] + [0])
            step = Step(i32([2 * (1 - r) for r, _ in rows] + [-1]), i32([p for _, p in rows] + [0]), i32([7, 0]), 16)
            logits, best = run_step(model, tokens, step)
            torch.testing.assert_close(logits, torch.stack([want[1, 3], want[0, 0]]), rtol=1e-4, atol=1e-4)
            assert best.dtype == torch.int32 and best.tolist() == logits.argmax(-1).tolist()
            for position in range(4, 9):
                step = Step(i32([2, 0]), i32([position] * 2), i32([0, 1]), 16)
                logits, _ = run_step(model, ids[:, position].int(), step)
                torch.testing.assert_close(logits, want[:, position], rtol=1e-4, atol=1e-4)
        assert before == {n: m.__dict__.get("forward") for n, m in model.named_modules()}
        torch.testing.assert_close(model(input_ids=ids).logits, want)


@pytest.mark.parametrize("rows", [1, 4])
@pytest.mark.parametrize("name", ["llama", "llama-tied", "qwen2", "qwen3", "gpt-neox", "olmo2"])
def test_text_keeps_the_contract(name, rows):
    outs = min(rows, 2)
    text = import_step(CONFIGS[name], tokens=rows, slots=3, context=32, out_rows=outs, dtype=torch.bfloat16)
    assert "fleet.context = 32 : i64, fleet.layers = 2 : i64, fleet.slots = 3 : i64" in text
    signature = next(line for line in text.splitlines() if "@step(" in line)
    for kind in ("tokens", "positions", "slots"):
        assert f'tensor<{rows}xi32> {{fleet.input = "{kind}"}}' in signature
    assert f'tensor<{outs}xi32> {{fleet.input = "out_rows"}}' in signature
    assert f"-> (tensor<{outs}x128xf32>, tensor<{outs}xi32>)" in signature
    parameters = re.findall(r'fleet\.param = "([^"]+)"', signature)
    assert len(parameters) == len(set(parameters))
    assert ("lm_head.weight" in parameters or "embed_out.weight" in parameters) == (name != "llama-tied")
    assert signature.count("%arg") == len(parameters) + 4
    for layer in (0, 1):
        scale = 1 / 32**0.5 if name == "qwen3" else 0.25
        found = re.search(rf'fleet.op = "attention", layer = {layer} : i64, scale = (\S+) : f64', text)
        assert found and float(found[1]) == pytest.approx(scale)
    calls = re.findall(r"call @fleet\.(\w+)\.", text)
    assert calls.count("attention") == 2 and calls.count("rope") == 4
    assert calls.count("gather") == 2 and calls.count("argmax") == 1
    norms = {"qwen3": 9, "olmo2": 9}.get(name, 5)
    assert calls.count(NORM.get(name, "rms_norm")) == norms
    assert re.search(rf'eps = \S+ : f64, fleet.op = "{NORM.get(name, "rms_norm")}"', text)
    assert "tm_tensor" not in text and "!torch" not in text and "torch." not in text


@pytest.mark.parametrize("name", ["llama", "qwen3", "gpt-neox", "olmo2"])
def test_only_weights_are_transposed_and_no_batch_is_left(name):
    text = import_step(CONFIGS[name], tokens=4, slots=1, context=32, dtype=torch.float32)
    for line in text.splitlines():
        if "linalg.transpose" in line:
            assert re.search(r"ins\(%arg\d+ : ", line), line
    assert "tensor<1x4x" not in text
    assert text.count("linalg.matmul ") == {"gpt-neox": 9}.get(name, 15)
    assert "batch_matmul" not in text


def test_a_model_object_is_imported_as_its_config_is_and_left_alone():
    config = LlamaConfig(**GROUPED)
    model = model_of(config)
    config_text = import_step(LlamaConfig(**GROUPED), tokens=2, slots=1, context=16, dtype=torch.float32)
    implementation = model.config._attn_implementation
    assert import_step(model, tokens=2, slots=1, context=16) == config_text
    assert model.config._attn_implementation == implementation


def test_full_size_needs_no_weights():
    config = Qwen3Config(
        hidden_size=4096, intermediate_size=12288, num_hidden_layers=2, num_attention_heads=32, num_key_value_heads=8, head_dim=128,
        vocab_size=151936, tie_word_embeddings=False,
    )  # fmt: skip
    text = import_step(config, tokens=1, slots=1, context=1024, dtype=torch.bfloat16)
    assert "tensor<151936x4096xbf16>" in text and len(text) < 100_000


def test_scaling_after_the_head_is_kept():
    from transformers import GraniteConfig

    config = GraniteConfig(**GROUPED, logits_scaling=8.0)
    model = model_of(config)
    ids = torch.randint(0, 128, (1, 3))
    with torch.no_grad():
        want = model(input_ids=ids).logits[0, 2:]
        with patched(model), use_cache(Cache(1, 8)):
            logits, _ = run_step(model, ids[0].int(), Step(i32([0] * 3), i32(range(3)), i32([2]), 8))
    torch.testing.assert_close(logits, want, rtol=1e-4, atol=1e-5)


SIZES = dict(tokens=1, slots=1, context=16)


@pytest.mark.parametrize(
    ("config", "options", "words"),
    [
        (LlamaConfig(**GROUPED), dict(dtype=torch.float16), "float16 are not supported.*bfloat16"),
        (MistralConfig(**GROUPED, sliding_window=8), {}, "sliding window of 8"),
        (Gemma2Config(**GROUPED, head_dim=16, query_pre_attn_scalar=16, sliding_window=64), {}, "softcap"),
        (CohereConfig(**GROUPED), {}, "rotary embedding of model type 'cohere'"),
        (
            LlamaConfig(**GROUPED, rope_parameters=dict(rope_type="dynamic", rope_theta=1e4, factor=2.0)),
            {},
            "type 'dynamic'",
        ),
        (LlamaConfig(**GROUPED), dict(context=65), "more than the model's 64 positions"),
        (LlamaConfig(**GROUPED), dict(out_rows=2), "2 rows of logits"),
        (LlamaConfig(**GROUPED), dict(tokens=0), "tokens must be a positive integer"),
        ("llama", {}, "not str"),
    ],
)
def test_what_is_not_supported_is_said_in_one_sentence(config, options, words):
    with pytest.raises(FleetError, match=words) as caught:
        import_step(config, **{**SIZES, **options})
    assert "\n" not in str(caught.value) and not str(caught.value).endswith(".")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", CONFIGS)
def test_operations_traced_once_give_what_a_trace_of_the_whole_gives(monkeypatch, name, dtype):
    from torch_mlir.extras.fx_decomp_util import get_decomposition_table

    from fleet_mlir.importer import export

    options = dict(tokens=3, slots=2, context=16, out_rows=2, dtype=dtype)
    mine = import_step(CONFIGS[name], **options)
    whole = []

    def decompose(program):
        whole.append(program)
        return program.run_decompositions(get_decomposition_table()).graph_module.graph

    monkeypatch.setattr(export, "decompose", decompose)
    assert import_step(CONFIGS[name], **options) == mine
    assert whole


def test_a_model_that_writes_into_a_tensor_is_traced_as_a_whole(monkeypatch):
    """The write is made a value, as in the same model without one."""
    from transformers.models.llama.modeling_llama import LlamaMLP

    def written(self, x):
        y = x * 2
        y[..., :4].add_(1)
        return y

    def plain(self, x):
        y = x * 2
        return torch.cat((y[..., :4] + 1, y[..., 4:]), -1)

    ops = []
    for forward in (written, plain):
        monkeypatch.setattr(LlamaMLP, "forward", forward)
        text = import_step(LlamaConfig(**SMALL), tokens=2, slots=1, context=16, dtype=torch.float32)
        ops.append({op for op in re.findall(r"arith\.\w+", text)})
    assert ops[0] >= ops[1]
    assert "arith.addf" in ops[0]


def test_lines_of_the_model_are_named_not_those_of_the_first_of_their_kind(monkeypatch):
    """Two layers, the second with an operation that cannot be lowered."""
    from transformers.models.llama.modeling_llama import LlamaMLP

    forward, calls = LlamaMLP.forward, []

    def second(self, x):
        calls.append(self)
        return forward(self, x) if len(calls) == 1 else torch.special.bessel_j0(x)

    monkeypatch.setattr(LlamaMLP, "forward", second)
    with pytest.raises(FleetError, match=r"aten.special_bessel_j0 \(modeling_llama.py, line \d+\), which has no lowering"):
        import_step(LlamaConfig(**SMALL), tokens=2, slots=1, context=16, dtype=torch.float32)

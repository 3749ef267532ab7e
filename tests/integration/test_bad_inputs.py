"""What a user can get wrong with a compiled model: one sentence each, and the model still works after it."""

import pytest
import torch
from reference import weights_of
from tiny_models import tiny

from fleet_mlir import FleetError, cli, compile
from fleet_mlir.compiler import from_text


@pytest.fixture(scope="module")
def model():
    return tiny("llama", torch.float32)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tokens": 0}, "tokens must be"),
        ({"slots": -1}, "slots must be"),
        ({"context": 1.5}, "context must be"),
        ({"context": 4096}, "more than the model's 128 positions"),
        ({"out_rows": 2}, "2 rows of logits"),
        ({"target": "abacus"}, "unknown target"),
        ({"target": "cpu:x"}, "unknown target"),
        ({"compile_to": "dinner"}, "unknown phase"),
    ],
)
def test_options(model, options, message):
    with pytest.raises(FleetError, match=message) as caught:
        compile(model, **{"context": 32, **options})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("what", [None, 7, object(), torch.nn.Linear(2, 2)])
def test_no_models(what):
    with pytest.raises(FleetError):
        compile(what)


@pytest.mark.parametrize("text", ["", "not mlir", "module {", "module {}", 'module attributes {fleet.phase = "tea"} {}'])
def test_texts(text):
    with pytest.raises(FleetError) as caught:
        from_text(text, "cpu")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (([256], [0], [0]), "vocabulary of 256"),
        (([1], [32], [0]), "context of 32"),
        (([1], [0], [1]), "slot 1 does not exist"),
        (([1], [5], [0]), "leaves a gap"),
        (([1, 2], [0, 1], [0, 0]), "takes 1 a step"),
    ],
)
def test_steps(model, step, message):
    executable = compile(model, context=32).bind(weights_of(model))
    with pytest.raises(FleetError, match=message):
        executable.step(*step)
    assert executable.step([1], [0], [0]).ids.shape == (1,)


def test_wrong_weights(model):
    executable = compile(model, context=32)
    with pytest.raises(FleetError, match="no weight named"):
        executable.bind({})
    with pytest.raises(FleetError, match="is float16, the program was compiled for f32"):
        executable.bind({name: w.to(torch.float16) for name, w in weights_of(model).items()})
    with pytest.raises(FleetError, match="mapping"):
        executable.bind(7)


def test_prompt_longer_than_the_context(capsys):
    code = cli.main(["run", "--model", "smollm2", "--prompt", "word " * 100, "--context", "32"])
    error = capsys.readouterr().err
    assert code == 1
    assert "more than the context of 32" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("data", [b"", b"GGUF", b"GGUF" + bytes(100), b"text"])
def test_broken_gguf(capsys, tmp_path, data):
    path = tmp_path / "broken.gguf"
    path.write_bytes(data)
    code = cli.main(["run", "--model", str(path), "--prompt", "a"])
    error = capsys.readouterr().err
    assert code == 1
    assert error.startswith("fleet: error: ")
    assert error.count("\n") == 1

"""The command line: one sentence on standard error, exit code 1, never a traceback."""

import json

import pytest

from fleet_mlir import cli


def run(capsys, *arguments):
    code = cli.main([str(a) for a in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fly"], "invalid choice"),
        (["run"], "required"),
        (["run", "--model", "/none", "--prompt", "a"], "cannot read /none"),
        (["run", "--model", "smollm2", "--prompt", "a", "--max-new-tokens", "0"], "positive"),
        (["run", "--model", "smollm2", "--prompt", "a", "--context", "many"], "positive"),
        (["run", "--model", "smollm2", "--prompt", "a", "--device", "abacus"], "unknown device abacus"),
        (["run", "--model", "smollm2", "--prompt", "a", "--fast"], "unrecognized"),
        (["compile"], "either --model or --config"),
        (["compile", "--model", "a", "--config", "b"], "either --model or --config"),
        (["compile", "--config", "no-such"], "unknown config no-such"),
        (["compile", "--config", "qwen3-8b", "--compile-to", "lunch"], "unknown phase lunch"),
        (["compile", "--config", "qwen3-8b", "--target", "a b"], "unknown target"),
        (["compile", "--config", "qwen3-8b", "--target", "cpu:0x1"], "no workers"),
        (["compile", "--config", "smollm2-135m", "--tokens", "2", "--out-rows", "3"], "3 rows of logits"),
        (["compile", "--compile-from", "/none"], "cannot read /none"),
        (["inspect"], "either --model or --config"),
        (["inspect", "/none"], "cannot read /none"),
        (["inspect", "--config", "qwen3-8b", "--compile-to", "x"], "unknown phase x"),
    ],
)
def test_mistakes(capsys, arguments, message):
    code, out, err = run(capsys, *arguments)
    assert code == 1
    assert err.startswith("fleet: error: ")
    assert err.count("\n") == 1
    assert message in err
    assert not out


@pytest.mark.parametrize("device", ["hip", "cuda"])
def test_missing_driver(capsys, device):
    code, _, err = run(capsys, "run", "--model", __file__, "--prompt", "a", "--device", device)
    assert code == 1
    assert err.startswith("fleet: error: ") and err.count("\n") == 1
    assert device in err


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"model_type": "teapot"}', "not json"])
def test_wrong_config_files(capsys, tmp_path, text):
    path = tmp_path / "config.json"
    path.write_text(text)
    code, _, err = run(capsys, "compile", "--config", path)
    assert code == 1
    assert err.startswith("fleet: error: ") and err.count("\n") == 1


def test_wrong_files(capsys, tmp_path):
    path = tmp_path / "x.fleet"
    path.write_bytes(b"PK\x03\x04 nothing")
    code, _, err = run(capsys, "inspect", path)
    assert (code, err.count("\n")) == (1, 1)
    assert "not a fleet file" in err


def test_known_configs():
    config = cli.config_of("qwen3-8b", layers=2)
    assert (config.num_hidden_layers, config.hidden_size, config.model_type) == (2, 4096, "qwen3")


def test_config_file(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"model_type": "llama", "hidden_size": 64}))
    assert cli.config_of(str(tmp_path)).hidden_size == 64


def test_help(capsys):
    with pytest.raises(SystemExit) as done:
        cli.main(["--help"])
    assert done.value.code == 0
    assert "inspect" in capsys.readouterr().out

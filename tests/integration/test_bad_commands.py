"""What a user can get wrong, through the command line: one sentence, exit code 1, no traceback, no file half written."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from tiny_models import tiny

from fleet_mlir import LLM, FleetError, cli, compile
from fleet_mlir.runtime import Executable

CONFIG = {
    "model_type": "llama", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 64, "max_position_embeddings": 64,
}  # fmt: skip


@pytest.fixture
def fails(capfd):
    """Run a command that has to fail; gives its sentence."""

    def run(*arguments: object) -> str:
        capfd.readouterr()
        code = cli.main([str(a) for a in arguments])
        out, err = capfd.readouterr()
        assert code == 1
        assert err.startswith("fleet: error: "), err
        assert err.count("\n") == 1 and err.endswith("\n"), err
        assert "Traceback" not in err and "internal error" not in err, err
        assert not err.rstrip("\n").endswith("."), err
        assert not out
        return err.removeprefix("fleet: error: ").rstrip("\n")

    return run


@pytest.fixture
def config(tmp_path):
    """A config.json of a small model with some values of its own."""

    def write(**changes: object) -> Path:
        path = tmp_path / "config.json"
        path.write_text(json.dumps(CONFIG | changes))
        return path

    return write


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A sound checkpoint of a small model."""
    path = tmp_path_factory.mktemp("model")
    tiny("llama", torch.float32).save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def phases(tmp_path_factory) -> Path:
    """The phase files of a small model, and the program made of them."""
    path = tmp_path_factory.mktemp("phases")
    made = compile(tiny("llama", torch.float32), context=32, dump_phases=path)
    made.save(path / "m.fleet")
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dtype": "float16"}, "weights of type float16 are not supported, so convert"),
        ({"dtype": "float8_e4m3fn"}, "weights of type float8_e4m3fn are not supported"),
        ({"num_attention_heads": 8, "num_key_value_heads": 3}, "expected query heads to be a multiple of the kv heads, found 8 and 3"),
        ({"num_attention_heads": 5}, "not a multiple of the number of attention heads (5)"),
        ({"num_attention_heads": 0}, "is not a sound config"),
        ({"num_hidden_layers": 0}, "has 0 layers"),
        ({"vocab_size": 0}, "model.embed_tokens.weight has the shape [0, 64], which has no elements"),
        ({"intermediate_size": -4}, "negative dimension -4"),
        ({"hidden_size": "wide"}, "expected int, got str"),
        ({"model_type": "no_such_model"}, "transformers knows no architecture 'no_such_model'"),
        ({"model_type": "t5"}, "transformers has no causal language model of type 't5'"),
        ({"model_type": "bert"}, "is not causal, and fleet compiles decoders alone"),
        ({"model_type": "mamba"}, "runs 0 of its 2 layers through the attention interface"),
        ({"model_type": "mixtral"}, "uses the operation aten.histc (moe.py, line "),
        ({"model_type": "gemma2", "head_dim": 16}, "softcapping of scores (softcap), which fleet does not support"),
        ({"model_type": "mistral", "sliding_window": 8}, "sliding window of 8, which fleet does not support; a context of at most 8"),
        ({"model_type": "cohere"}, "interleaved pairs are not supported"),
        ({"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}}, "is of type 'dynamic'"),
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, "the model is quantised (quantization_config)"),
        ({"hidden_act": "nothing"}, "transformers makes no causal language model of type 'llama'"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)  # fmt: skip
def test_models_that_cannot_be_compiled(fails, config, tmp_path, changes, message):
    output = tmp_path / "m.fleet"
    assert message in fails("compile", "--config", config(**changes), "--context", 16, "-o", output)
    assert not output.exists()


@pytest.mark.parametrize(
    ("forward", "message"),
    [
        (lambda x: torch.fft.fft(x.float()).real.to(x.dtype), "uses the operation aten._fft_r2c (modeling_llama.py, line "),
        (lambda x: torch.nn.functional.conv1d(x.float(), torch.ones(x.shape[1], x.shape[1], 3), padding=1).to(x.dtype), "unsupported operation 'linalg.conv_1d"),
        (lambda x: x[x > 0].sum() + x, "makes a tensor whose shape depends on values (aten.index.Tensor)"),
        (lambda x: x * 2 if x.sum().item() > 0 else x, "branches on a value that only a run knows"),
        (lambda x: torch.linalg.svd(x.float())[0].sum().to(x.dtype) + x, "uses the operation aten._linalg_svd"),
        (lambda x: torch.cumsum(x, 1), "uses the operation aten.cumsum (modeling_llama.py, line "),
        (lambda x: torch.rand(4, 64) + x, "two devices, cpu and meta"),
    ],
    ids=["fft", "conv", "dynamic shape", "branch on a value", "svd", "cumsum", "device"],
)  # fmt: skip
def test_operations_that_have_no_lowering(fails, config, tmp_path, monkeypatch, forward, message):
    from transformers.models.llama.modeling_llama import LlamaMLP

    monkeypatch.setattr(LlamaMLP, "forward", lambda self, x: forward(x))
    output = tmp_path / "m.fleet"
    assert message in fails("compile", "--config", config(), "--context", 16, "--tokens", 4, "--no-cache", "-o", output)
    assert not output.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--target", "abacus"], "unknown target 'abacus', expected one of cpu, "),
        (["--target", "!"], "unknown target '!'"),
        (["--target", "cpu:8"], "unknown target 'cpu:8'"),
        (["--target", "cpu:-1x2"], "unknown target"),
        (["--target", "cpu:0x4"], "no workers"),
        (["--target", "cpu:4x0"], "no workers"),
        (["--target", "cpu:999999999999999999999x9"], "more than 65536 workers"),
        (["--context", "65"], "a context of 65 is more than the model's 64 positions"),
        (["--context", "-1"], "not a positive whole number"),
        (["--context", "0"], "not a positive whole number"),
        (["--slots", "0"], "not a positive whole number"),
        (["--slots", "99999999999"], "slots must be less than 2147483648"),
        (["--tokens", "0"], "not a positive whole number"),
        (["--tokens", "1.5"], "not a positive whole number"),
        (["--tokens", "65", "--context", "64"], "a step of 65 tokens is more than 1 slots of 64 positions hold"),
        (["--tokens", "2", "--out-rows", "3"], "3 rows of logits are asked of a step of 2 tokens"),
        (["--layers", "0"], "not a positive whole number"),
        (["--compile-to", "dessert"], "unknown phase dessert"),
        (["--model", "smollm2"], "either --model or --config"),
        (["--compile-from", "x.mlir"], "either --compile-from or a model"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_options(fails, config, tmp_path, options, message):
    path = config()
    context = [] if "--context" in options else ["--context", "16"]
    assert message in fails("compile", "--config", path, *context, *options, "-o", tmp_path / "m.fleet")
    assert [p.name for p in tmp_path.iterdir()] == ["config.json"]


@pytest.mark.parametrize(
    ("place", "options", "message"),
    [
        ("missing/m.fleet", [], "there is no folder"),
        (".", [], "it is a folder"),
        ("missing/m.mlir", ["--compile-to", "tasks"], "there is no folder"),
        ("config.json/m.fleet", [], "there is no folder"),
        ("m.mlir", ["--compile-to", "tasks", "--dump-phases", "config.json"], "cannot write"),
    ],
)
def test_places_that_cannot_be_written(fails, config, tmp_path, monkeypatch, place, options, message):
    monkeypatch.chdir(tmp_path)
    text = config().read_text()
    assert message in fails("compile", "--config", "config.json", "--context", 16, *options, "-o", place)
    assert [p.name for p in tmp_path.iterdir()] == ["config.json"]
    assert (tmp_path / "config.json").read_text() == text


def test_an_output_that_fails_late_leaves_the_old_file(fails, config, tmp_path, monkeypatch):
    """The program is written beside its place and moved there."""
    output = tmp_path / "m.fleet"
    output.write_text("old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    message = fails("compile", "--config", config(), "--context", 16, "--no-cache", "-o", output)
    assert message == f"cannot write {output}: No space left on device"
    assert output.read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.json", "m.fleet"]


# -- checkpoints ------------------------------------------------------------------------------------------
def copy_of(folder: Path, to: Path) -> Path:
    for path in folder.iterdir():
        (to / path.name).write_bytes(path.read_bytes())
    return to / "model.safetensors"


def header_of(data: bytes) -> tuple[dict, bytes]:
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def with_header(header: dict, rest: bytes) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + rest


NORM = "model.norm.weight"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data[: len(data) // 2], "corrupt or truncated"),
        (lambda data: b"", "truncated"),
        (lambda data: struct.pack("<Q", 1 << 62) + data[8:], "its header claims"),
        (lambda data: struct.pack("<Q", 99 << 20) + data[8:], "its header claims"),
        (lambda data: b"PK\x03\x04" + data[4:], "pickle or zip"),
        (lambda data: data[:8] + b"{" * 64 + data[72:], "not valid JSON"),
        ({"data_offsets": [1 << 62, (1 << 62) + 256]}, "outside the"),
        ({"data_offsets": [-256, 0]}, "malformed data_offsets"),
        ({"data_offsets": [0, 256]}, "overlap"),
        ({"dtype": "F16"}, "has 256 bytes where its shape [64] of F16 needs 128"),
        ({"dtype": "Q4"}, "has the type 'Q4'"),
        ({"shape": [1 << 40, 1 << 40]}, "bytes where its shape"),
        ({"shape": [8, 8]}, "shape [8, 8] where the model expects [64]"),
    ],
)
def test_lying_safetensors(fails, folder, tmp_path, change, message):
    weights = copy_of(folder, tmp_path)
    data = weights.read_bytes()
    if callable(change):
        weights.write_bytes(change(data))
    else:
        header, rest = header_of(data)
        header[NORM].update(change)
        weights.write_bytes(with_header(header, rest))
    output = tmp_path / "m.fleet"
    assert message in fails("compile", "--model", tmp_path, "--context", 16, "-o", output)
    assert not output.exists()


@pytest.mark.parametrize(
    ("shard", "message"),
    [
        ("../model.safetensors", "not a plain .safetensors file name"),
        ("/etc/hostname.safetensors", "not a plain .safetensors file name"),
        ("..\\model.safetensors", "not a plain .safetensors file name"),
        ("sub/model.safetensors", "not a plain .safetensors file name"),
        ("model-00002-of-00002.safetensors", "which is not there"),
        (None, "not a plain .safetensors file name"),
    ],
)
def test_an_index_that_points_elsewhere(fails, folder, tmp_path, shard, message):
    copy_of(folder, tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {NORM: shard}}))
    assert message in fails("compile", "--model", tmp_path, "--context", 16, "-o", tmp_path / "m.fleet")


def test_pickles_are_refused(fails, folder, tmp_path):
    copy_of(folder, tmp_path).unlink()
    torch.save({"a": torch.zeros(1)}, tmp_path / "pytorch_model.bin")
    assert "as pickles (pytorch_model.bin), which can run code" in fails("compile", "--model", tmp_path, "-o", tmp_path / "m.fleet")
    assert "pickle or zip file, which can run code" in fails("run", "--model", tmp_path / "pytorch_model.bin", "--prompt", "a")


def string(text: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text


def gguf(
    tensors: int = 1, pairs: int = 1, architecture: bytes | None = None, kind: int = 0, offset: int = 0,
    shape: tuple[int, ...] = (32,), data: int = 128,
) -> bytes:  # fmt: skip
    head = b"GGUF" + struct.pack("<IQQ", 3, tensors, pairs) + string(b"general.architecture") + struct.pack("<I", 8)
    head += string(b"llama") if architecture is None else architecture
    head += string(b"w") + struct.pack("<I", len(shape)) + b"".join(struct.pack("<Q", n) for n in shape)
    head += struct.pack("<IQ", kind, offset)
    return head + bytes(-len(head) % 32) + bytes(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"GGUF", "the version needs 4 bytes at 4, and the file has 4"),
        (b"GGUF" + struct.pack("<IQQ", 9, 0, 0), "version 9 is not 2 or 3"),
        (gguf(tensors=1 << 60), "claims 1152921504606846976 tensors"),
        (gguf(tensors=3), "is not a sound GGUF file"),
        (gguf(pairs=1 << 60), "metadata values"),
        (gguf(architecture=struct.pack("<Q", (1 << 64) - 1) + b"llama"), "needs 18446744073709551615 bytes"),
        (gguf(architecture=string(b"\xff\xfe")), "is not UTF-8"),
        (gguf(kind=99), "unknown type 99"),
        (gguf(kind=3, shape=(33,)), "does not divide into blocks of 32"),
        (gguf(offset=1 << 62), "outside the 128 bytes of data"),
        (gguf(offset=8), "not a multiple of 32"),
        (gguf(shape=(1 << 33, 1 << 33)), "outside the 128 bytes of data"),
        (gguf(data=64), "outside the 64 bytes of data"),
        (gguf(architecture=string(b"no_such_model")), "unknown architecture 'no_such_model'"),
        (gguf(), "the configuration of"),
    ],
)
def test_lying_gguf(fails, tmp_path, data, message):
    path = tmp_path / "m.gguf"
    path.write_bytes(data)
    assert message in fails("run", "--model", path, "--prompt", "a")


# -- modules and programs ---------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "expected a function @step"),
        (b"garbage", "custom op 'garbage' is unknown"),
        (b"module {", "expected operation name in quotes"),
        (b"\xff\xfe\x00", "not text"),
        (b'module { "other.op"() : () -> () }', "unregistered dialect"),
        (b'module attributes {fleet.phase = "dessert"} {}', "unknown phase dessert"),
        (b'module attributes {fleet.phase = "package"} {}', "expected a module with a manifest"),
    ],
)
def test_texts_that_are_no_module(fails, tmp_path, data, message):
    path, output = tmp_path / "m.mlir", tmp_path / "m.fleet"
    path.write_bytes(data)
    assert message in fails("compile", "--compile-from", path, "-o", output)
    assert not output.exists()


def test_modules_in_the_wrong_phase(fails, phases, tmp_path):
    events, output = phases / "50_events.mlir", tmp_path / "m.fleet"

    def refused(path: Path, *options: str) -> str:
        return fails("compile", "--compile-from", path, "-o", output, *options)

    assert refused(events, "--compile-to", "tiles") == "the module has already been through the phase events"
    assert "the module is for the target cpu:1x1 already, so it cannot be for gfx950" == refused(events, "--target", "gfx950")
    assert "already" in refused(events, "--target", "cpu:8x4")
    text = events.read_text()
    for lie in ("tasks", "schedule", "kernel", "target"):
        path = tmp_path / "lie.mlir"
        path.write_text(text.replace('fleet.phase = "events"', f'fleet.phase = "{lie}"'))
        refused(path)
    path.write_text(text[: len(text) // 2])
    refused(path)
    assert not output.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: b"", "is not a fleet file, or is damaged"),
        (lambda data: data[:300], "is not a fleet file, or is damaged"),
        (lambda data: data[:-40], "is not a fleet file, or is damaged"),
        (lambda data: data[: len(data) // 2] + b"!" + data[len(data) // 2 + 1 :], "is damaged"),
        (lambda data: b"PK\x03\x04" + bytes(100), "is not a fleet file, or is damaged"),
    ],
)
def test_damaged_programs(fails, phases, tmp_path, change, message):
    path = tmp_path / "m.fleet"
    path.write_bytes(change((phases / "m.fleet").read_bytes()))
    assert message in fails("inspect", path)
    with pytest.raises(FleetError, match=message):
        Executable.load(path)


def repacked(phases: Path, to: Path, vmfb: bytes | None = None, **changes: object) -> Path:
    """The program with other code or other values in its manifest, and a checksum that agrees."""
    import hashlib

    with zipfile.ZipFile(phases / "m.fleet") as archive:
        manifest, code = json.loads(archive.read("manifest.json")), archive.read("step.vmfb")
    code = code if vmfb is None else vmfb
    manifest |= {"sha256": hashlib.sha256(code).hexdigest()} | changes
    with zipfile.ZipFile(to, "w") as archive:
        archive.writestr("manifest.json", json.dumps(manifest))
        archive.writestr("step.vmfb", code)
    return to


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 99}, "format version 99"),
        ({"format": "other"}, "is not a fleet file"),
        ({"host": {"arch": "z80", "features": []}}, "was compiled for z80"),
        ({"host": {"arch": "x86_64", "features": ["avx9000"]}}, "avx9000|x86_64"),
        ({"tokens": 0}, "tokens is not a positive number"),
        ({"arenas": {}}, "the size of the arena params is missing"),
        ({"params": [{"names": ["w"], "offset": 1 << 60, "shape": [4], "dtype": "f32"}]}, "does not lie inside"),
        ({"params": [{"names": ["w"], "offset": 0, "shape": [-4], "dtype": "f32"}]}, "the shape of w is missing"),
    ],
)
def test_programs_that_lie(fails, phases, tmp_path, changes, message):
    path = repacked(phases, tmp_path / "m.fleet", **changes)
    fails("inspect", path)
    with pytest.raises(FleetError, match=message):
        Executable.load(path)


def test_foreign_code_in_a_program(phases, tmp_path):
    model = tiny("llama", torch.float32)
    program = Executable.load(repacked(phases, tmp_path / "m.fleet", vmfb=b"not a module of IREE" * 50))
    with pytest.raises(FleetError, match="IREE cannot load the program"):
        program.bind(dict(model.named_parameters()) | dict(model.named_buffers()))


# -- running ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--device", "abacus"], "unknown device abacus"),
        (["--target", "gfx950", "--device", "hip"], "the driver of the device hip is not available"),
        (["--target", "sm_90a"], "the driver of the device cuda is not available"),
        (["--device", "cuda"], "the device cuda cannot run the target cpu"),
        (["--target", "gfx950", "--device", "cpu"], "the device cpu cannot run the target gfx950"),
        (["--target", "abacus"], "unknown target 'abacus'"),
        (["--max-new-tokens", "0"], "not a positive whole number"),
        (["--prefill", "-3"], "not a positive whole number"),
    ],
)
def test_running(fails, options, message):
    if "driver" in message and os.path.exists("/dev/kfd" if "hip" in options else "/dev/nvidia0"):
        pytest.skip("the device is there")
    assert message in fails("run", "--model", "smollm2", "--prompt", "a", *options)


@pytest.mark.parametrize(
    ("prompt", "options", "message"),
    [
        ("", [], "the prompt is empty"),
        ("word " * 100, ["--context", "32"], "more than the context of 32"),
        ("a", ["--context", "9000"], "a context of 9000 is more than the model's 8192 positions"),
    ],
)
def test_prompts(fails, prompt, options, message):
    assert message in fails("run", "--model", "smollm2", "--prompt", prompt, *options)


@pytest.fixture(scope="module")
def step():
    model = tiny("llama", torch.float32)
    weights = dict(model.named_parameters()) | dict(model.named_buffers())
    return compile(model, tokens=4, slots=2, context=32, out_rows=2).bind(weights)


@pytest.mark.parametrize(
    ("tokens", "positions", "slots", "rows", "message"),
    [
        ([256], [0], [0], None, "token 256 is not in the vocabulary of 256"),
        ([-1], [0], [0], None, "token -1 is not in the vocabulary"),
        ([1 << 40], [0], [0], None, "is not in the vocabulary"),
        ([1], [-1], [0], None, "position -1 does not fit the context of 32"),
        ([1], [32], [0], None, "position 32 does not fit the context of 32"),
        ([1], [0], [2], None, "slot 2 does not exist: the program has 2"),
        ([1], [0], [-2], None, "slot -2 does not exist"),
        ([1], [7], [1], None, "position 7 of slot 1 leaves a gap: 0 positions are filled"),
        ([1, 2], [0, 0], [0, 0], None, "position 0 of slot 0 is given twice"),
        ([1, 2], [0, 2], [0, 0], None, "position 2 of slot 0 does not follow 0"),
        ([1], [0, 1], [0], None, "2 positions were given for 1 tokens"),
        ([], [], [], None, "at least one row"),
        ([1.5], [0], [0], None, "tokens must be a list of whole numbers"),
        ([1] * 5, range(5), [0] * 5, None, "5 rows were given, the program takes 4"),
        ([1], [0], [0], [1], "output row 1 is not one of the 1 rows"),
        ([1] * 3, range(3), [0] * 3, [0, 1, 2], "3 output rows were asked for, the program gives 2"),
    ],
)
def test_steps(step, tokens, positions, slots, rows, message):
    before = list(step.state.filled)
    with pytest.raises(FleetError, match=message):
        step.step(tokens, positions, slots, rows)
    assert step.state.filled == before, "a step that is refused changes nothing"


def test_a_slot_that_is_used_again_starts_at_its_beginning(step):
    step.step([1, 2, 3], range(3), [0] * 3)
    step.step([4], [0], [0])  # a new request
    with pytest.raises(FleetError, match="position 3 of slot 0 leaves a gap: 1 positions are filled"):
        step.step([5], [3], [0])


def test_generating_with_wrong_ids():
    from fleet_mlir.models import load

    llm = LLM(load(tiny("llama", torch.float32)), context=32, slots=1, prefill=4)
    for prompt, message in (
        ([300], "token 300 is not in the vocabulary of 256"),
        ([], "the prompt is empty"),
        ([1] * 33, "33 tokens, more than the context of 32"),
        ("text", "the model has no tokenizer"),
    ):
        with pytest.raises(FleetError, match=message):
            llm.generate_ids([prompt], max_new_tokens=1)
    with pytest.raises(FleetError, match="2 prompts were given, the program has 1 slots"):
        llm.generate_ids([[1], [2]], max_new_tokens=1)
    with pytest.raises(FleetError, match="max_new_tokens must be at least 1"):
        llm.generate_ids([[1]], max_new_tokens=0)
    with pytest.raises(FleetError, match="has no chat template"):
        llm.chat("hello")
    assert len(llm.generate_ids([[1]], max_new_tokens=3, stop=())[0]) == 3


@pytest.mark.parametrize("target", ["cpu:8x4", "cpu:3x1", "cpu:5x2"])
def test_heads_that_chiplets_do_not_divide_are_no_mistake(target):
    """Heads and columns are cut unevenly: 2 kv heads on 8 chiplets leave 6 without attention, and the numbers stay."""
    model = tiny("llama", torch.float32)
    weights = dict(model.named_parameters()) | dict(model.named_buffers())
    one, many = (compile(model, to, context=32).bind(weights).step([3], [0], [0]) for to in ("cpu", target))
    assert one.ids.tolist() == many.ids.tolist()
    assert abs(one.logits - many.logits).max() < 1e-5 * abs(one.logits).max()


def test_a_real_process_ends_with_one_sentence(tmp_path):
    """Nothing that a library says on its own, no traceback, no output: what the shell sees."""
    script = [sys.executable, "-m", "fleet_mlir", "compile", "--config", "qwen3-8b", "--target", "abacus", "-o", "m.fleet"]
    done = subprocess.run(script, capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("fleet: error: unknown target 'abacus'") and done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())

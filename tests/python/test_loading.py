"""Loading: sound checkpoints come in, and every unsound one is refused in one sentence."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, GPTNeoXConfig, LlamaConfig

from fleet_mlir.errors import FleetError
from fleet_mlir.importer import named_weights
from fleet_mlir.known import model_path
from fleet_mlir.models import gguf, load

SMALL = dict(
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    vocab_size=64,
    max_position_embeddings=64,
)


def make(config, dtype=torch.float32):
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config, dtype=dtype).eval()


@pytest.fixture
def folder(tmp_path) -> Path:
    make(LlamaConfig(**SMALL)).save_pretrained(tmp_path, max_shard_size="100GB")
    return tmp_path


def refused(what, words: str) -> None:
    with pytest.raises(FleetError, match=words) as caught:
        load(what)
    text = str(caught.value)
    assert "\n" not in text and not text.endswith(".")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("size", ["100GB", "20KB"])
@pytest.mark.parametrize(
    "config", [LlamaConfig(**SMALL), LlamaConfig(**SMALL, tie_word_embeddings=True), GPTNeoXConfig(**SMALL)]
)
def test_a_folder_gives_the_weights_that_were_saved(tmp_path, config, size, dtype):
    model = make(config, dtype)
    model.save_pretrained(tmp_path, max_shard_size=size)
    loaded = load(tmp_path)
    assert loaded.dtype == dtype and loaded.tokenizer is None
    want = named_weights(model)
    assert list(loaded.weights) == list(want)
    for name, tensor in want.items():
        assert loaded.weights[name].dtype == tensor.dtype
        assert torch.equal(loaded.weights[name], tensor), name
    assert {n: tuple(t.shape) for n, t in named_weights(loaded.model_factory()).items()} == {
        n: tuple(t.shape) for n, t in want.items()
    }
    assert loaded.model_factory(torch.bfloat16).dtype == torch.bfloat16


def test_weights_are_converted_when_asked(folder):
    loaded = load(folder, dtype=torch.bfloat16)
    assert loaded.weights["model.norm.weight"].dtype == torch.bfloat16
    assert loaded.weights["model.rotary_emb.inv_freq"].dtype == torch.float32


def test_a_model_object_gives_its_own_weights():
    model = make(LlamaConfig(**SMALL))
    loaded = load(model)
    for name, tensor in named_weights(model).items():
        assert torch.equal(loaded.weights[name], tensor)


def test_a_model_object_without_weights_is_refused():
    with torch.device("meta"):
        model = make(LlamaConfig(**SMALL))
    refused(model, "meta device")
    refused(torch.nn.Linear(1, 1), "not Linear")
    refused(3, "not int")


def edit_header(file: Path, change) -> None:
    data = file.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])


NAME = "model.norm.weight"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda h: h[NAME].update(dtype="F99"), "has the type 'F99'"),
        (lambda h: h[NAME].update(dtype=["F32"]), "has the type"),
        (lambda h: h[NAME].update(dtype="BF16"), "128 bytes where its shape .* needs 64"),
        (lambda h: h[NAME].update(shape=[31]), "bytes where its shape"),
        (lambda h: h[NAME].update(shape=[-32]), "malformed shape"),
        (lambda h: h[NAME].update(shape=[2**62, 2**62]), "bytes where its shape"),
        (lambda h: h[NAME].update(shape=[4, 8]), r"shape \[4, 8\] where the model expects \[32\]"),
        (lambda h: h[NAME].update(data_offsets=[10**9, 10**9 + 128]), "outside the"),
        (lambda h: h[NAME].update(data_offsets=[128, 0]), "outside the"),
        (lambda h: h[NAME].update(data_offsets=[0]), "malformed data_offsets"),
        (lambda h: h[NAME].update(data_offsets=h["model.layers.0.input_layernorm.weight"]["data_offsets"]), "overlap"),
        (lambda h: h.pop(NAME), "lacks the tensor 'model.norm.weight'"),
        (lambda h: h.update({NAME: 3}), "lacks dtype"),
        (lambda h: h[NAME].update(dtype="I32"), "must be floating point"),
    ],
)
def test_a_lying_header_is_refused(folder, change, words):
    edit_header(folder / "model.safetensors", change)
    refused(folder, words)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "truncated"),
        (b"abc", "truncated"),
        (struct.pack("<Q", 2**63), "its header claims"),
        (struct.pack("<Q", 10) + b"{}", "its header claims 10 bytes"),
        (struct.pack("<Q", 2) + b"[]", "not a JSON object"),
        (struct.pack("<Q", 4) + b"\xff\xfe{}", "not valid JSON"),
        (struct.pack("<Q", 15) + b'{"a": 1,"a": 2}', "a key stands twice"),
        (struct.pack("<Q", 100000) + b"[" * 100000, "not valid JSON"),
        (b"PK\x03\x04" + bytes(64), "pickle or zip"),
        (b"\x80\x04" + bytes(64), "pickle or zip"),
    ],
)
def test_a_broken_file_is_refused(folder, data, words):
    (folder / "model.safetensors").write_bytes(data)
    refused(folder, words)


def test_a_truncated_file_is_refused(folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-7])
    refused(folder, "corrupt or truncated")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not valid JSON"),
        ("[]", "not a JSON object"),
        ("\x00\x01garbage", "not valid JSON"),
        ("{}", "names no model_type"),
        (
            '{"model_type": "no_such_model", "auto_map": {"AutoConfig": "evil.Config"}}',
            "unknown architecture 'no_such_model'",
        ),
        ('{"model_type": 7}', "names no model_type"),
        ('{"model_type": "llama", "hidden_size": "wide"}', "config"),
        ('{"model_type": "llama", "num_hidden_layers": 1000000000}', "1000000000 layers"),
        ('{"model_type": "llama", "num_hidden_layers": 2, "hidden_size": -4}', "config|expects"),
    ],
)
def test_a_broken_configuration_is_refused(folder, text, words):
    (folder / "config.json").write_text(text)
    refused(folder, words)


def test_a_type_that_fleet_does_not_store_is_named_with_the_way_out(tmp_path):
    make(LlamaConfig(**SMALL), torch.float16).save_pretrained(tmp_path)
    refused(tmp_path, "float16 are not supported, so convert")
    assert load(tmp_path, dtype=torch.bfloat16).weights[NAME].dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("../model.safetensors", "not a plain"),
        ("/etc/passwd", "not a plain"),
        ("a\\b.safetensors", "not a plain"),
        (7, "not a plain"),
        ("missing.safetensors", "not there"),
        ("other.safetensors", "which lacks it"),
    ],
)
def test_a_lying_index_is_refused(folder, place, words):
    save_file({"x": torch.zeros(1)}, folder / "other.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {NAME: place}}))
    refused(folder, words)


def test_an_index_without_a_map_is_refused(folder):
    (folder / "model.safetensors.index.json").write_text("{}")
    refused(folder, "no weight_map")


def test_what_is_no_model_is_refused(tmp_path):
    refused(tmp_path / "none", "neither a folder nor a file")
    refused(tmp_path, "no config.json")
    (tmp_path / "config.json").write_text(LlamaConfig(**SMALL).to_json_string())
    refused(tmp_path, "no .safetensors file")
    torch.save({"a": torch.zeros(1)}, tmp_path / "pytorch_model.bin")
    refused(tmp_path, "as pickles")
    refused(tmp_path / "pytorch_model.bin", "pickle or zip")
    (tmp_path / "notes.txt").write_text("hello")
    refused(tmp_path / "notes.txt", "neither a folder of safetensors nor a GGUF file")


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def small_gguf(
    magic=b"GGUF", version=3, tensors=1, pairs=1, key="general.architecture", kind=8, value=text("llama"), name="w", shape=(32,), ggml=0,
    offset=0, data=128,
) -> bytes:  # fmt: skip
    head = magic + struct.pack("<IQQ", version, tensors, pairs) + text(key) + struct.pack("<I", kind) + value
    head += (
        text(name)
        + struct.pack("<I", len(shape))
        + b"".join(struct.pack("<Q", d) for d in shape)
        + struct.pack("<IQ", ggml, offset)
    )
    return head + bytes(-len(head) % 32) + bytes(data)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(magic=b"GGUX"), "begins with"),
        (dict(version=1), "version 1"),
        (dict(version=0x03000000), "version 50331648"),
        (dict(tensors=2**60), "tensors"),
        (dict(pairs=2**60), "metadata values"),
        (dict(pairs=3), "."),
        (dict(value=struct.pack("<Q", 2**50)), "needs"),
        (dict(kind=77), "unknown type 77"),
        (dict(kind=9, value=struct.pack("<IQ", 4, 2**62)), "needs"),
        (dict(kind=9, value=struct.pack("<IQ", 8, 2**62)), "elements"),
        (dict(kind=4, value=bytes(4)), "no general.architecture"),
        (dict(key="general.alignment", kind=4, value=struct.pack("<I", 3)), "power of two"),
        (dict(ggml=250), "unknown type 250"),
        (dict(shape=(31,), ggml=3), "does not divide"),
        (dict(shape=(2**40, 2**40)), "outside the"),
        (dict(shape=(1,) * 9), "9 dimensions"),
        (dict(offset=33), "multiple of 32"),
        (dict(offset=1 << 40), "outside the"),
        (dict(data=64), "outside the"),
    ],
)
def test_a_broken_gguf_is_refused(tmp_path, options, words):
    file = tmp_path / "m.gguf"
    file.write_bytes(small_gguf(**options))
    refused(file, words)


def test_a_gguf_cut_anywhere_in_its_header_is_refused(tmp_path):
    file = tmp_path / "m.gguf"
    data = small_gguf()
    file.write_bytes(data)
    read = gguf.read(file)
    assert (read.architecture, [tensor.name for tensor in read.tensors]) == ("llama", ["w"])
    for size in range(0, len(data), 5):
        file.write_bytes(data[:size])
        refused(file, ".")


def test_a_gguf_of_an_unknown_architecture_is_refused(tmp_path):
    file = tmp_path / "m.gguf"
    file.write_bytes(small_gguf(value=text("no_such_model")))
    refused(file, "unknown architecture 'no_such_model'")


@pytest.fixture(scope="module")
def real_gguf() -> Path:
    try:
        return Path(model_path("smollm2"))
    except FleetError as error:
        pytest.skip(str(error))


def test_a_real_gguf_answers(real_gguf):
    from fleet_mlir.importer import Cache, Step, patched, run_step, use_cache

    loaded = load(real_gguf)
    ids = loaded.tokenizer("The capital of France is")["input_ids"]
    count = len(ids)
    rows = torch.arange(count, dtype=torch.int32)
    model = loaded.model_factory()
    with torch.no_grad(), patched(model), use_cache(Cache(1, 16)):
        step = Step(torch.zeros_like(rows), rows, rows[-1:], 16)
        _, best = run_step(model, torch.tensor(ids, dtype=torch.int32), step, dict(loaded.weights))
    assert loaded.tokenizer.decode(best.tolist()) == " Paris"


def gguf_of_blocks(kind, values) -> bytes:
    """A file with one tensor `w` of 6 rows of 256 values in blocks of `kind`, quantised from `values` or random bytes."""
    import gguf as library
    import numpy as np

    number = library.GGMLQuantizationType[kind]
    block, width = library.GGML_QUANT_SIZES[number]
    try:
        data = library.quantize(values, number)
    except NotImplementedError:
        data = np.random.default_rng(0).integers(0, 255, (6, 256 // block * width), np.uint8)
        data[:, 1::2] &= 0x3F  # scales are halves somewhere in a block: none is a NaN
    head = small_gguf(shape=(256, 6), ggml=int(number), data=0)
    return head + np.ascontiguousarray(data).tobytes()


@pytest.mark.parametrize(
    "kind", ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"]
)
def test_blocks_expand_as_gguf_expands_them(tmp_path, kind):
    import gguf as library
    import numpy as np

    path = tmp_path / "m.gguf"
    path.write_bytes(gguf_of_blocks(kind, np.random.default_rng(1).normal(size=(6, 256)).astype(np.float32)))
    (mine,) = gguf.read(path).tensors
    (theirs,) = library.GGUFReader(str(path)).tensors
    assert mine.shape == (6, 256) and mine.tensor_type == theirs.tensor_type
    assert np.array_equal(mine.data, theirs.data)
    want = library.dequantize(theirs.data, theirs.tensor_type)
    got = gguf.dequantize(mine.data, mine.tensor_type)
    assert got.shape == want.shape and got.dtype == want.dtype == np.float32
    assert np.array_equal(got.view(np.uint32), want.view(np.uint32))


def test_a_real_gguf_is_what_transformers_reads(real_gguf):
    """Weights bit for bit, configuration and tokenizer: the loader reads the file once, transformers five times."""
    from transformers import AutoConfig, AutoTokenizer
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

    loaded = load(real_gguf)
    options = {"gguf_file": real_gguf.name, "local_files_only": True}
    # Building the model has set its type.
    config = AutoConfig.from_pretrained(real_gguf.parent, **options).to_dict()
    assert loaded.config.to_dict() == config | {"dtype": "bfloat16"}
    model = loaded.model_factory()
    want = load_gguf_checkpoint(str(real_gguf), return_tensors=True, model_to_load=model, torch_dtype=torch.bfloat16)
    assert len(want["tensors"]) == 272
    for name, tensor in want["tensors"].items():
        mine = loaded.weights[name]
        assert mine.dtype == tensor.dtype == torch.bfloat16
        assert torch.equal(mine.view(torch.int16), tensor.view(torch.int16)), name
    tokenizer = AutoTokenizer.from_pretrained(real_gguf.parent, **options)
    assert loaded.tokenizer.get_vocab() == tokenizer.get_vocab()
    text = "Grüße, 1234!  <|im_start|>user\nÇa va?\t😀<|im_end|>"
    assert loaded.tokenizer(text) == tokenizer(text)
    assert loaded.tokenizer.chat_template == tokenizer.chat_template


def test_reading_leaves_the_libraries_as_they_were(real_gguf):
    import gguf as library
    from transformers.integrations import gguf as integration

    def held():
        return library.GGUFReader, library.dequantize, library.get_tensor_name_map, integration.read_gguf_metadata

    before = held()
    with gguf.reading(gguf.read(real_gguf)):
        assert all(one is not other for one, other in zip(held(), before, strict=True))
    assert held() == before

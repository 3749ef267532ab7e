"""The runtime's arithmetic, without the compiler: packing, manifests, files, input checks, cache."""

import copy
import io
import json
import struct
import zipfile

import numpy as np
import pytest
import torch

from fleet_mlir import FleetError, cache, gpu, package
from fleet_mlir.compiler import check_phase, check_shape, target_pass
from fleet_mlir.llm import TextStream
from fleet_mlir.runtime import (
    EPOCH_LIMIT,
    Executable,
    State,
    aligned_zeros,
    check_device,
    pack_matrix,
    pack_params,
)


def make_manifest(**changes):
    manifest = {
        "target": "cpu",
        "tokens": 4,
        "slots": 2,
        "context": 8,
        "out_rows": 2,
        "layers": 1,
        "arenas": {"params": 1024, "state": 256, "work": 128, "input": 256, "output": 256},
        "inputs": {name: {"offset": 64 * i} for i, name in enumerate(package.INPUTS)},
        "outputs": {
            "logits": {"offset": 0, "shape": [2, 10], "dtype": "f32"},
            "ids": {"offset": 128, "shape": [2], "dtype": "i32"},
            "status": {"offset": 192, "shape": [4], "dtype": "i32"},
        },
        "params": [
            {"names": ["q", "k"], "concat": 0, "offset": 0, "pack": 4, "shape": [12, 6], "dtype": "f32"},
            {"names": ["norm"], "concat": 0, "offset": 320, "pack": 0, "shape": [6], "dtype": "bf16"},
        ],
    }
    manifest.update(changes)
    return manifest


def make_weights():
    torch.manual_seed(0)
    return {"q": torch.randn(8, 6), "k": torch.randn(4, 6), "norm": torch.randn(6).to(torch.bfloat16)}


def make_executable(**changes):
    return Executable(make_manifest(**changes), b"code")


def ready(**changes):
    """An executable whose launch only counts."""
    executable = make_executable(**changes)
    executable.state = State(aligned_zeros(256), [0] * executable.slots)
    executable._call = lambda epoch: None
    executable._work = aligned_zeros(128)
    executable._inputs = {
        n: np.zeros(executable.out_rows if n == "out_rows" else executable.tokens, np.int32) for n in package.INPUTS
    }
    executable._ids = np.zeros(2, np.int32)
    executable._logits = np.zeros((2, 10), np.float32)
    executable._status = np.zeros(4, np.int32)
    return executable


def test_packed_layout():
    matrix = torch.arange(8 * 3, dtype=torch.float32).view(8, 3)
    out = torch.empty(24)
    pack_matrix(matrix, 4, out)
    blocks = out.view(2, 3, 4)
    for n in range(8):
        for k in range(3):
            assert blocks[n // 4, k, n % 4] == matrix[n, k]


def test_packed_layout_fills_the_last_block_with_zeros():
    out = torch.full((24,), 7.0)
    pack_matrix(torch.ones(5, 3), 4, out)
    assert out.view(2, 3, 4)[1, :, 1:].abs().sum() == 0
    assert out.sum() == 15


@pytest.mark.parametrize("rows", [32, 37, 5])
def test_packed_layout_in_the_order_of_wgmma(rows):
    matrix = torch.randn(rows, 304).to(torch.bfloat16)
    out = torch.full((-(-rows // 16) * 16 * 304,), 7.0, dtype=torch.bfloat16)
    pack_matrix(matrix, 16, out, order="wgmma-256")
    tiles = out.view(-1, 16 * 304)
    whole = tiles[:, : 16 * 256].reshape(-1, 2, 16, 2, 8, 4, 2)
    rest = tiles[:, 16 * 256 :].reshape(-1, 2, 3, 2, 8, 4, 2)
    for n in range(16 * len(tiles)):
        for k in range(304):
            blocks = whole if k < 256 else rest
            found = blocks[n // 16, n % 16 // 8, k % 256 // 16, k % 4 // 2, n % 8, k % 16 // 4, k % 2]
            assert found == (matrix[n, k] if n < rows else 0)


def ordered_manifest(**changes):
    """A manifest whose one weight, 24 x 32, is stored in the order of wgmma."""
    entry = {"names": ["q"], "offset": 0, "pack": 16, "shape": [32, 32], "dtype": "bf16", "order": "wgmma-256", **changes}
    arenas = {"params": 4096, "state": 256, "work": 128, "input": 256, "output": 256}
    return make_manifest(arenas=arenas, params=[entry])


def test_params_in_the_order_of_wgmma():
    manifest = package.check_manifest(ordered_manifest())
    weight = torch.randn(24, 32).to(torch.bfloat16)
    arena = torch.from_numpy(pack_params(manifest, {"q": weight})[:2048]).view(torch.bfloat16)
    expected = torch.zeros(1024, dtype=torch.bfloat16)
    pack_matrix(weight, 16, expected, order="wgmma-256")
    assert torch.equal(arena, expected)
    plain = pack_params(ordered_manifest(order=None), {"q": weight})
    assert not torch.equal(arena, torch.from_numpy(plain[:2048]).view(torch.bfloat16))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"order": "mfma"}, "the order of the parameter q is not known: expected wgmma-256, found mfma"),
        ({"order": 1}, "the order of the parameter q is not known: expected wgmma-256, found 1"),
        *(
            (
                change,
                "the parameter q is in the order wgmma-256, but not bf16 packed by 16 columns of a depth that 16 divides",
            )
            for change in (
                {"shape": [32, 24]},
                {"pack": 8},
                {"pack": 0},
                {"group": 8},
                {"dtype": "f32", "shape": [16, 16]},
            )
        ),
    ],
)
def test_orders_that_no_kernel_reads(change, message):
    with pytest.raises(FleetError, match=f"the manifest is not valid: {message}"):
        package.check_manifest(ordered_manifest(**change))


def test_programs_whose_weights_are_in_different_orders_share_none():
    ordered = Executable(ordered_manifest(), b"code")
    assert ordered.shares_params(Executable(ordered_manifest(), b"code"))
    assert not ordered.shares_params(Executable(ordered_manifest(order=None), b"code"))


def test_params_are_joined_packed_and_placed():
    weights = make_weights()
    arena = pack_params(make_manifest(), weights)
    assert arena.ctypes.data % 64 == 0
    got = torch.from_numpy(arena[:288]).view(torch.float32).view(3, 6, 4).transpose(1, 2).reshape(12, 6)
    assert torch.equal(got, torch.cat([weights["q"], weights["k"]]))
    assert torch.equal(torch.from_numpy(arena[320:332]).view(torch.bfloat16), weights["norm"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("q"), "no weight named q"),
        (lambda w: w.update(q=torch.randn(8, 7)), "cannot be joined"),
        (lambda w: w.update(q=torch.randn(9, 6)), r"the shape \[13, 6\]"),
        (lambda w: w.update(norm=torch.randn(6)), "compiled for bf16"),
        (lambda w: w.update(norm=torch.empty(6, dtype=torch.bfloat16, device="meta")), "has no data"),
    ],
)
def test_wrong_weights(change, message):
    weights = make_weights()
    change(weights)
    with pytest.raises(FleetError, match=message):
        pack_params(make_manifest(), weights)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("tokens",), 0),
        (("tokens",), None),
        (("arenas",), None),
        (("arenas", "work"), -1),
        (("inputs", "slots"), {"offset": 3}),
        (("inputs", "slots"), {"offset": 1024}),
        (("outputs", "logits", "offset"), 192),
        (("outputs", "ids", "dtype"), "f80"),
        (("params",), None),
        (("params", 0, "offset"), 1024),
        (("params", 0, "names"), []),
        (("params", 1, "pack"), 4),
    ],
)
def test_bad_manifests(path, value):
    manifest = copy.deepcopy(make_manifest())
    place = manifest
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(FleetError, match="the manifest is not valid"):
        package.check_manifest(manifest)


def test_file_round_trip(tmp_path):
    path = tmp_path / "m.fleet"
    make_executable().save(path)
    again = Executable.load(path)
    assert again.vmfb == b"code"
    assert again.manifest["params"] == make_manifest()["params"]
    assert list(tmp_path.iterdir()) == [path]


def test_wrong_files(tmp_path):
    path = tmp_path / "m.fleet"
    good = make_executable().to_bytes()
    for data in (b"", b"text", good[: len(good) // 2], good.replace(b"code", b"cOde")):
        path.write_bytes(data)
        with pytest.raises(FleetError, match="not a fleet file|damaged"):
            Executable.load(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("manifest.json", json.dumps({"format": package.FORMAT, "version": 99}))
    with pytest.raises(FleetError, match="format version 99"):
        Executable.load(path)
    host = {"arch": package.host_arch(), "features": ["avx9000"]}
    path.write_bytes(package.pack_file(make_manifest(host=host), b"code"))
    with pytest.raises(FleetError, match="a cpu with avx9000"):
        Executable.load(path)
    with pytest.raises(FleetError, match="cannot read"):
        Executable.load(tmp_path / "none")


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (([], [], []), "at least one row"),
        (([1] * 5, range(5), [0] * 5), "takes 4 a step"),
        (([1, 2], [0], [0, 0]), "1 positions were given for 2 tokens"),
        (([1], [0], [0, 0]), "2 slots were given for 1 tokens"),
        (([10], [0], [0]), "token 10 is not in the vocabulary of 10"),
        (([-1], [0], [0]), "token -1"),
        (([1], [8], [0]), "does not fit the context of 8"),
        (([1], [-1], [0]), "position -1"),
        (([1], [0], [2]), "slot 2 does not exist"),
        (([1], [0], [-2]), "slot -2"),
        (([1], [1], [0]), "leaves a gap"),
        (([1, 1], [0, 0], [0, 0]), "given twice"),
        (([1, 1], [0, 2], [0, 0]), "does not follow"),
        (([1], [0], [0], [1]), "output row 1"),
        (([1, 1, 1], [0, 1, 2], [0] * 3, [0, 1, 2]), "3 output rows"),
        ((["a"], [0], [0]), "whole numbers"),
        (([1.5], [0], [0]), "whole numbers"),
        (([[1]], [0], [0]), "whole numbers"),
    ],
)
def test_wrong_steps(step, message):
    executable = ready()
    with pytest.raises(FleetError, match=message):
        executable.step(*step)
    assert executable.steps == 0


def test_step_fills_idle_rows_and_tracks_slots():
    executable = ready()
    executable.step([3, 4], [0, 0], [0, 1])
    assert executable._inputs["slots"].tolist() == [0, 1, -1, -1]
    assert executable._inputs["out_rows"].tolist() == [0, 1]
    executable.step([5], [1], [1])
    assert executable.state.filled == [1, 2]
    executable.step([5], [0], [1])
    assert executable.state.filled == [1, 1]
    assert executable.steps == 3


def test_status_becomes_an_error_and_counters_restart():
    executable = ready()

    def stuck(epoch):
        executable._status[:] = [1, 5, 17, epoch]
        executable._work[:] = 1

    executable._call = stuck
    with pytest.raises(FleetError, match="worker 5 waits for device task 17 which never completes"):
        executable.step([1], [0], [0])
    assert not executable._work.any()
    assert executable._epoch == 0
    assert executable.state.filled == [0, 0]


def test_unbound():
    with pytest.raises(FleetError, match="call bind first"):
        make_executable().step([1], [0], [0])
    with pytest.raises(FleetError, match="not bound"):
        make_executable().bind({}, share=make_executable())


def test_sharing():
    assert make_executable().shares_params(make_executable(tokens=2))
    assert not make_executable().shares_params(make_executable(params=[]))
    assert make_executable().shares_state(make_executable(tokens=2))
    assert not make_executable().shares_state(make_executable(context=4))


def test_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    name = cache.key({"a": 1})
    assert name == cache.key({"a": 1}) != cache.key({"a": 2})
    assert cache.load(name) is None
    assert cache.store(name, b"data")
    assert cache.load(name) == b"data"
    assert [p.name for p in cache.directory().iterdir()] == [f"{name}.fleet"]
    cache.drop(name)
    assert cache.load(name) is None
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert not cache.store(name, b"data")


def test_options():
    assert target_pass("cpu") == "fleet-set-target{target=cpu}"
    assert target_pass("cpu:8x4") == "fleet-set-target{target=cpu chiplets=8 workers=4}"
    for wrong in ("", "cpu:", "cpu:8", "cpu:0x4", "a b"):
        with pytest.raises(FleetError):
            target_pass(wrong)
    with pytest.raises(FleetError, match="unknown phase"):
        check_phase("tile")
    assert check_shape(8, 2, 16, None) == 2
    for wrong in ((0, 1, 1, None), (1, 1, 1, 2), (True, 1, 1, None), (1, "1", 1, None)):
        with pytest.raises(FleetError):
            check_shape(*wrong)


def test_text_stream_holds_back_incomplete_characters():
    class Bytes:
        def decode(self, ids, **_):
            return bytes(ids).decode(errors="replace")

    text = "déjà vu: 雪" * 20
    stream = TextStream(Bytes())
    pieces = [stream.push(b) for b in text.encode()]
    assert "".join(pieces) + stream.flush() == text
    assert not any("\ufffd" in piece for piece in pieces)


def ready_ahead(**changes):
    """An executable of four greedy steps a launch, whose launches are noted as (epoch, steps)."""
    arenas = {"params": 1024, "state": 256, "work": 128, "input": 256, "output": 512}
    executable = ready(tokens=2, most_steps=4, history=256, arenas=arenas, **changes)
    executable.calls = []

    def launch(epoch, steps=1):
        executable.calls.append((epoch, steps))
        executable._history[:steps] = 10 * np.arange(1, steps + 1)[:, None] + np.arange(2)

    executable._call = launch
    executable._history = np.zeros((4, 2), np.int32)
    return executable


def test_steps_ahead_is_one_launch():
    executable = ready_ahead()
    assert executable.most_steps == 4
    ids = executable.steps_ahead([3, 4], [0, 0], [1, 0], 3)
    assert ids.tolist() == [[10, 11], [20, 21], [30, 31]]
    assert executable.calls == [(1, 3)]
    assert (executable.steps, executable.launches, executable._epoch) == (3, 1, 3)
    assert executable.state.filled == [3, 3]
    assert executable._inputs["out_rows"].tolist() == [0, 1]
    assert executable.steps_ahead([5], [3], [1], 4).tolist() == [[10], [20], [30], [40]]
    assert executable._inputs["slots"].tolist() == [1, -1]
    assert executable.state.filled == [3, 7]
    executable.step([5], [7], [1])  # one step has no second argument
    assert executable.calls == [(1, 3), (4, 4), (8, 1)]


def test_steps_ahead_leaves_idle_rows_alone():
    executable = ready_ahead()
    executable.steps_ahead([3, 0], [0, 0], [1, -1], 2)
    assert executable.state.filled == [0, 2]


def test_steps_ahead_up_to_the_end_of_the_context():
    executable = ready_ahead(context=4)
    executable.steps_ahead([3], [0], [0], 4)
    assert executable.state.filled == [4, 0]


def test_the_history_is_the_callers():
    executable = ready_ahead()
    ids = executable.steps_ahead([3], [0], [0], 1)
    executable._history[:] = 0
    assert ids.tolist() == [[10]]


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (([1], [0], [0], 0), "0 steps were asked of a program that takes 1 to 4 a launch"),
        (([1], [0], [0], -1), "-1 steps were asked"),
        (([1], [0], [0], 5), "5 steps were asked of a program that takes 1 to 4 a launch"),
        (([], [], [], 2), "at least one row"),
        (([1] * 3, [0, 0, 0], [0, 1, 0], 2), "takes 2 a step"),
        (([1], [0, 1], [0], 2), "2 positions were given for 1 tokens"),
        (([10], [0], [0], 2), "token 10 is not in the vocabulary of 10"),
        (([1], [0], [2], 2), "slot 2 does not exist"),
        (([1], [1], [0], 2), "leaves a gap"),
        (([1, 2], [0, 1], [0, 0], 2), "each row needs a slot of its own to be fed with its own token"),
        (([1.5], [0], [0], 2), "whole numbers"),
    ],
)
def test_wrong_steps_ahead(step, message):
    executable = ready_ahead()
    with pytest.raises(FleetError, match=message):
        executable.steps_ahead(*step)
    assert (executable.steps, executable.launches, executable.calls) == (0, 0, [])
    assert executable.state.filled == [0, 0]


def test_steps_ahead_past_the_context():
    executable = ready_ahead()
    executable.state.filled[:] = [0, 6]
    with pytest.raises(FleetError, match="position 8 does not fit the context of 8"):
        executable.steps_ahead([1, 2], [0, 6], [0, 1], 3)
    assert executable.state.filled == [0, 6]
    executable.steps_ahead([1, 2], [0, 6], [0, 1], 2)
    assert executable.state.filled == [2, 8]


def test_steps_ahead_needs_a_program_for_it():
    with pytest.raises(FleetError, match="2 steps were asked of a program that takes 1 to 1 a launch"):
        ready().steps_ahead([1], [0], [0], 2)
    with pytest.raises(FleetError, match="call bind first"):
        make_executable(most_steps=4, history=128).steps_ahead([1], [0], [0], 2)


def test_steps_ahead_that_give_up():
    executable = ready_ahead()

    def stuck(epoch, steps=1):
        executable._status[:] = [1, 5, 17, epoch]
        executable._work[:] = 1

    executable._call = stuck
    with pytest.raises(FleetError, match="worker 5 waits for device task 17 which never completes"):
        executable.steps_ahead([1], [0], [0], 3)
    assert not executable._work.any()
    assert (executable._epoch, executable.steps, executable.launches) == (0, 0, 0)
    assert executable.state.filled == [0, 0]


def test_counters_restart_before_steps_ahead_could_overflow_them():
    executable = ready_ahead()
    executable._epoch = EPOCH_LIMIT - 4
    executable._work[:] = 1
    executable.steps_ahead([1], [0], [0], 3)
    assert executable.calls == [(EPOCH_LIMIT - 3, 3)]
    assert executable._epoch == EPOCH_LIMIT - 1
    executable.steps_ahead([1], [3], [0], 2)
    assert executable.calls[-1] == (1, 2)
    assert not executable._work.any()


@pytest.mark.parametrize(
    ("target", "device", "expected"),
    [
        ("cpu", None, "cpu"),
        ("sm_90a", None, "cuda"),
        ("gfx950", None, "hip"),
        ("gfx942", "exec", "exec"),
        ("sm_90a", "cuda://1", "cuda://1"),
    ],
)
def test_devices(target, device, expected):
    assert check_device(target, device) == expected


@pytest.mark.parametrize(
    ("target", "device", "message"),
    [
        ("cpu", "tpu", "unknown device tpu: use cpu, cuda, hip or exec"),
        ("cpu", "", "unknown device : use cpu, cuda, hip or exec"),
        ("cpu", "cuda", "the device cuda cannot run the target cpu: choose cpu"),
        ("sm_90a", "cpu", "the device cpu cannot run the target sm_90a: choose cuda"),
        ("sm_90a", "exec", "the device exec cannot run the target sm_90a: choose cuda"),
        ("gfx950", "cuda://0", "the device cuda://0 cannot run the target gfx950: choose hip or exec"),
    ],
)
def test_wrong_devices(target, device, message):
    with pytest.raises(FleetError) as error:
        check_device(target, device)
    assert str(error.value) == message


ELF = b"\x7fELF\x02\x01\x01" + bytes(range(57))


def make_vmfb(code=ELF, magic=b"HIP1", modules=1, length=None):
    """An archive as IREE writes it around an AMD code object, with the least that a reader needs."""
    # A table begins with the way back to its fields (size, size of the table, where each field stands in it).
    root = struct.pack("<I", 12) + struct.pack("<HHHH", 8, 8, 0, 4) + struct.pack("<iI", 8, 4)
    root += struct.pack("<II", modules, 12)
    module = struct.pack("<HHHH", 6, 8, 4, 0) + struct.pack("<iI", 8, 4)
    module += struct.pack("<I", len(code) if length is None else length) + code
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("module.fb", b"\x00" * 100)
        archive.writestr("kernel.fb", magic.ljust(64, b"\0") + root + module)
    return buffer.getvalue()


def test_code_object():
    assert gpu.code_object(make_vmfb()) == ELF


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"text" * 100,
        ELF,
        make_vmfb()[:-1],
        make_vmfb(magic=b"CUDA"),  # code of another machine
        make_vmfb(code=b"text" * 16),
        make_vmfb(modules=0),
        make_vmfb(length=65),
        make_vmfb(modules=0xFFFFFFFF),
    ],
)
def test_no_code_object(data):
    with pytest.raises(FleetError, match="the program has no AMD code object"):
        gpu.code_object(data)


def test_a_row_of_nan_has_no_token():
    executable = ready_ahead()

    def launch(epoch, steps=1):
        executable._history[:steps] = 7
        executable._history[1, 1] = executable._ids[1] = 2147483647

    executable._call = launch
    message = "step 1 gives row 1 no token: all its logits are NaN, so look at the weights"
    with pytest.raises(FleetError, match=message):
        executable.steps_ahead([3, 4], [0, 0], [1, 0], 3)
    assert executable.steps_ahead([3, 0], [3, 0], [1, -1], 2).tolist() == [[7, 7], [7, 2147483647]]
    with pytest.raises(FleetError, match="step 0 gives row 1 no token"):
        executable.step([3, 4], [5, 3], [1, 0])
    executable.step([3], [6], [1])

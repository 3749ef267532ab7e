"""The benchmarks of NVIDIA GPUs, as far as they go without one: what they compile, compare, choose and print."""

import json
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import gpu_build
import gpu_decode
import gpu_layers
import gpu_models
import gpu_profile
import gpu_reference

from fleet_mlir import Executable, FleetError
from fleet_mlir.compiler import compile as compile_model
from fleet_mlir.compiler import from_text

TINY = {"HEADS": 4, "KV_HEADS": 2, "HEAD": 32, "HIDDEN": 64, "INNER": 128, "LAYERS": 2, "VOCABULARY": 256}
PROMPTS = ([11, 7, 130, 42], [9, 250, 5, 77], [31, 2, 8, 64], [100, 99, 3, 12])


@pytest.fixture
def weights(monkeypatch):
    """Weights of a tiny Qwen3 on the host; the benchmarks are told its shapes."""
    for module in (gpu_reference, gpu_decode, gpu_layers):
        for name, value in TINY.items():
            monkeypatch.setattr(module, name, value, raising=False)
        monkeypatch.setattr(module, "PROMPTS", PROMPTS, raising=False)
    t = TINY
    query, key = t["HEADS"] * t["HEAD"], t["KV_HEADS"] * t["HEAD"]
    monkeypatch.setattr(
        gpu_reference.RandomWeights,
        "shapes",
        {
            "q_proj": (query, 64), "k_proj": (key, 64), "v_proj": (key, 64), "o_proj": (64, query),
            "gate_proj": (128, 64), "up_proj": (128, 64), "down_proj": (64, 128),
            "embed_tokens": (256, 64), "lm_head": (256, 64), "q_norm": (32,), "k_norm": (32,),
        },
    )  # fmt: skip

    class Larger(gpu_reference.RandomWeights):
        """Of a model so small, a deviation of 0.02 would leave next to nothing of what layers add."""

        def __getitem__(self, name):
            value = super().__getitem__(name)
            return value * 8 if value.dim() == 2 and value.dtype == torch.bfloat16 else value

    return Larger("cpu")


def config():
    from transformers import Qwen3Config

    return Qwen3Config(
        hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        head_dim=32, vocab_size=256, rms_norm_eps=1e-6, rope_theta=1e6, max_position_embeddings=128,
        tie_word_embeddings=False, dtype="bfloat16",
    )  # fmt: skip


def schedule_of(rows, target="cpu:1x2"):
    sizes = {"tokens": rows, "slots": rows, "context": 32, "out_rows": rows}
    return str(compile_model(config(), target, **sizes, cache=False, compile_to="schedule"))


@pytest.fixture(scope="module")
def compiled():
    """Of six rows, with where its layers leave their output."""
    text = schedule_of(6)
    return from_text(text), gpu_build.residual(text, 6, 64)


def test_a_sound_program_passes(weights, compiled):
    step = compiled[0].bind(weights)
    with torch.no_grad():
        found = gpu_decode.verdict(step, weights, 12, 3)
    assert found["wrong"] == ""
    assert found["relative_error"] < found["of_plain_bf16"]
    assert (found["identical"], found["prompts"]) == ([3, 3], 4)


def test_a_wrong_weight_is_seen(weights, compiled):
    class Other(type(weights)):
        def __getitem__(self, name):
            value = super().__getitem__(name)
            return value.flip(0) if "layers.1.mlp.down_proj" in name else value

    step = compiled[0].bind(Other("cpu"))
    with torch.no_grad():
        assert "that of plain bf16" in gpu_decode.verdict(step, weights, 12, 3)["wrong"]


def test_a_step_that_differs_now_and_then_is_seen(weights, compiled, monkeypatch):
    step = compiled[0].bind(weights)
    run, calls = type(step).step, []

    def shaky(self, *args):
        result = run(self, *args)
        calls.append(1)
        if len(calls) == 14:
            result.logits[5, 0] += 1
        return result

    monkeypatch.setattr(type(step), "step", shaky)
    with torch.no_grad():
        found = gpu_decode.verdict(step, weights, 12, 3)
    assert found["identical"] == [2, 3]
    assert found["wrong"] == "the same step gave other bits 1 times of 3"


def test_rows_that_differ_are_seen(weights, compiled, monkeypatch):
    step = compiled[0].bind(weights)
    run = type(step).step

    def shaky(self, *args):
        result = run(self, *args)
        result.logits[4, 0] += 1
        return result

    monkeypatch.setattr(type(step), "step", shaky)
    with pytest.raises(gpu_decode.Wrong, match="rows 0 and 4 do the same and give different logits at 0"):
        gpu_decode.run_steps(step, 12)


def test_tokens_go_by_the_tie_rule():
    want = torch.zeros(1, 5, 8)
    want[..., 2], want[..., 3] = 1.0, 0.99
    assert gpu_decode.ties(want, [[0, 0, 0, 0, 2, 3]], 3) == [{"prompt": 0, "at": 4, "margin": 0.01}]
    with pytest.raises(gpu_decode.Wrong, match=r"token 4 at 3 of prompt 0, the reference says 2 \(margin 1\)"):
        gpu_decode.ties(want, [[0, 0, 0, 0, 4, 2]], 3)


def test_layers_are_compared_one_by_one(weights, compiled):
    program, offsets = compiled
    step = program.bind(weights)
    with torch.no_grad():
        ids, streams, logits = gpu_layers.run_steps(step, offsets, 8)
        good = gpu_layers.compare(weights, ids, streams, logits)
        streams[0] *= 1.05
        bad = gpu_layers.compare(weights, ids, streams, logits)
    assert ids[:, 0].tolist() == list(range(6))
    assert good["wrong"] == []
    assert max(*good["alone"], good["logits_alone"]) < gpu_layers.TOLERANCE
    assert bad["wrong"][0] == 0
    assert "wrong: batch 6: layers 0" in gpu_layers.text_of(6, bad)
    assert gpu_layers.text_of(6, good).count("\n") == 1


def test_the_residual_stream_is_found_or_refused():
    text = schedule_of(1, "sm_90a")
    assert len(set(gpu_build.residual(text, 1, 64))) == 2
    with pytest.raises(FleetError, match="expected one to four f32 buffers of 3 x 64 a layer, found 0 in 2 layers"):
        gpu_build.residual(text, 3, 64)
    line = '%0 = fleet.buffer "work" offset 64 : memref<1x64xf32, #fleet.mem<hbm>>\n'
    with pytest.raises(FleetError, match="expected a place of its own for the residual stream of each layer"):
        gpu_build.residual("fleet.layers = 2 : i64\n" + 2 * line, 1, 64)


def test_what_is_built():
    cases = gpu_build.cases([1, 8], 8192, [8], [32])
    assert [(case.file, case.capacity) for case in cases[:4]] == [
        ("b1.fleet", 1152),
        ("b8.fleet", 1152),
        ("b1-8192.fleet", 8320),
        ("b32-layers.fleet", 256),
    ]
    assert [case.variant for case in cases[4:]] == list(gpu_build.ABLATED)
    assert len({case.file for case in cases}) == len(cases)
    with pytest.raises(Exception, match="1,x is not a list of positive whole numbers"):
        gpu_build.numbers("1,x")


def test_a_folder_says_what_there_is(tmp_path):
    with pytest.raises(FleetError, match=r"has no programs\.json that can be read: expected a folder of gpu_build\.py"):
        gpu_decode.programs([tmp_path], 1024)
    entries = [
        {"file": "b1.fleet", "batch": 1, "contexts": [128, 1024], "variant": ""},
        {"file": "b8.fleet", "batch": 8, "contexts": [1024], "variant": ""},
        {"file": "b8-x.fleet", "batch": 8, "contexts": [1024], "variant": "no prefetch"},
        {"file": "b8-layers.fleet", "batch": 8, "contexts": [128], "variant": "layers"},
    ]
    only = {"batch": 8, "variant": "dynamic scheduler", "switches": "scheduler=dynamic", "predicted_ms": 6.5}
    (tmp_path / "programs.json").write_text(json.dumps({"programs": entries, "simulated": [only]}))
    found = gpu_decode.programs([tmp_path], 1024)

    def chosen(*arguments):
        return [
            entry.get("file", "simulated")
            for entry in gpu_decode.choose(found, gpu_decode.parse([str(tmp_path), *arguments]))
        ]

    assert chosen() == ["b1.fleet", "b8.fleet"]
    assert chosen("--ablate") == ["b1.fleet", "b8.fleet", "b8-x.fleet", "simulated"]
    assert chosen("--ablate", "--batches", "8") == ["b8.fleet", "b8-x.fleet", "simulated"]
    with pytest.raises(FleetError, match="no program is left to run"):
        chosen("--batches", "3")


def test_the_table_says_what_is_wrong_and_what_is_simulated():
    correct = {
        "relative_error": 0.0123,
        "identical": [97, 100],
        "wrong": "the same step gave other bits 3 times of 100",
    }
    rows = [
        {"batch": 1, "context": 1024, "variant": "", "correct": {**correct, "wrong": ""}, "ms_a_step": 4.0,
         "inner_ms": 3.9, "ms_of_a_launch_of_one_step": 4.3, "gb_a_step": 15.292, "tb_a_second": 3.823,
         "torch_ms": 5.0, "predicted_ms": 3.8},
        {"batch": 8, "context": 1024, "variant": "", "correct": correct, "predicted_ms": 5.0},
        {"batch": 8, "context": 1024, "variant": "dynamic scheduler (simulated)", "predicted_ms": 6.5},
    ]  # fmt: skip
    lines = gpu_decode.table(rows).splitlines()
    assert (
        lines[0].split()
        == "batch context ms inner 1 a launch GB TB/s torch ratio model error rel. error same bits".split()
    )
    assert lines[1].split() == "1 1024 4.000 3.900 4.300 15.29 3.82 5.00 0.80 3.800 -5.0 % 0.0123 97 of 100".split()
    assert lines[2].split()[:3] == ["8", "1024", "-"]
    assert lines[3].split()[2:6] == ["dynamic", "scheduler", "(simulated)", "-"]
    assert lines[4] == "wrong: batch 8: the same step gave other bits 3 times of 100"


def test_bytes_of_a_step():
    table = {"names": ["model.embed_tokens.weight"], "shape": [100, 64]}
    manifest = {"params": [table], "arenas": {"params": 1_000_000}, "tokens": 2}
    assert gpu_decode.bytes_of(manifest, 10) == 1_000_000 - 12_800 + 2 * 36 * 8 * 128 * 2 * 2 * 10


def test_packed_weights_are_used_again(weights, compiled):
    first = compiled[0].bind(weights)
    second = Executable(first.manifest, first.vmfb).bind({}, packed=first)
    assert second.params is first.params
    assert second.state is not first.state
    with pytest.raises(FleetError, match="the executable whose weights are to be used is not bound"):
        compiled[0].bind(weights, packed=Executable(first.manifest, first.vmfb))


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A folder of `gpu_build.py` with programs for the host."""
    folder = tmp_path_factory.mktemp("built")
    cases = [gpu_build.Case(f"b{rows}.fleet", rows, (20,), target="cpu:1x2") for rows in (1, 5)]
    cases += [gpu_build.Case(f"b{rows}-layers.fleet", rows, (20,), gpu_build.READ_LAYERS, "cpu:1x2") for rows in (1, 5)]
    builder = gpu_build.Builder(config())
    entries = [builder.build(folder, case, folder) for case in cases]
    only = {"batch": 1, "variant": "dynamic scheduler", "switches": "scheduler=dynamic", "predicted_ms": 6.5}
    (folder / "programs.json").write_text(json.dumps({"programs": entries, "simulated": [only]}))
    return folder


@pytest.fixture
def folder(built, weights, monkeypatch):
    """That folder, whose programs the benchmarks take for those of the GPU."""
    bind = Executable.bind
    monkeypatch.setattr(Executable, "bind", lambda self, w, packed=None, device=None: bind(self, w, packed=packed))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "host")
    for module in (gpu_decode, gpu_layers):
        monkeypatch.setattr(module, "RandomWeights", lambda: weights)
    return built


def test_a_folder_is_measured(folder, monkeypatch, capsys):
    options = ["--launches", "2", "--steps", "12", "--repeats", "2", "--ablate"]
    monkeypatch.setattr(sys, "argv", ["gpu_decode", str(folder), *options])
    gpu_decode.main()
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [row["batch"] for row in result["rows"]] == [1, 5, 1]
    assert result["rows"][2]["variant"] == "dynamic scheduler (simulated)"
    for row in result["rows"][:2]:
        assert row["correct"]["wrong"] == ""
        assert row["ms_a_step"] > 0
        assert row["predicted_ms"] > 0
    assert (folder / "b5.mlir").read_text().startswith("#map")


def test_what_is_wrong_is_not_timed(folder, monkeypatch, capsys):
    monkeypatch.setattr(gpu_decode, "ties", lambda *_: (_ for _ in ()).throw(gpu_decode.Wrong("another token")))
    options = ["--launches", "2", "--steps", "12", "--repeats", "2", "--batches", "5"]
    monkeypatch.setattr(sys, "argv", ["gpu_decode", str(folder), *options])
    with pytest.raises(SystemExit):
        gpu_decode.main()
    printed = capsys.readouterr().out
    assert "wrong: batch 5: another token" in printed
    assert "ms_a_step" not in printed
    monkeypatch.setattr(sys, "argv", ["gpu_decode", str(folder), *options, "--anyway"])
    with pytest.raises(SystemExit):
        gpu_decode.main()
    assert "ms_a_step" in capsys.readouterr().out


def test_what_does_not_end_is_wrong_and_the_next_is_run(folder, monkeypatch, capsys):
    verdict = gpu_decode.verdict

    def stuck(step, *rest):
        if step.tokens == 1:
            raise FleetError("worker 3 waits for device task 7 which never completes")
        return verdict(step, *rest)

    monkeypatch.setattr(gpu_decode, "verdict", stuck)
    monkeypatch.setattr(sys, "argv", ["gpu_decode", str(folder), "--launches", "2", "--steps", "12", "--repeats", "2"])
    with pytest.raises(SystemExit):
        gpu_decode.main()
    printed = capsys.readouterr().out
    assert "wrong: batch 1: worker 3 waits for device task 7 which never completes" in printed
    assert [row.get("ms_a_step", 0) > 0 for row in json.loads(printed.splitlines()[-1])["rows"]] == [False, True]


def test_layers_of_a_folder(folder, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["gpu_layers", str(folder), "--batches", "1,5", "--steps", "8"])
    gpu_layers.main()
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert all(len(result["batches"][batch]["alone"]) == 2 for batch in ("1", "5"))
    monkeypatch.setattr(gpu_layers, "TOLERANCE", 1e-6)
    with pytest.raises(SystemExit):
        gpu_layers.main()
    assert "wrong: batch 1: layers 0" in capsys.readouterr().out


def test_layers_need_programs_of_their_own(folder, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["gpu_layers", str(folder), "--batches", "3"])
    with pytest.raises(SystemExit, match="expected programs for it in .*, found none of these batches: build them with"):
        gpu_layers.main()


@pytest.mark.parametrize("rows", [1, 8, 33])
def test_layers_can_be_read_on_the_gpu(rows):
    builder = gpu_build.Builder(config())
    case = gpu_build.Case("", rows, (32,), gpu_build.READ_LAYERS, "sm_90a", gpu_build.LAYERS_SCHEDULE)
    assert len(gpu_build.residual(builder.schedule(case), rows, 64)) == 2


def test_what_lacks_an_idea_lacks_it():
    """By what the kernel has: loops in which the producer waits, signals to the device from every task."""
    builder, kernels = gpu_build.Builder(config()), {}
    for name, (target, schedule) in {"": ("sm_90a", None), **gpu_build.ABLATED}.items():
        text = builder.schedule(gpu_build.Case("", 1, (32,), name, target, schedule))
        kernels[name] = str(from_text(text, compile_to="target"))

    def counts(name):
        return kernels[name].count("llvm.atomicrmw add") - kernels[""].count("llvm.atomicrmw add")

    assert counts("no prefetch") == 0
    assert kernels["no prefetch"] != kernels[""]
    assert counts("two levels of events") == counts("two levels, flat") == 1
    assert kernels["two levels of events"] != kernels["two levels, flat"]


def test_no_other_kernel_goes_without_prefetch():
    with pytest.raises(FleetError, match="expected a schedule without prefetch=off for a kernel, found it"):
        compile_model(
            config(), "gfx950:2x2", tokens=1, slots=1, context=32, out_rows=1, cache=False, compile_to="kernel",
            schedule="prefetch=off",
        )  # fmt: skip


PROFILE = """"Kernel Name","normal_"
"Address","Source","# Samples","Instructions Executed","stall_long_sb","stall_wait","stall_wait (Not Issued)"
"0x100","      EXIT","9","1","0","9","9"
"Kernel Name","fleet_step"
"Address","Source","# Samples","Instructions Executed","stall_long_sb","stall_wait","stall_wait (Not Issued)"
"0x7f00","      LDL.64 R4, [R1+0x8]","2","1024","0","2","1"
"0x7f10","      LDL R8, [R1]","1","1024","0","1","1"
"0x7f20","      IMAD R9, R2, 0xc, R3","0","1024","0","0","0"
"0x7f30","      IADD3 R9, R5, R8, RZ","60","1024","57","3","3"
"0x7f40","      STS [R9], R5","37","1024","30","7","7"
"""


def test_a_profile_says_which_spilled_registers_are_waited_for(tmp_path):
    path = tmp_path / "step.csv"
    path.write_text(PROFILE)
    code = gpu_profile.read(path)
    assert [one.at for one in code] == [0, 16, 32, 48, 64]
    assert [(load.at, user.at) for load, user in gpu_profile.spilled(code)] == [(0, 48), (16, 48)]
    lines = gpu_profile.report(code, 10).splitlines()
    assert lines[:3] == ["100 samples, 5 instructions of 0 KB", " 87.00 % long_sb", " 13.00 % wait"]
    assert lines[4].split() == "3.00 % 60.00 % 0x30 x1,024 IADD3 R9, R5, R8, RZ long_sb 95 %, wait 5 %".split()
    assert lines[7] == " 60.00 % at what needs one of 2 spilled registers:"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("==ERROR== Could not open report file\n", "expected ncu's source page as CSV, found no kernel in"),
        (PROFILE.replace('"# Samples"', '"Samples"'), "expected a column '# Samples' in"),
        (PROFILE.replace('"37","1024"', '"37","1,0"'), "expected whole numbers in line 10 of .*'1,0'"),
        ("\n".join([*PROFILE.splitlines()[:5], '"0x0","EXIT","0","1","0","0","0"']), "expected samples of instructions, found none"),
    ],
)  # fmt: skip
def test_what_is_no_profile_is_said_in_a_sentence(tmp_path, monkeypatch, text, message):
    path = tmp_path / "step.csv"
    path.write_text(text)
    monkeypatch.setattr(sys, "argv", ["gpu_profile.py", "read", str(path)])
    with pytest.raises(SystemExit, match=message):
        gpu_profile.main()


SMALLER = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 256}


@pytest.fixture(scope="module")
def small_models(tmp_path_factory):
    """A folder of `gpu_models.py` with programs of smaller models for the host."""
    patch = pytest.MonkeyPatch()
    for options in gpu_models.RANDOM.values():
        for name, value in {**SMALLER, **({"head_dim": 32} if "head_dim" in options else {})}.items():
            patch.setitem(options, name, value)
    folder = tmp_path_factory.mktemp("models")
    with pytest.MonkeyPatch.context() as building:
        building.setattr(gpu_models, "TARGET", "cpu:1x2")
        building.setattr(gpu_models, "PROMPTS", PROMPTS)
        gpu_models.build(folder, [1, 5], list(gpu_models.RANDOM), "")
    yield folder
    patch.undo()


def test_small_models_are_right(small_models, monkeypatch, capsys):
    bind = Executable.bind
    monkeypatch.setattr(Executable, "bind", lambda self, w, device=None: bind(self, w))
    gpu_models.main([str(small_models), "--steps", "12", "--repeats", "2"])
    rows = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [(row["model"], row["batch"]) for row in rows] == [(m, b) for m in ("qwen3", "llama", "gpt_neox") for b in (1, 5)]
    assert all(row["wrong"] == "" and row["relative_error"] < row["of_plain_bf16"] for row in rows)


def test_a_small_model_beyond_the_tolerance_is_wrong(small_models, monkeypatch, capsys):
    bind = Executable.bind
    monkeypatch.setattr(Executable, "bind", lambda self, w, device=None: bind(self, w))
    monkeypatch.setattr(gpu_models, "TOLERANCE", 1e-6)
    with pytest.raises(SystemExit):
        gpu_models.main([str(small_models), "--steps", "8", "--repeats", "2", "--models", "llama", "--batches", "1"])
    (row,) = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert row["wrong"].endswith(", at most 1e-06 is right")


@pytest.mark.parametrize("layer", ["mlp.down_proj", "mlp.dense_4h_to_h.bias"])
def test_a_small_model_with_another_weight_is_wrong(small_models, monkeypatch, capsys, layer):
    bind = Executable.bind

    def other(self, model, device=None):
        kept = {name: value.clone() for name, value in model.state_dict().items()}
        for name, value in model.named_parameters():
            if layer in name and "layers.1" in name:
                value.data = value.data.flip(0)
        bound = bind(self, model)
        model.load_state_dict(kept)
        return bound

    monkeypatch.setattr(Executable, "bind", other)
    with pytest.raises(SystemExit):
        gpu_models.main(
            [str(small_models), "--steps", "12", "--repeats", "2", "--batches", "5", "--models", "llama,gpt_neox"]
        )
    rows = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [bool(row["wrong"]) for row in rows] == ["down" in layer, "dense" in layer]


def test_small_models_that_cannot_be_run(small_models, tmp_path):
    with pytest.raises(SystemExit, match=r"has no models\.json that can be read: build it with --build"):
        gpu_models.main([str(tmp_path)])
    with pytest.raises(SystemExit, match="no program is left to run: expected one of the models and batches that were built"):
        gpu_models.main([str(small_models), "--batches", "3"])
    entry = {"model": "smollm2", "batch": 1, "file": "x", "prompts": []}
    (tmp_path / "models.json").write_text(json.dumps([entry]))
    with pytest.raises(SystemExit, match="unknown model qwen: expected some of qwen3, llama, gpt_neox, smollm2"):
        gpu_models.main([str(tmp_path / "new"), "--build", "--models", "qwen"])
    assert not (tmp_path / "new").exists()
    with pytest.raises(SystemExit, match="the model smollm2 needs its weights: say where with --gguf"):
        gpu_models.main([str(tmp_path), "--models", "smollm2"])


@pytest.mark.parametrize("kind", ["qwen3", "gpt_neox"])
def test_programs_for_racecheck(tmp_path, monkeypatch, kind):
    for name, value in SMALLER.items():
        monkeypatch.setitem(gpu_models.RANDOM[kind], name, value)
    gpu_models.build(tmp_path, [8], [kind], gpu_models.RACECHECK)
    assert Executable.load(tmp_path / f"{kind}-b8.fleet").tokens == 8

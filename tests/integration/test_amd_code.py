"""What the AMD code objects do and take: write-backs, registers, memory."""

import re
import resource
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from test_amdgpu import SHAPE, STEPS, Step, code_object, kernel, reference, weights_of
from tiny_models import tiny

import fleet_mlir
from fleet_mlir import cli, inspect, package


@pytest.mark.parametrize("chip", ["gfx950", "gfx942"])
def test_one_write_back_for_each_producing_chiplet_and_event(tmp_path, chip, capsys):
    """What a launch does, counted; where every task tells the device there is one for each."""
    expected, ids = reference("qwen3", torch.bfloat16)[0]
    done = {}
    for name, option in (("events", ""), ("flat events", "flat-events")):
        (folder := tmp_path / name.replace(" ", "-")).mkdir()
        code, manifest = code_object(folder, kernel("qwen3", torch.bfloat16, chip), chip, option)
        step = Step(chip, code, manifest, weights_of("qwen3", torch.bfloat16, manifest), seed=1)
        launch, counts = step.machine.launch, []
        step.machine.launch = lambda *args, _launch=launch, _counts=counts, **options: _counts.append(_launch(*args, **options))
        logits, tokens = step(*STEPS[0])
        assert np.linalg.norm(logits - expected) < 2e-2 * np.linalg.norm(expected) and tokens.tolist() == ids.tolist()
        (done[name],) = (stats.writebacks for stats in counts)
    stats = manifest["stats"]
    # Every cu task tells its chiplet; what the step counts beyond that is told to the device.
    assert done["events"] == stats["signals"] - stats["cu_tasks"] <= stats["chiplet_tasks"]
    assert done["events"] < done["flat events"] <= stats["cu_tasks"]
    with capsys.disabled():
        print(f"\n{chip}: write-backs of a step {done}")


def check_facts(facts):
    """One wave a SIMD, everything in registers."""
    assert facts["scratch"] == facts["spilled VGPRs"] == facts["spilled SGPRs"] == 0
    assert facts["waves a SIMD"] == 1 <= facts["waves a SIMD, by registers"]
    assert 0 < facts["VGPRs"] + facts["AGPRs"] <= 512 and facts["SGPRs"] <= 108  # 102 and what the chip adds
    assert 0 < facts["instructions"] < facts["code object"]


def test_inspect_shows_what_a_kernel_takes(tmp_path, capsys):
    file = tmp_path / "tiny.fleet"
    program = fleet_mlir.compile(tiny("llama", torch.bfloat16).config, "gfx950:8x4", context=64)
    program.save(file)
    assert cli.main(["inspect", str(file)]) == 0
    shown = capsys.readouterr().out
    facts = inspect.kernel_facts(program.vmfb)
    check_facts(facts)
    for name, value in facts.items():
        assert any(line.split("  ")[0] == name and line.endswith(f" {value:,}") for line in shown.splitlines()), name


@pytest.fixture(scope="module")
def deep():
    """A layer deep enough for the ring to go round: its kernel, a model, and the cpu's results."""
    from fleet_mlir import compiler, runtime
    from fleet_mlir.importer import import_step
    from fleet_mlir.models import load

    config = tiny("llama", torch.bfloat16).config
    config.hidden_size, config.intermediate_size, config.num_hidden_layers = 1024, 3072, 1
    torch.manual_seed(1)
    model = type(tiny("llama", torch.bfloat16))(config).to(torch.bfloat16).eval()
    text = import_step(config, dtype=torch.bfloat16, **SHAPE)
    phases = compiler.PHASES[: compiler.PHASES.index("kernel") + 1]
    program = fleet_mlir.compile(model, "cpu", **SHAPE).bind(model)
    result = program.step(*STEPS[0])
    # Room for fewer slots a wave than a tile of the last matrix has rounds, 24, and no divisor of them.
    text = compiler.run_phases(text, phases, "gfx950:8x4")[0].replace("lds = 163840", "lds = 131072")
    return text, lambda manifest: runtime.pack_params(manifest, load(model).weights), (result.logits, result.ids)


def first_step_is_right(folder, deep, seed, options=""):
    kernel_text, params, (expected, ids) = deep
    code, manifest = code_object(folder, kernel_text, "gfx950", options)
    step = Step("gfx950", code, manifest, params(manifest), seed=seed)
    logits, tokens = step(*STEPS[0])
    return np.linalg.norm(logits - expected) < 2e-2 * np.linalg.norm(expected) and tokens.tolist() == ids.tolist()


def test_the_ring_in_lds_goes_round(tmp_path, deep):
    assert all(first_step_is_right(tmp_path, deep, seed) for seed in range(3))
    (size,) = re.findall(r"@ring\(\).*array<(\d+) x i8>", (tmp_path / "target.mlir").read_text())
    slots = int(size) // 4096
    assert 8 < slots < 24 and 24 % slots


@pytest.mark.parametrize("fault", ["shift-ring=1", "omit-ring=wait", "omit-ring=order"])
def test_every_wait_of_the_ring_is_needed(tmp_path, deep, fault):
    """A slot further on, no wait for what was asked for, no wait for reads before a slot is asked for again."""
    assert not all(first_step_is_right(tmp_path, deep, seed, fault) for seed in range(3))


@pytest.mark.slow
@pytest.mark.parametrize("chip", ["gfx950", "gfx942"])
def test_a_model_of_full_size_without_weights(tmp_path, chip):
    """Qwen3-8B in less than 8 minutes and 8 GiB."""
    file = tmp_path / "step.fleet"
    start = time.monotonic()
    command = [sys.executable, "-m", "fleet_mlir", "compile", "--config", "qwen3-8b", "--target", chip, "--no-cache", "-o", str(file)]
    subprocess.run(command, check=True)
    assert time.monotonic() - start < 8 * 60
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 8 << 20
    manifest, vmfb = package.unpack_file(file.read_bytes())
    check_facts(inspect.kernel_facts(vmfb))
    assert manifest["layers"] == 36

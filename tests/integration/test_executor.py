"""Programs for AMD chips, packaged as for the chip, and run from the package on the executor."""

import numpy as np
import pytest
import torch
from reference import exact, logits_of, relative, weights_of
from tiny_models import tiny

from fleet_mlir import FleetError, compile
from fleet_mlir.runtime import Executable

IDS = [3, 17, 200, 5]


@pytest.mark.parametrize("target", ["gfx950:8x2", "gfx942:8x2"])
def test_a_packaged_program_runs_on_the_executor(tmp_path, target):
    model = tiny("qwen3", torch.bfloat16)
    options = {"tokens": 4, "slots": 1, "context": 64, "out_rows": 4}
    path = tmp_path / "step.fleet"
    compile(model, target, **options).save(path)
    amd = Executable.load(path).bind(weights_of(model), device="exec")
    cpu = compile(model, "cpu", **options).bind(weights_of(model))
    a, b = (step.step(IDS, range(4), [0] * 4, range(4)) for step in (amd, cpu))
    assert relative(a.logits, logits_of(exact(model), IDS)) < 2e-2
    assert np.array_equal(a.ids, b.ids)
    # The caches stay: one more row sees those before it.
    a, b = (step.step([91], [4], [0], [0]) for step in (amd, cpu))
    assert np.array_equal(a.ids, b.ids)
    assert relative(a.logits, logits_of(exact(model), [*IDS, 91])[-1:]) < 2e-2


def test_a_program_for_an_nvidia_chip_is_packaged():
    step = compile(tiny("llama", torch.bfloat16), "sm_90a", tokens=1, context=64)
    assert step.manifest["threads"] == 384
    assert step.manifest["workers"] == 132
    assert b".target sm_90a" in step.vmfb


@pytest.mark.parametrize(
    "target,device,message",
    [
        ("sm_90a", "cpu", "the device cpu cannot run the target sm_90a: choose cuda"),
        ("sm_90a", "cuda", "the driver of the device cuda is not available"),
        ("gfx950:8x2", "cuda", "the device cuda cannot run the target gfx950: choose hip or exec"),
        ("gfx950:8x2", "hip", "the driver of the device hip is not available"),
        ("gfx950:8x2", "fpga", "unknown device fpga: use cpu, cuda, hip or exec"),
    ],
)
def test_devices_that_cannot_run_a_program(target, device, message):
    model = tiny("llama", torch.bfloat16)
    with pytest.raises(FleetError, match=message):
        compile(model, target, tokens=1, context=64).bind(weights_of(model), device=device)

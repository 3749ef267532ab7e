"""The files of the phases: text that fleet-opt reads, each the input of the next."""

import itertools

import pytest
import torch
from tiny_models import tiny

from fleet_mlir import compile, tools
from fleet_mlir.compiler import PHASES, dump_name


@pytest.mark.parametrize("kind,target", [("llama", "cpu"), ("qwen3", "cpu:8x4"), ("neox", "cpu:3x2")])
def test_each_phase_takes_the_file_of_the_one_before(tmp_path, kind, target):
    compile(tiny(kind, torch.bfloat16), target, tokens=4, slots=2, context=32, dump_phases=tmp_path)
    files = [tmp_path / dump_name(phase) for phase in PHASES]
    for path in files:
        assert tools.run("fleet-opt", [str(path)]) == path.read_text(), f"{path.name} is not stable as text"
    for (before, after), phase in zip(itertools.pairwise(files), PHASES[1:], strict=True):
        assert tools.run("fleet-opt", [f"--fleet-phase-{phase}", str(before)]) == after.read_text(), phase


@pytest.mark.parametrize("target", ["gfx950", "gfx942", "sm_90a"])
def test_gpu_targets_reach_the_kernel_phase(target):
    text = compile(tiny("qwen3", torch.bfloat16), target, tokens=1, context=32, compile_to="kernel")
    assert 'fleet.phase = "kernel"' in text
    assert f'#fleet.target<"{target}"' in text

"""The greatest of many logits, which the workers of an AMD chip find together."""

import numpy as np
import pytest
import torch
from test_amdgpu import Step, code_object
from tiny_models import tiny

from fleet_mlir import compiler, runtime
from fleet_mlir.importer import import_step
from fleet_mlir.models import load

VOCABULARY = 9001
SHAPE = {"tokens": 4, "slots": 2, "context": 64, "out_rows": 2}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A model whose every logit is there twice, and its step for 8 chiplets of 4 workers."""
    model = tiny("llama", torch.float32)
    model.resize_token_embeddings(VOCABULARY, mean_resizing=False)
    with torch.no_grad():
        weight = model.lm_head.weight
        weight[VOCABULARY // 2 + 1 :] = weight[: VOCABULARY // 2].clone()
    phases = compiler.PHASES[: compiler.PHASES.index("kernel") + 1]
    text = compiler.run_phases(import_step(model.config, dtype=torch.float32, **SHAPE), phases, "gfx950:8x4")[0]
    assert "fleet.argmax_partial" in text and "fleet.argmax_merge" in text and "fleet.argmax ins" not in text
    code, manifest = code_object(tmp_path_factory.mktemp("argmax"), text, "gfx950")
    return model, code, manifest


def check(logits, ids):
    """The first of the greatest, as numpy finds it where NaN is less than all."""
    assert ids.tolist() == np.where(np.isnan(logits), -np.inf, logits).argmax(-1).tolist()


@pytest.mark.parametrize("seed", range(3))
def test_the_first_of_equals_in_different_parts(built, seed):
    model, code, manifest = built
    step = Step("gfx950", code, manifest, runtime.pack_params(manifest, load(model).weights), seed=seed)
    for inputs in (([17, 3, 250], [0, 1, 2], [1, 1, 1], [0, 2]), ([99, 8999], [3, 0], [1, 0], [0, 1])):
        logits, ids = step(*inputs)
        check(logits, ids)
        assert (ids < VOCABULARY // 2 + 1).all()
        assert ids[0] != ids[1]


def test_nan_is_never_the_greatest(built):
    model, code, manifest = built
    weights = dict(load(model).weights)
    params = runtime.pack_params(manifest, weights)
    _, ids = Step("gfx950", code, manifest, params, seed=0)([17], [0], [0], [0])
    head = model.lm_head.weight.detach().clone()
    head[ids[0]] = float("nan")
    head[-1] = float("nan")
    name = next(n for n in weights if n.startswith("lm_head"))
    weights[name] = head
    logits, others = Step("gfx950", code, manifest, runtime.pack_params(manifest, weights), seed=0)([17], [0], [0], [0])
    assert np.isnan(logits[0, ids[0]]) and np.isnan(logits[0, -1])
    check(logits, others)
    # The same logit stands in the second half, in another part.
    assert others[0] == ids[0] + VOCABULARY // 2 + 1

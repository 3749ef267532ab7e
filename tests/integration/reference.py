"""Hugging Face as the reference, and the rule for ties."""

import copy

import numpy as np
import torch

TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2}


def weights_of(model) -> dict[str, torch.Tensor]:
    """Parameters and buffers by name, tied ones under every name."""
    named = dict(model.named_parameters(remove_duplicate=False))
    named.update(model.named_buffers(remove_duplicate=False))
    return named


def exact(model):
    """The same weights in f32: what a model in bf16 rounds away is no reference."""
    return copy.deepcopy(model).float()


@torch.no_grad()
def logits_of(model, ids) -> np.ndarray:
    """Logits float32 ``[len(ids), V]`` of a whole sequence."""
    return model(torch.tensor([list(ids)])).logits[0].float().numpy()


def relative(got: np.ndarray, want: np.ndarray) -> float:
    """Relative error in the L2 norm; infinite where one of both is not finite or the reference is zero."""
    if not np.isfinite(want).all() or not np.isfinite(got).all() or not want.any():
        return float("inf")
    return float(np.linalg.norm(got - want) / np.linalg.norm(want))


def check_greedy(token: int, want: np.ndarray, tolerance: float) -> None:
    """The token is the reference's best, or the reference's margin between both is below the tolerance (printed)."""
    assert np.isfinite(want).all() and want.std() > 1e-3, "the reference's logits are constant or not finite"
    best = int(want.argmax())
    if token == best:
        return
    margin = float(want[best] - want[token])
    allowed = tolerance * float(np.abs(want).max())
    print(f"tie: {token} instead of {best}, margin {margin:.3g}, allowed {allowed:.3g}")
    assert margin < allowed, f"token {token} instead of {best}: margin {margin:.3g} >= {allowed:.3g}"

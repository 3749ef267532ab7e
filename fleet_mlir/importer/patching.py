"""Make a Hugging Face decoder call Fleet's named operations, for the time of one export, whatever its architecture.

Nothing here knows a model by name. A module is taken for what it computes: a normalisation is an RMSNorm because it gives the
numbers of one on random input, a rotary embedding is ours because it rotates random input as ours does.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface

from ..errors import FleetError
from . import ops  # noqa: F401  (registers the operators)

fleet = torch.ops.fleet

ATTENTION = "fleet"
ROTARY = "apply_rotary_pos_emb"


@dataclass
class Step:
    """What one run of the patched model needs beyond its own arguments: slots `Txi32`, positions `Txi32`, out_rows `Oxi32`."""

    slots: torch.Tensor
    positions: torch.Tensor
    out_rows: torch.Tensor
    context: int
    layers: list[int] = field(default_factory=list)
    gathered: bool = False


_step: ContextVar[Step | None] = ContextVar("fleet_step", default=None)


def _current() -> Step:
    step = _step.get()
    if step is None:
        raise RuntimeError("the fleet attention runs only inside a fleet step")
    return step


def _attention(
    module: nn.Module,
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """The attention function of the interface: q `[1, H, T, D]`, k and v `[1, G, T, D]` -> `[1, T, H, D]`."""
    step = _current()
    who = type(module).__name__
    layer = getattr(module, "layer_idx", None)
    if layer is None:
        raise FleetError(f"{who} has no layer_idx, so its attention cannot be tied to a cache")
    window = kwargs.get("sliding_window")
    if window is not None and window < step.context:
        raise FleetError(
            f"{who} of layer {layer} attends within a sliding window of {window}, which fleet does not support; "
            f"a context of at most {window} needs no window"
        )
    for name, what in (
        ("softcap", "softcapping of scores"),
        ("s_aux", "attention sinks"),
        ("position_bias", "a position bias"),
    ):
        if kwargs.get(name) is not None:
            raise FleetError(f"{who} of layer {layer} uses {what} ({name}), which fleet does not support")
    if kwargs.get("is_causal", getattr(module, "is_causal", True)) is False:
        raise FleetError(f"{who} of layer {layer} is not causal, and fleet compiles decoders alone")
    if q.shape[-1] != v.shape[-1]:
        raise FleetError(
            f"{who} of layer {layer} has values of {v.shape[-1]} beside queries of {q.shape[-1]}, which fleet does not support"
        )
    step.layers.append(layer)
    scale = float(q.shape[-1] ** -0.5 if scaling is None else scaling)
    flat = [x.transpose(1, 2).reshape(x.shape[2], x.shape[1], x.shape[3]) for x in (q, k, v)]
    out = fleet.attention(*flat, step.slots, step.positions, int(layer), scale)
    return out.unsqueeze(0), None


AttentionInterface.register(ATTENTION, _attention)
AttentionMaskInterface.register(ATTENTION, lambda *args, **kwargs: None)


def _flat(x: torch.Tensor) -> torch.Tensor:
    """`[1, T, ...]` -> `[T, ...]`."""
    return x.reshape(x.shape[1:]) if x.dim() > 2 and x.shape[0] == 1 else x


def _rms_eps(module: nn.Module) -> float | None:
    """The epsilon of a module that computes an RMSNorm, None for any other module."""
    names = [n for n, _ in module.named_parameters()]
    eps = getattr(module, "variance_epsilon", getattr(module, "eps", None))
    if (
        names != ["weight"]
        or module.weight.dim() != 1
        or not isinstance(eps, float)
        or any(True for _ in module.children())
    ):
        return None
    made = torch.Generator().manual_seed(0)
    width = module.weight.shape[0]
    weight = torch.randn(width, generator=made)
    # The scale makes the epsilon count: a mean square near it.
    x = torch.randn(2, 3, width, generator=made) * torch.tensor([eps**0.5, 1.0]).reshape(2, 1, 1)
    try:
        with torch.no_grad():
            got = torch.func.functional_call(module, {"weight": weight}, (x,))
            want = fleet.rms_norm(x, weight, eps)
        same = isinstance(got, torch.Tensor) and torch.allclose(got, want, rtol=1e-4, atol=1e-6)
    except Exception:
        return None
    return eps if same else None


def _norm_forward(module: nn.Module, known: dict) -> Callable | None:
    """A forward through a named operation for a norm or an embedding, or None."""
    if isinstance(module, nn.Embedding):
        if module.max_norm is not None:
            return None
        return lambda ids: fleet.gather(module.weight, ids.reshape(-1)).reshape(*ids.shape, -1)
    if isinstance(module, nn.LayerNorm):
        if module.weight is None or module.bias is None or len(module.normalized_shape) != 1:
            return None
        return lambda x: fleet.layer_norm(_flat(x), module.weight, module.bias, module.eps).reshape(x.shape)
    weight = getattr(module, "weight", None)
    if not isinstance(weight, torch.Tensor):
        return None
    key = (type(module), tuple(weight.shape), getattr(module, "variance_epsilon", getattr(module, "eps", None)))
    if key not in known:
        known[key] = _rms_eps(module)
    eps = known[key]
    if eps is None:
        return None
    original = module.forward

    def forward(x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        if args or kwargs:
            return original(x, *args, **kwargs)
        return fleet.rms_norm(_flat(x), module.weight, eps).reshape(x.shape)

    return forward


def _rotary(q: torch.Tensor, k: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, *rest: Any, **kwargs: Any) -> tuple:
    """Stands for a model's own function: q `[1, H, T, D]`, k `[1, G, T, D]`, cos and sin `[1, T, R]`."""
    axis = kwargs.get("unsqueeze_dim", rest[-1] if rest and isinstance(rest[-1], int) else 1)
    cos, sin = _flat(cos), _flat(sin)

    def turn(x: torch.Tensor) -> torch.Tensor:
        rows = x.transpose(1, 2) if axis == 1 else x
        out = fleet.rope(rows.reshape(rows.shape[1:]), cos, sin).unsqueeze(0)
        return out.transpose(1, 2) if axis == 1 else out

    return turn(q), turn(k)


def _check_rotary(function: Callable, dim: int, width: int, model_type: str) -> None:
    """Raise unless `function` rotates as fleet.rope does, on random input of head dimension `dim`, rotated part `width`."""
    made = torch.Generator().manual_seed(0)
    q, k = (torch.randn(1, heads, 3, dim, generator=made) for heads in (4, 2))
    half = [torch.randn(1, 3, width // 2, generator=made) for _ in range(2)]
    cos, sin = (torch.cat((x, x), -1) for x in half)
    try:
        with torch.no_grad():
            got, want = function(q, k, cos, sin), _rotary(q, k, cos, sin)
        same = all(a.shape == b.shape and torch.allclose(a, b, atol=1e-4) for a, b in zip(got, want, strict=True))
    except Exception as error:
        raise FleetError(
            f"the rotary embedding of model type {model_type!r} does not take (q, k, cos [1, T, {width}], sin) "
            f"as fleet's does: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
        ) from error
    if not same:
        raise FleetError(
            f"the rotary embedding of model type {model_type!r} differs from fleet's on random input: fleet rotates the first "
            f"{width} of {dim} by halves, and this one does not (interleaved pairs are not supported)"
        )


def _head_dim(model: nn.Module) -> int:
    config = model.config
    return getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads


def _check_rope_type(module: nn.Module) -> None:
    kind = getattr(module, "rope_type", None)
    if isinstance(kind, str) and kind in ("dynamic", "longrope"):
        raise FleetError(
            f"the rotary embedding is of type {kind!r}, whose frequencies change with the context, which fleet does not support"
        )


@contextlib.contextmanager
def patched(model: nn.Module) -> Iterator[None]:
    """While the context lasts, `model` runs attention, norms, rotary embeddings and embeddings as Fleet's named operations.

    The base model returns the rows `out_rows` of its last hidden state alone, so the head runs on them alone.
    Everything is put back afterwards.
    """
    model_type = getattr(model.config, "model_type", type(model).__name__)
    base = getattr(model, "base_model", model)
    if base is model or model.get_output_embeddings() is None:
        raise FleetError(
            f"{type(model).__name__} has no language-model head, and fleet compiles causal language models"
        )
    with contextlib.ExitStack() as undo:
        configs = {id(m.config): m.config for m in model.modules() if hasattr(m, "config")}
        for config in configs.values():
            before = getattr(config, "_attn_implementation", None)
            undo.callback(setattr, config, "_attn_implementation", before)
            config._attn_implementation = ATTENTION

        known: dict = {}
        for module in model.modules():
            _check_rope_type(module)
            forward = _norm_forward(module, known)
            if forward is not None:
                if "forward" in module.__dict__:
                    undo.callback(module.__dict__.__setitem__, "forward", module.__dict__["forward"])
                else:
                    undo.callback(module.__dict__.pop, "forward", None)
                module.__dict__["forward"] = forward

        dim = _head_dim(model)
        widths = [
            2 * m.inv_freq.numel() for m in model.modules() if isinstance(getattr(m, "inv_freq", None), torch.Tensor)
        ]
        for name in {type(m).__module__ for m in model.modules()}:
            source = sys.modules[name]
            function = getattr(source, ROTARY, None)
            if function is not None:
                _check_rotary(function, dim, widths[0] if widths else dim, model_type)
                undo.callback(setattr, source, ROTARY, function)
                setattr(source, ROTARY, _rotary)

        def pick(module: nn.Module, args: Any, output: Any) -> Any:
            step = _current()
            hidden = output.last_hidden_state
            output.last_hidden_state = fleet.gather(_flat(hidden), step.out_rows).unsqueeze(0)
            step.gathered = True
            return output

        undo.callback(base.register_forward_hook(pick).remove)
        yield


def run_step(
    model: nn.Module, tokens: torch.Tensor, step: Step, weights: dict[str, torch.Tensor] | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """One step of a patched model: tokens `Txi32` -> logits `OxV` f32, ids `Oxi32`. `weights` replace the model's own, by name."""
    token = _step.set(step)
    try:
        arguments = dict(input_ids=tokens.unsqueeze(0), position_ids=step.positions.unsqueeze(0), use_cache=False)
        if weights is None:
            out = model(**arguments)
        else:
            out = torch.func.functional_call(model, weights, (), arguments)
    finally:
        _step.reset(token)
    logits = out.logits.squeeze(0).float()
    return logits, fleet.argmax(logits)

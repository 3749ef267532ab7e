"""One step of a Hugging Face decoder as the text of the raw phase, without its weights."""

from __future__ import annotations

import contextlib
import io
import logging
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForCausalLM, PretrainedConfig, PreTrainedModel

from ..errors import FleetError
from .graph import Argument, decompose, tidy
from .patching import Step, patched, run_step

DTYPES = (torch.bfloat16, torch.float32)


def check_dtype(dtype: torch.dtype) -> torch.dtype:
    """`dtype` if Fleet stores weights in it, else an error that names it and the way out."""
    if dtype not in DTYPES:
        name = str(dtype).removeprefix("torch.")
        raise FleetError(
            f"weights of type {name} are not supported, so convert the model with dtype=torch.bfloat16 or dtype=torch.float32"
        )
    return dtype


def meta_model(config: PretrainedConfig, dtype: torch.dtype | None = None) -> PreTrainedModel:
    """The model of `config` on the meta device: shapes and types alone. Without `dtype`, the config's own, or bfloat16."""
    if getattr(config, "quantization_config", None) is not None:
        raise FleetError(
            "the model is quantised (quantization_config), and fleet takes bfloat16 or float32 weights alone"
        )
    dtype = check_dtype(dtype or getattr(config, "dtype", None) or torch.bfloat16)
    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, dtype=dtype, trust_remote_code=False)
    except FleetError:
        raise
    except Exception as error:  # whatever a configuration that nobody has vouched for makes a model do
        kind = getattr(config, "model_type", type(config).__name__)
        if "Unrecognized configuration class" in str(error):
            raise FleetError(f"transformers has no causal language model of type {kind!r}") from error
        reason = " ".join(str(error).split()) if isinstance(error, ValueError | RuntimeError) else repr(error)
        raise FleetError(
            f"transformers makes no causal language model of type {kind!r}: {reason[:200].rstrip('. ')}"
        ) from error
    return model.eval().requires_grad_(False)


def check_shapes(model: nn.Module) -> None:
    """Raise unless every parameter has elements: sizes of zero are a mistake in a configuration, which no kernel can be made of."""
    for name, tensor in model.named_parameters():
        if tensor.numel() == 0:
            raise FleetError(f"the parameter {name} has the shape {list(tensor.shape)}, which has no elements")
    layers = getattr(model.config, "num_hidden_layers", 1)
    if not isinstance(layers, int) or layers < 1:
        raise FleetError(f"the configuration has {layers!r} layers, and a model needs one at least")


def named_weights(model: nn.Module) -> dict[str, torch.Tensor]:
    """The parameters and buffers of a model by name; a tied tensor has its first name alone."""
    return {name: tensor.detach() for name, tensor in [*model.named_parameters(), *model.named_buffers()]}


def model_dtype(model: nn.Module) -> torch.dtype:
    """The one type of a model's parameters."""
    kinds = {p.dtype for p in model.parameters()}
    if len(kinds) != 1:
        names = ", ".join(sorted(str(k).removeprefix("torch.") for k in kinds))
        raise FleetError(
            f"the parameters have several types ({names or 'none'}), and fleet takes one, so convert the model with .to(torch.bfloat16)"
        )
    return check_dtype(kinds.pop())


def _positive(**numbers: int) -> None:
    for name, number in numbers.items():
        if not isinstance(number, int) or isinstance(number, bool) or number < 1:
            raise FleetError(f"{name} must be a positive integer, not {number!r}")


class _Exported(nn.Module):
    """The step as a function of its inputs and weights alone; `steps` gets the record of each trace."""

    def __init__(self, model: nn.Module, names: list[str], context: int, steps: list[Step]):
        super().__init__()

        def run(tokens, positions, slots, out_rows, weights):
            step = Step(slots, positions, out_rows, context)
            out = run_step(model, tokens, step, dict(zip(names, weights, strict=True)))
            steps.append(step)
            return out

        # A closure, so that the model is not a submodule and its parameters are not lifted.
        self.run = run

    def forward(
        self,
        tokens: torch.Tensor,
        positions: torch.Tensor,
        slots: torch.Tensor,
        out_rows: torch.Tensor,
        weights: list[torch.Tensor],
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return self.run(tokens, positions, slots, out_rows, weights)


def export_step(
    model: nn.Module, *, tokens: int, slots: int, context: int, out_rows: int
) -> tuple[torch.fx.Graph, list[Argument], int]:
    """The tidied graph of one step, what its placeholders are, and the number of layers."""
    model_type = getattr(model.config, "model_type", type(model).__name__)
    model_dtype(model)
    weights = {n: torch.empty_like(t, device="meta") for n, t in named_weights(model).items()}

    def index(size: int) -> torch.Tensor:
        return torch.empty(size, dtype=torch.int32, device="meta")

    steps: list[Step] = []
    step = _Exported(model, list(weights), context, steps)
    training = model.training
    # torch logs the stack of an operation that fails, which becomes one sentence here.
    log = logging.getLogger("torch._subclasses.fake_tensor")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        model.eval()
        # A failing export prints the graph that it has come to.
        with torch.no_grad(), patched(model), contextlib.redirect_stderr(io.StringIO()):
            inputs = (index(tokens), index(tokens), index(tokens), index(out_rows), list(weights.values()))
            program = torch.export.export(step, inputs, strict=False)
    except FleetError:
        raise
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, FleetError):
            cause = cause.__cause__ or cause.__context__
        if cause is not None:
            raise cause from error
        reason = " ".join(str(error).split()) or type(error).__name__
        if "data-dependent" in reason:
            raise FleetError(
                f"model type {model_type!r} branches on a value that only a run knows, and a step is one fixed sequence of operations"
            ) from error
        raise FleetError(f"torch.export cannot trace model type {model_type!r}: {reason[:300].rstrip('. ')}") from error
    finally:
        log.setLevel(level)
        model.train(training)
    layers = sorted(steps[-1].layers)
    expected = getattr(model.config, "num_hidden_layers", len(layers))
    if layers != list(range(expected)):
        raise FleetError(
            f"model type {model_type!r} runs {len(layers)} of its {expected} layers through the attention interface of transformers, "
            "and fleet needs every layer there"
        )
    if not steps[-1].gathered:
        raise FleetError(f"model type {model_type!r} does not call its base model, so its head cannot be cut off")
    for node in program.graph.nodes:
        if any(isinstance(size, torch.SymInt) for size in getattr(node.meta.get("val"), "shape", ())):
            raise FleetError(
                f"model type {model_type!r} makes a tensor whose shape depends on values ({node.target}), "
                "and every shape of a step has to be fixed"
            )
    graph = decompose(program)
    arguments = [Argument("input", n) for n in ("tokens", "positions", "slots", "out_rows")] + [
        Argument("param", n) for n in weights
    ]
    for node, _ in zip((n for n in graph.nodes if n.op == "placeholder"), arguments, strict=True):
        node.meta.setdefault("val", None)
    graph = tidy(graph)
    kept = []
    for node, argument in list(zip((n for n in graph.nodes if n.op == "placeholder"), arguments, strict=True)):
        if argument.kind == "param" and not node.users:
            graph.erase_node(node)
        else:
            kept.append(argument)
    return graph, kept, len(layers)


def import_step(
    model_or_config: PretrainedConfig | PreTrainedModel | Any,
    *,
    tokens: int,
    slots: int,
    context: int,
    out_rows: int = 1,
    dtype: torch.dtype | None = None,
) -> str:
    """The raw text of one step: `tokens` rows T, `slots` requests, a `context` of positions each, logits of `out_rows` rows O.

    Takes a transformers config (no weights are ever made) or a model object (its weights are not read). `dtype` is for a config;
    a model has its own. tokens, positions and slots are `tensor<Txi32>`, out_rows `tensor<Oxi32>`, the results logits
    `tensor<OxVxf32>` and ids `tensor<Oxi32>`.
    """
    from .lowering import lower  # torch-mlir, which a model that is compiled already does not need

    _positive(tokens=tokens, slots=slots, context=context, out_rows=out_rows)
    if out_rows > tokens:
        raise FleetError(f"{out_rows} rows of logits are asked of a step of {tokens} tokens")
    if isinstance(model_or_config, PretrainedConfig):
        model = meta_model(model_or_config, dtype)
    elif isinstance(model_or_config, PreTrainedModel):
        model = model_or_config
    else:
        raise FleetError(f"a transformers config or model is needed, not {type(model_or_config).__name__}")
    check_shapes(model)
    limit = getattr(model.config, "max_position_embeddings", None)
    if isinstance(limit, int) and context > limit:
        raise FleetError(f"a context of {context} is more than the model's {limit} positions")
    graph, arguments, layers = export_step(model, tokens=tokens, slots=slots, context=context, out_rows=out_rows)
    return lower(graph, arguments, {"slots": slots, "context": context, "layers": layers})

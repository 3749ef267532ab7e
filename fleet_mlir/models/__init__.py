"""Models as Fleet takes them in: `load(what)` -> configuration, weights by name, tokenizer, and a model without weights.

`what` is a folder (config.json and safetensors), a GGUF file, or a transformers model object. Nothing is ever unpickled, no code
of a checkpoint is run, nothing is downloaded, and every file is checked before it is believed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoTokenizer, PretrainedConfig, PreTrainedModel
from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

from ..errors import FleetError
from ..importer.export import check_dtype, meta_model, model_dtype, named_weights
from ..known import model_path
from . import gguf, safetensors

__all__ = ["LoadedModel", "Weights", "load"]

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json")
_PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


class Weights(Mapping[str, torch.Tensor]):
    """Weights by the names of `fleet.param`; each tensor is read, and converted to its stored type, when asked for."""

    def __init__(self, readers: dict[str, tuple[Callable[[], torch.Tensor], torch.dtype]]):
        self._readers = readers

    def __getitem__(self, name: str) -> torch.Tensor:
        reader, dtype = self._readers[name]
        return reader().to(dtype)

    def __iter__(self) -> Iterator[str]:
        return iter(self._readers)

    def __len__(self) -> int:
        return len(self._readers)


@dataclass(frozen=True)
class LoadedModel:
    """A model taken in: `weights` has every name that an import of `model_factory()` asks for, in `dtype` (buffers in their own)."""

    config: PretrainedConfig
    weights: Mapping[str, torch.Tensor]
    tokenizer: Any | None
    dtype: torch.dtype
    model_factory: Callable[..., PreTrainedModel]
    """`model_factory(dtype=None)`: the model on the meta device, in the given type or in `dtype`."""

    def reference(self) -> PreTrainedModel:
        """It in plain PyTorch with its weights, to check against."""
        model = self.model_factory().to_empty(device="cpu").eval()
        filled = set()
        for name, weight in self.weights.items():
            owner_name, _, leaf = name.rpartition(".")
            owner = model.get_submodule(owner_name)
            if leaf in owner._parameters:
                owner._parameters[leaf] = nn.Parameter(weight, requires_grad=False)
                filled.add(id(owner._parameters[leaf]))
            else:
                owner._buffers[leaf] = weight
                filled.add(id(weight))
        model.tie_weights()  # a tied matrix is stored under one of its names
        held = [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
        for name, tensor in held:
            if id(tensor) not in filled:
                raise FleetError(f"the reference has no value for {name}")
        return model


def load(what: str | os.PathLike[str] | PreTrainedModel, dtype: torch.dtype | None = None) -> LoadedModel:
    """Take in a folder, a GGUF file, the name ``smollm2`` or a transformers model object; weights come in `dtype`, or in the checkpoint's own type."""
    if dtype is not None:
        check_dtype(dtype)
    if isinstance(what, nn.Module):
        return _from_object(what, dtype)
    if not isinstance(what, (str, os.PathLike)):
        raise FleetError(f"a path or a transformers model is needed, not {type(what).__name__}")
    path = Path(model_path(str(what)) if str(what) == "smollm2" else what)
    if path.is_dir():
        if not (path / "config.json").exists():
            files = sorted(path.glob("*.gguf"))
            if len(files) == 1:
                return _from_gguf(files[0], dtype)
        return _from_folder(path, dtype)
    if not path.is_file():
        raise FleetError(f"{path} is neither a folder nor a file")
    try:
        with path.open("rb") as file:
            first = file.read(4)
    except OSError as error:
        raise FleetError(f"cannot read {path}: {error.strerror}") from error
    if first == gguf.MAGIC or path.suffix == ".gguf":
        return _from_gguf(path, dtype)
    if first in _PICKLES or first[:2] in _PICKLES:
        raise FleetError(f"{path} is a pickle or zip file, which can run code, so convert it to safetensors")
    if path.suffix == ".safetensors":
        raise FleetError(f"{path} has no config of its own, so name its folder, with config.json in it")
    raise FleetError(f"{path} is neither a folder of safetensors nor a GGUF file")


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200].rstrip(". ") or type(error).__name__


def _buffers(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    """The buffers that no checkpoint stores (rotary frequencies), computed by the modules that own them."""
    made: dict[str, torch.Tensor] = {}
    for path, module in model.named_modules():
        names = [n for n in module._non_persistent_buffers_set if module._buffers.get(n) is not None]
        if not names:
            continue
        try:
            with torch.device("cpu"):
                real = type(module)(config=module.config)
        except Exception as error:
            raise FleetError(f"the buffer {names[0]!r} of {path} cannot be computed: {_one_line(error)}") from error
        for name in names:
            made[f"{path}.{name}"] = real._buffers[name].detach()
    return made


def _assemble(
    model: PreTrainedModel,
    stored: dict[str, tuple[Callable[[], torch.Tensor], tuple[int, ...], torch.dtype]],
    where: str,
) -> Weights:
    """Match what is stored with what the model expects: every name there, every shape equal, tied names resolved."""
    computed = _buffers(model)
    names: dict[int, list[str]] = {}
    tensors = [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
    for name, tensor in tensors:
        names.setdefault(id(tensor), []).append(name)
    readers: dict[str, tuple[Callable[[], torch.Tensor], torch.dtype]] = {}
    for name, tensor in named_weights(model).items():
        if name in computed:
            readers[name] = (computed[name].clone, tensor.dtype)
            continue
        same = next((group for group in names.values() if name in group), [name])
        found = next((n for n in same if n in stored), None)
        if found is None:
            raise FleetError(f"{where} lacks the tensor {name!r}")
        reader, shape, kind = stored[found]
        if shape != tuple(tensor.shape):
            raise FleetError(
                f"tensor {found!r} of {where} has the shape {list(shape)} where the model expects {list(tensor.shape)}"
            )
        if not kind.is_floating_point:
            raise FleetError(
                f"tensor {found!r} of {where} is of type {str(kind).removeprefix('torch.')}, and weights must be floating point"
            )
        readers[name] = (reader, tensor.dtype)
    return Weights(readers)


def _factory(config: PretrainedConfig, dtype: torch.dtype) -> Callable[..., PreTrainedModel]:
    def make(dtype: torch.dtype | None = dtype) -> PreTrainedModel:
        return meta_model(config, dtype)

    return make


def _build(config: PretrainedConfig, dtype: torch.dtype, tensors: int, where: str) -> PreTrainedModel:
    """The meta model of a configuration that nobody has vouched for."""
    layers = getattr(config, "num_hidden_layers", 0)
    if not isinstance(layers, int) or layers < 1 or layers > tensors:
        raise FleetError(f"the configuration of {where} has {layers!r} layers, and there are {tensors} tensors")
    try:
        return meta_model(config, dtype)
    except FleetError:
        raise
    except Exception as error:
        raise FleetError(f"the configuration of {where} makes no model: {_one_line(error)}") from error


def _folder_config(folder: Path) -> PretrainedConfig:
    file = folder / "config.json"
    if not file.is_file():
        raise FleetError(f"{folder} has no config.json")
    record = safetensors.read_json(file)
    kind = record.get("model_type")
    if not isinstance(kind, str):
        raise FleetError(f"{file} names no model_type")
    try:
        # for_model takes classes of the library alone: no remote code, no network.
        return AutoConfig.for_model(**record)
    except ValueError as error:
        if "Unrecognized model identifier" in str(error):
            raise FleetError(
                f"{file} names the unknown architecture {kind[:60]!r}, and fleet runs no code of a checkpoint"
            ) from error
        raise FleetError(f"{file} is not a sound configuration: {_one_line(error)}") from error
    except Exception as error:
        raise FleetError(f"{file} is not a sound configuration: {_one_line(error)}") from error


def _tokenizer(where: Path, **options: Any) -> Any | None:
    try:
        return AutoTokenizer.from_pretrained(where, trust_remote_code=False, local_files_only=True, **options)
    except Exception as error:
        raise FleetError(f"the tokenizer of {where} cannot be read: {_one_line(error)}") from error


def _from_folder(folder: Path, dtype: torch.dtype | None) -> LoadedModel:
    config = _folder_config(folder)
    entries = safetensors.read_folder(folder)
    own = getattr(config, "dtype", None)
    if dtype is None:
        if own is None:
            kinds = {e.dtype for e in entries.values() if e.dtype.is_floating_point}
            own = kinds.pop() if len(kinds) == 1 else torch.bfloat16
        dtype = check_dtype(own)
    model = _build(config, dtype, len(entries), str(folder))
    entries = _renamed(model, entries, folder)
    weights = _assemble(model, {n: (e.read, e.shape, e.dtype) for n, e in entries.items()}, str(folder))
    tokenizer = _tokenizer(folder) if any((folder / f).exists() for f in _TOKENIZER_FILES) else None
    return LoadedModel(config, weights, tokenizer, dtype, _factory(config, dtype))


def _renamed(
    model: PreTrainedModel, entries: dict[str, safetensors.Entry], folder: Path
) -> dict[str, safetensors.Entry]:
    """The entries by the names of the model of today: transformers renames weights of older checkpoints."""
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.core_model_loading import WeightRenaming, rename_source_key

    renamings = [x for x in get_model_conversion_mapping(model) if isinstance(x, WeightRenaming)]
    state = dict(model.state_dict())
    made: dict[str, safetensors.Entry] = {}
    for name, entry in entries.items():
        new = name if name in state else rename_source_key(name, renamings, [], model.base_model_prefix, state)[0]
        if new in made:
            raise FleetError(f"two tensors of {folder} stand for {new!r}")
        made[new] = entry
    return made


def _from_gguf(path: Path, dtype: torch.dtype | None) -> LoadedModel:
    file = gguf.read(path)
    dtype = dtype or torch.bfloat16
    options = {"gguf_file": path.name, "trust_remote_code": False, "local_files_only": True}
    with gguf.reading(file):
        try:
            config = AutoConfig.from_pretrained(str(path.parent), **options)
        except Exception as error:
            if "not supported" in str(error) or "Unrecognized" in str(error):
                raise FleetError(f"{path} has the unknown architecture {file.architecture[:60]!r}") from error
            raise FleetError(f"the configuration of {path} cannot be read: {_one_line(error)}") from error
        model = _build(config, dtype, len(file.tensors), str(path))
        try:
            tensors = load_gguf_checkpoint(str(path), return_tensors=True, model_to_load=model, torch_dtype=dtype)
        except Exception as error:
            raise FleetError(f"the tensors of {path} cannot be read: {_one_line(error)}") from error
        stored = {n: ((lambda t=t: t), tuple(t.shape), t.dtype) for n, t in tensors["tensors"].items()}
        weights = _assemble(model, stored, str(path))
        tokenizer = _tokenizer(path.parent, gguf_file=path.name)
    return LoadedModel(config, weights, tokenizer, dtype, _factory(config, dtype))


def _from_object(model: nn.Module, dtype: torch.dtype | None) -> LoadedModel:
    if not isinstance(model, PreTrainedModel):
        raise FleetError(f"a transformers model is needed, not {type(model).__name__}")
    own = model_dtype(model) if dtype is None else dtype
    meta = _build(model.config, own, sum(1 for _ in model.parameters()), type(model).__name__)
    mine = named_weights(model)
    if any(t.is_meta for t in mine.values()):
        raise FleetError(f"{type(model).__name__} has no weights, for it is on the meta device")
    readers = {}
    for name, tensor in named_weights(meta).items():
        if name not in mine or mine[name].shape != tensor.shape:
            raise FleetError(f"{type(model).__name__} differs from the model of its own configuration at {name!r}")
        readers[name] = ((lambda t=mine[name]: t.cpu()), tensor.dtype)
    return LoadedModel(model.config, Weights(readers), None, own, _factory(model.config, own))

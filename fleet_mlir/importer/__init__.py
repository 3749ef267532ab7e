"""From a Hugging Face decoder to the raw phase: `import_step`."""

from .export import export_step, import_step, meta_model, model_dtype, named_weights
from .ops import Cache, use_cache
from .patching import Step, patched, run_step

__all__ = [
    "Cache",
    "Step",
    "export_step",
    "import_step",
    "meta_model",
    "model_dtype",
    "named_weights",
    "patched",
    "run_step",
    "use_cache",
]

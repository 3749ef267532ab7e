"""The step on a GPU: the IREE module around its code, and buffers that torch and IREE share."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import package
from .errors import FleetError

# Per backend: IREE's target and format, the suffix of a kernel's file, the compiler's options.
_BACKENDS = {
    "cuda": ("cuda", "cuda-nvptx-fb", "ptx", ("--iree-hal-target-device=cuda", "--iree-cuda-target={chip}")),
    "hip": ("rocm", "rocm-hsaco-fb", "hsaco", ("--iree-hal-target-device=hip", "--iree-rocm-target={chip}")),
}

# One dispatch with the five arenas, used in place (the tied results make all but the parameters
# read-write without a copy). A launch takes one step, or several, each with the tokens of the last.
_MODULE = """\
#layout = #hal.pipeline.layout<constants = {constants}, bindings = [
  #hal.pipeline.binding<storage_buffer, ReadOnly>, #hal.pipeline.binding<storage_buffer>,
  #hal.pipeline.binding<storage_buffer>, #hal.pipeline.binding<storage_buffer>,
  #hal.pipeline.binding<storage_buffer>]>
module @fleet {{
  hal.executable.source private @kernel <objects = <{{
    #hal.executable.target<"{target}", "{format}"> = [#hal.executable.object<{{path = {object}}}>]
  }}>> {{
    hal.executable.export public @fleet_step ordinal(0) layout(#layout)
        count(%device: !hal.device) -> (index, index, index) {{
      %c1 = arith.constant 1 : index
      %workers = arith.constant {workers} : index
      hal.return %workers, %c1, %c1 : index, index, index
    }} <workgroup_size = [{threads} : index, 1 : index, 1 : index], workgroup_local_memory = {shared}>
  }}
  util.func public @step(%params: !hal.buffer_view, %state: !hal.buffer_view, %work: !hal.buffer_view,
                         %input: !hal.buffer_view, %output: !hal.buffer_view, %epoch: i32, %steps: i32) {{
{imports}
    %r:4 = flow.dispatch @kernel::@fleet_step({scalars}, %params_t, %state_t, %work_t, %input_t, %output_t)
        : ({scalar_types}, {params_t}, {state_t}, {work_t}, {input_t}, {output_t})
        -> (%state_t, %work_t, %input_t, %output_t)
    %s = hal.tensor.alias %r#0 : {state_t} to %state : !hal.buffer_view
    %w = hal.tensor.alias %r#1 : {work_t} to %work : !hal.buffer_view
    %i = hal.tensor.alias %r#2 : {input_t} to %input : !hal.buffer_view
    %o = hal.tensor.alias %r#3 : {output_t} to %output : !hal.buffer_view
    %x:4 = util.optimization_barrier %s, %w, %i, %o : {state_t}, {work_t}, {input_t}, {output_t}
    util.return
  }}
}}
"""


def module_text(backend: str, path: Path, manifest: Mapping[str, Any]) -> str:
    """The text of the IREE module around a kernel's file."""
    target, kind, _, _ = _BACKENDS[backend]
    types = {f"{name}_t": f"tensor<{manifest['arenas'][name]}xi8>" for name in package.ARENAS}
    imports = "\n".join(
        f'    %{name}_t = hal.tensor.import %{name} "{name}" : !hal.buffer_view -> {types[f"{name}_t"]}'
        for name in package.ARENAS
    )
    scalars = ["%epoch", "%steps"][: 2 if manifest.get("most_steps", 1) > 1 else 1]
    return _MODULE.format(
        constants=len(scalars), scalars=", ".join(scalars), scalar_types=", ".join("i32" for _ in scalars),
        target=target, format=kind, object=json.dumps(str(path)), workers=manifest["workers"],
        threads=manifest["threads"], shared=manifest.get("shared", 0), imports=imports, **types,
    )  # fmt: skip


def vmfb(backend: str, chip: str, code: bytes, manifest: Mapping[str, Any]) -> bytes:
    """Compile the host module around a kernel (PTX or a code object)."""
    try:
        from iree.compiler import tools as iree_tools
    except ImportError:
        raise FleetError("packaging needs the package iree-base-compiler") from None
    _, _, suffix, options = _BACKENDS[backend]
    with tempfile.TemporaryDirectory(prefix="fleet-") as folder:
        path = Path(folder) / f"step.{suffix}"
        path.write_bytes(code)
        try:
            return iree_tools.compile_str(
                module_text(backend, path, manifest), extra_args=[option.format(chip=chip) for option in options]
            )
        except iree_tools.CompilerToolError as error:
            from .tools import first_error

            raise FleetError(f"IREE cannot package the kernel: {first_error(str(error))}") from None

"""The step on a GPU: the IREE module around its code, and buffers that torch and IREE share."""

from __future__ import annotations

import io
import json
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import package, passes, tools, vm
from .errors import FleetError

if TYPE_CHECKING:
    import torch

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


def translate(backend: str, text: str) -> bytes:
    """The kernel of a module that has been through the phase target: PTX, or a code object."""
    with tempfile.TemporaryDirectory(prefix="fleet-") as folder:
        source, result = Path(folder) / "module.mlir", Path(folder) / "kernel"
        source.write_text(passes.without_package(text))
        option = {"cuda": "--to-ptx", "hip": "--to-hsaco"}[backend]
        tools.run("fleet-translate", [option, str(source), "-o", str(result)])
        return result.read_bytes()


def zeros(size: int) -> torch.Tensor:
    """``size`` zero bytes (int8) on the GPU."""
    import torch

    if not torch.cuda.is_available():
        raise FleetError("this PyTorch has no GPU: install one for the GPU, or choose device cpu")
    try:
        with torch.inference_mode(False):  # whose tensors could not be written later
            return torch.zeros(max(size, 1), dtype=torch.int8, device="cuda")
    except RuntimeError:
        raise FleetError(f"there is no memory on the GPU for an arena of {size:,} bytes") from None


class Call:
    """The compiled function with its five buffers on the GPU; input and output have a host copy each.

    arenas: params, state, work, input, output, int8 on the GPU. host: input and output, uint8.
    """

    def __init__(
        self, vmfb: bytes, hal_device: Any, arenas: list[torch.Tensor], host: tuple[np.ndarray, np.ndarray]
    ) -> None:
        import torch

        self._arenas, self._torch = arenas, torch
        with torch.inference_mode(False):  # whose tensors could not be written later
            self._host = [torch.from_numpy(array).view(torch.int8) for array in host]
        self._function = vm.Function(vmfb, hal_device)
        torch.cuda.synchronize()
        self._views = [hal_device.from_dlpack_capsule(torch.utils.dlpack.to_dlpack(arena)) for arena in arenas]

    def __call__(self, epoch: int, steps: int = 1) -> None:
        """Run ``steps`` steps in one launch, the first with ``epoch``."""
        _, _, _, inputs, output = self._arenas
        inputs[: self._host[0].numel()].copy_(self._host[0])
        self._torch.cuda.synchronize()  # torch's stream and IREE's know nothing of each other
        self._function(self._views, epoch, steps)
        self._host[1].copy_(output[: self._host[1].numel()])

    def reset(self) -> None:
        """Forget what counters know of steps that did not end."""
        self._arenas[2].zero_()


def code_object(vmfb: bytes) -> bytes:
    """The AMD code object inside a vmfb.

    A vmfb is a zip archive with one file for each executable. That of the format ``rocm-hsaco-fb`` is a header of
    64 bytes that begins with ``HIP1``, then the flatbuffer ``{exports, modules: [{hsaco_image}]}``.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(vmfb)) as archive:
            files = [archive.read(name) for name in archive.namelist()]
        for data in files:
            if data.startswith(b"HIP1"):
                root = _Table(data[64:], _follow(data[64:], 0))
                image = _Table(root.data, _follow(root.data, root.vector(1)[0])).vector(0, size=1)
                code = root.data[image.start : image.stop]
                if code.startswith(b"\x7fELF"):
                    return code
    except (zipfile.BadZipFile, EOFError, NotImplementedError, struct.error, IndexError, zlib.error):
        pass  # not a vmfb, or a damaged one
    raise FleetError("the program has no AMD code object")


def _follow(data: bytes, at: int) -> int:
    """Where the flatbuffer's offset at ``at`` leads."""
    return at + struct.unpack_from("<I", data, at)[0]


class _Table:
    """A table of a flatbuffer."""

    def __init__(self, data: bytes, at: int) -> None:
        self.data, self._at = data, at

    def vector(self, field: int, size: int = 4) -> range:
        """Where the elements of a field, a vector, stand; ``size`` bytes each. IndexError where there is no such field."""
        fields = self._at - struct.unpack_from("<i", self.data, self._at)[0]
        entry = 4 + 2 * field
        inside = 0 <= fields and entry < struct.unpack_from("<H", self.data, fields)[0]
        offset = struct.unpack_from("<H", self.data, fields + entry)[0] if inside else 0
        if not offset:
            raise IndexError(field)
        begin = _follow(self.data, self._at + offset) + 4
        elements = range(begin, begin + size * struct.unpack_from("<I", self.data, begin - 4)[0], size)
        if elements.stop > len(self.data):
            raise IndexError(field)
        return elements


class ExecutorCall:
    """The AMD code object on the executor (`fleet_mlir.cdna`), one workgroup for each worker.

    Waves get fair, long turns and nothing is held back, which is several times as fast as an adversary; caches are
    those of the chip. With a ``seed``, the machine is the adversary that the seed gives.
    """

    def __init__(
        self, vmfb: bytes, manifest: Mapping[str, Any], arenas: list[np.ndarray], seed: int | None = None
    ) -> None:
        from .cdna import Adversary, Machine

        chiplets = manifest["chiplets"]
        self._machine = Machine(
            manifest["target"],
            xcds=chiplets,
            cus=[manifest["workers"] // chiplets] * chiplets,
            groups_per_cu=1,
            seed=seed or 0,
            adversary=Adversary() if seed is None else None,
        )
        self._machine.load(code_object(vmfb))
        self._work = arenas[2]
        self._buffers = [
            self._machine.buffer(array, name, readonly=name in ("params", "input"))
            for array, name in zip(arenas, package.ARENAS, strict=True)
        ]
        self._grid, self._block = manifest["workers"], manifest["threads"]

    def __call__(self, epoch: int) -> None:
        """Run one step."""
        from .cdna import KernelError

        try:
            self._machine.launch("fleet_step", grid=self._grid, block=self._block, args=[*self._buffers, epoch])
        except KernelError as error:
            raise FleetError(f"the step failed on the executor: {str(error).splitlines()[0]}") from None

    def reset(self) -> None:
        """Forget what counters know of steps that did not end."""
        self._work[:] = 0

"""Wraps the compiled step into one IREE module (``.vmfb``) and the file format of Fleet around it."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from .errors import FleetError

FORMAT = "fleet-executable"
VERSION = 1
ARENAS = ("params", "state", "work", "input", "output")
INPUTS = ("tokens", "positions", "slots", "out_rows")
DTYPE_BYTES = {"bf16": 2, "f16": 2, "f32": 4, "i32": 4, "i64": 8, "i8": 1, "i1": 1}

# The host side of a step on the cpu: one dispatch with the five arenas, which are used in place (the
# tied results of the dispatch make state, work and output read-write without a copy).
_CPU_MODULE = """\
#layout = #hal.pipeline.layout<constants = 1, bindings = [
  #hal.pipeline.binding<storage_buffer, ReadOnly>, #hal.pipeline.binding<storage_buffer>,
  #hal.pipeline.binding<storage_buffer>, #hal.pipeline.binding<storage_buffer, ReadOnly>,
  #hal.pipeline.binding<storage_buffer>]>
module @fleet {{
  hal.executable.source private @kernel <objects = <{{
    #hal.executable.target<"llvm-cpu", "embedded-elf-{arch}"> = [#hal.executable.object<{{path = {object}}}>]
  }}>> {{
    hal.executable.export public @step ordinal(0) layout(#layout)
        count(%device: !hal.device) -> (index, index, index) {{
      %c1 = arith.constant 1 : index
      hal.return %c1, %c1, %c1 : index, index, index
    }}
    builtin.module {{
      func.func private @fleet_step(memref<?xi8>, memref<?xi8>, memref<?xi8>, memref<?xi8>, memref<?xi8>, i32)
          attributes {{hal.import.static}}
      func.func @step() {{
        %c0 = arith.constant 0 : index
        %epoch = hal.interface.constant.load layout(#layout) ordinal(0) : i32
{views}
        func.call @fleet_step(%params, %state, %work, %input, %output, %epoch)
            : (memref<?xi8>, memref<?xi8>, memref<?xi8>, memref<?xi8>, memref<?xi8>, i32) -> ()
        return
      }}
    }}
  }}
  util.func public @step(%params: !hal.buffer_view, %state: !hal.buffer_view, %work: !hal.buffer_view,
                         %input: !hal.buffer_view, %output: !hal.buffer_view, %epoch: i32) {{
{imports}
    %r:3 = flow.dispatch @kernel::@step(%epoch_, %params_t, %state_t, %work_t, %input_t, %output_t)
        : (i32, {params_t}, {state_t}, {work_t}, {input_t}, {output_t}) -> (%state_t, %work_t, %output_t)
    %s = hal.tensor.alias %r#0 : {state_t} to %state : !hal.buffer_view
    %w = hal.tensor.alias %r#1 : {work_t} to %work : !hal.buffer_view
    %o = hal.tensor.alias %r#2 : {output_t} to %output : !hal.buffer_view
    %x:3 = util.optimization_barrier %s, %w, %o : {state_t}, {work_t}, {output_t}
    util.return
  }}
}}
""".replace("%epoch_", "%epoch")


def backend(manifest: dict[str, Any]) -> str:
    """Who runs a program: ``cpu``, ``cuda`` or ``hip``, from its target's name."""
    name = str(manifest.get("target", ""))
    return "cuda" if name.startswith("sm_") else "hip" if name.startswith("gfx") else "cpu"


def host_arch() -> str:
    """This machine's architecture as IREE spells it."""
    machine = platform.machine().lower()
    return {"amd64": "x86_64", "aarch64": "arm_64", "arm64": "arm_64"}.get(machine, machine)


def host_features() -> list[str]:
    """What this cpu can do, sorted (the flags of ``/proc/cpuinfo``; empty where there is none)."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return []
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            wanted = ("sse", "ssse", "avx", "fma", "f16c", "bmi", "amx", "sha", "popcnt", "sve", "asimd", "bf16")
            return sorted(flag for flag in set(value.split()) if flag.startswith(wanted))
    return []


def cpu_module(object_path: Path, arenas: dict[str, int]) -> str:
    """The text of the IREE module that calls ``@fleet_step`` of an object, ``arenas`` in bytes."""
    views, imports, types = [], [], {}
    for index, name in enumerate(ARENAS):
        size = arenas[name]
        flags = " flags(ReadOnly)" if name in ("params", "input") else ""
        types[f"{name}_t"] = f"tensor<{size}xi8>"
        views.append(
            f"        %n{index} = arith.constant {size} : index\n"
            f"        %{name} = hal.interface.binding.subspan layout(#layout) binding({index}) alignment(64)"
            f" offset(%c0){flags} : memref<?xi8>{{%n{index}}}"
        )
        imports.append(f'    %{name}_t = hal.tensor.import %{name} "{name}" : !hal.buffer_view -> tensor<{size}xi8>')
    return _CPU_MODULE.format(
        arch=host_arch(),
        object=json.dumps(str(object_path)),
        views="\n".join(views),
        imports="\n".join(imports),
        **types,
    )


def cpu_vmfb(object_data: bytes, arenas: dict[str, int]) -> bytes:
    """Compile the host module around an object file; gives the ``.vmfb``."""
    try:
        from iree.compiler import tools as iree_tools
    except ImportError:
        raise FleetError("packaging needs the package iree-base-compiler") from None
    with tempfile.TemporaryDirectory(prefix="fleet-") as folder:
        path = Path(folder) / "step.o"
        path.write_bytes(object_data)
        try:
            return iree_tools.compile_str(
                cpu_module(path, arenas),
                extra_args=[
                    "--iree-hal-target-device=local",
                    "--iree-hal-local-target-device-backends=llvm-cpu",
                    "--iree-llvmcpu-target-cpu=host",
                ],
            )
        except iree_tools.CompilerToolError as error:
            from .tools import first_error

            raise FleetError(f"IREE cannot package the kernel: {first_error(str(error))}") from None


def _natural(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def check_manifest(manifest: Any) -> dict[str, Any]:
    """Check a manifest's form and that everything in it lies inside its arena; returns it."""

    def need(condition: bool, what: str) -> None:
        if not condition:
            raise FleetError(f"the manifest is not valid: {what}")

    need(isinstance(manifest, dict), "it is not an object")
    for name in ("tokens", "slots", "context", "out_rows"):
        need(_natural(manifest.get(name)) and manifest[name] > 0, f"{name} is not a positive number")
    arenas = manifest.get("arenas")
    need(isinstance(arenas, dict), "arenas is missing")
    for name in ARENAS:
        need(_natural(arenas.get(name)), f"the size of the arena {name} is missing")

    def inside(arena: str, offset: Any, size: int, what: str) -> None:
        need(_natural(offset) and offset % 64 == 0, f"the offset of {what} is not a multiple of 64")
        need(offset + size <= arenas[arena], f"{what} does not lie inside the arena {arena}")

    inputs, outputs, params = (manifest.get(n) for n in ("inputs", "outputs", "params"))
    need(isinstance(inputs, dict) and isinstance(outputs, dict), "inputs or outputs are missing")
    for name in INPUTS:
        count = manifest["out_rows" if name == "out_rows" else "tokens"]
        need(name in inputs, f"the input {name} is missing")
        inside("input", input_offsets(manifest)[name], 4 * count, f"the input {name}")
    for name in ("logits", "ids", "status"):
        entry = outputs.get(name)
        need(isinstance(entry, dict), f"the output {name} is missing")
        inside("output", entry.get("offset"), size_of(entry, name), f"the output {name}")
    most = manifest.get("most_steps", 1)
    need(_natural(most) and most > 0, "most_steps is not a positive number")
    if most > 1:
        inside("output", manifest.get("history"), 4 * most * manifest["out_rows"], "the history")
    need(isinstance(params, list), "params is missing")
    for entry in params:
        need(isinstance(entry, dict) and isinstance(entry.get("names"), list) and bool(entry["names"]),
             "a parameter has no name")
        what = f"the parameter {entry['names'][0]}"
        pack = entry.get("pack", 0)
        need(_natural(pack), f"the packing of {what} is not a number")
        need(not pack or len(entry.get("shape") or ()) == 2, f"{what} is packed but no matrix")
        splits = entry.get("splits", 1)
        need(_natural(splits) and splits > 0, f"the splits of {what} are not a positive number")
        need(splits == 1 or (pack and entry["shape"][0] % splits == 0), f"the splits of {what} do not divide its shape")
        group = entry.get("group", 1)
        need(_natural(group) and group > 0, f"the group of {what} is not a positive number")
        need(group == 1 or (pack and entry["shape"][1] % group == 0), f"the group of {what} does not divide its rows")
        order = entry.get("order")
        need(order in (None, "wgmma-256"), f"the order of {what} is not known: expected wgmma-256, found {order}")
        ordered = pack == 16 and group == 1 and entry["shape"][1] % 16 == 0 and entry.get("dtype") == "bf16"
        need(order is None or ordered,
             f"{what} is in the order wgmma-256, but not bf16 packed by 16 columns of a depth that 16 divides")
        inside("params", entry.get("offset"), size_of(entry, entry["names"][0]), what)
    return manifest


def input_offsets(manifest: dict[str, Any]) -> dict[str, Any]:
    """Where each input stands in its arena, in bytes (an entry is the offset or ``{offset, ...}``)."""
    entries = {name: manifest["inputs"].get(name) for name in INPUTS}
    return {name: e.get("offset") if isinstance(e, dict) else e for name, e in entries.items()}


def size_of(entry: dict[str, Any], name: str = "value") -> int:
    """Bytes of a manifest's entry ``{shape, dtype, pack}``, a packed matrix with whole blocks."""
    shape, dtype = entry.get("shape"), entry.get("dtype")
    if not isinstance(shape, list) or not all(_natural(n) for n in shape):
        raise FleetError(f"the manifest is not valid: the shape of {name} is missing")
    if dtype not in DTYPE_BYTES:
        raise FleetError(f"the manifest is not valid: {name} has the unknown type {dtype}")
    shape = list(shape)
    pack = entry.get("pack", 0)
    if pack and shape:
        shape[0] = -(-shape[0] // pack) * pack
    size = DTYPE_BYTES[dtype]
    for extent in shape:
        size *= extent
    return size


def pack_file(manifest: dict[str, Any], vmfb: bytes) -> bytes:
    """The bytes of a ``.fleet`` file."""
    manifest = dict(manifest, format=FORMAT, version=VERSION, sha256=hashlib.sha256(vmfb).hexdigest())
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in (("manifest.json", json.dumps(manifest, sort_keys=True)), ("step.vmfb", vmfb)):
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data)
    return buffer.getvalue()


def unpack_file(data: bytes, name: str = "the file") -> tuple[dict[str, Any], bytes]:
    """Manifest and vmfb of a ``.fleet`` file's bytes, checked."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            manifest = json.loads(archive.read("manifest.json"))
            if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
                raise FleetError(f"{name} is not a fleet file")
            if manifest.get("version") != VERSION:
                raise FleetError(
                    f"{name} has the format version {manifest.get('version')}, this fleet reads version {VERSION}:"
                    " compile the model again"
                )
            vmfb = archive.read("step.vmfb")
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError, NotImplementedError, RuntimeError):
        raise FleetError(f"{name} is not a fleet file, or is damaged") from None
    if hashlib.sha256(vmfb).hexdigest() != manifest.get("sha256"):
        raise FleetError(f"{name} is damaged: the checksum of its code is wrong")
    check_manifest(manifest)
    host = manifest.get("host") or {}
    if str(manifest.get("target", "")).startswith("cpu") and host:
        if host.get("arch") != host_arch():
            raise FleetError(f"{name} was compiled for {host.get('arch')}, this machine is {host_arch()}")
        missing = sorted(set(host.get("features", ())) - set(host_features()))
        if missing:
            raise FleetError(f"{name} was compiled for a cpu with {missing[0]}, which this one lacks")
    return manifest, vmfb

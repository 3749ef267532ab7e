"""Damages a module in one place at a time and runs passes on it: each must end in an error of words, or well.

A script of a process of its own, as what it looks for would end the process: ``damage.py FILE KIND[,KIND...] PASS...``
prints every damage before it is done, and last how many there were and how many were refused. Kinds: ``gone`` (attributes and
entries of dictionaries), ``other`` (the same replaced by other kinds of attributes), ``operand`` (the last operand
of ops of the dialect and of calls), ``erased`` (ops whose results nobody uses), ``table`` (numbers of the kernel's tables).
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from fleet_mlir import FleetError, ir, passes

OTHERS = ('"x"', "-1 : i64", "77 : i64", "{}", "unit")
NUMBERS = ("-99 : i32", "99 : i32")
# How many of an op are damaged: all of the kernel's tables, of most others the first.
MOST = {"memref.global": 5, "func.func": 2, "fleet.task": 2, "fleet.queue": 2}
# A number of buffers that the verifier of MLIR's gpu.func trusts: no phase has begun when -1 ends the process.
MLIRS = ("workgroup_attributions",)

Damage = tuple[str, int, Callable[[ir.Operation], object]]


def walk(op: ir.Operation) -> Iterator[ir.Operation]:
    """An operation and all inside it."""
    yield op
    for region in op.regions:
        for block in region.blocks:
            for inner in block.operations:
                yield from walk(inner.operation)


def paths(attr: ir.Attribute, at: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The places of all entries of nested dictionaries, and the place of the attribute itself."""
    yield at
    if isinstance(attr, ir.DictAttr):
        for entry in attr:
            yield from paths(entry.attr, (*at, entry.name))


def replaced(attr: ir.Attribute, path: tuple[str, ...], text: str | None) -> ir.Attribute | None:
    """The attribute with another one, or none, at a place of it."""
    if not path:
        return None if text is None else ir.Attribute.parse(text)
    entries = {entry.name: entry.attr for entry in attr}
    inner = replaced(entries.pop(path[0]), path[1:], text)
    if inner is not None:
        entries[path[0]] = inner
    return ir.DictAttr.get(entries)


def set_attribute(op: ir.Operation, name: str, path: tuple[str, ...], text: str | None) -> None:
    with op.context:
        attr = replaced(op.attributes[name], path, text)
        if attr is None:
            del op.attributes[name]
        else:
            op.attributes[name] = attr


def set_numbers(op: ir.Operation, text: str) -> None:
    with op.context, op.location:
        kind = ir.MemRefType(ir.TypeAttr(op.attributes["type"]).value)
        op.attributes["initial_value"] = ir.DenseElementsAttr.get_splat(
            ir.RankedTensorType.get(kind.shape, kind.element_type), ir.Attribute.parse(text)
        )


def drop_operand(op: ir.Operation) -> None:
    """Puts the operation with one operand less in its place."""
    with op.context, op.location:
        fewer = ir.Operation.create(
            op.name,
            results=[result.type for result in op.results],
            operands=list(op.operands)[:-1],
            attributes=dict(op.attributes.items()),
            regions=len(op.regions),
            ip=ir.InsertionPoint(op),
        )
    for old, new in zip(op.regions, fewer.regions, strict=True):
        for block in list(old.blocks):
            block.append_to(new)
    for old, new in zip(op.results, fewer.results, strict=True):
        old.replace_all_uses_with(new)
    op.erase()


def damages(module: ir.Module, kinds: set[str]) -> Iterator[Damage]:
    """What is done, to which operation of the walk, and how."""
    known: Counter[str] = Counter()
    for place, op in enumerate(walk(module.operation)):
        known[op.name] += 1
        if known[op.name] > MOST.get(op.name, 1):
            continue
        for name, attr in op.attributes.items():
            if name in MLIRS:
                continue
            for path in paths(attr):
                texts = ((None,) if "gone" in kinds else ()) + (OTHERS if "other" in kinds else ())
                for text in texts:
                    what = f"{op.name} {place} {'.'.join((name, *path))} = {text}"
                    yield what, place, lambda o, a=(name, path, text): set_attribute(o, *a)
        if "table" in kinds and op.name == "memref.global":
            for text in NUMBERS:
                yield f"{op.name} {place} of {text}", place, lambda o, text=text: set_numbers(o, text)
        if "operand" in kinds and op.name.startswith(("fleet.", "func.call")) and len(op.operands):
            yield f"{op.name} {place} of fewer operands", place, drop_operand
        is_used = any(list(result.uses) for result in op.results)
        if "erased" in kinds and place and not is_used and not op.name.endswith((".yield", ".return")):
            yield f"{op.name} {place} erased", place, lambda o: o.erase()


def main() -> None:
    file, kinds, *run = sys.argv[1:]
    text = Path(file).read_text()
    context = ir.Context()
    count = refused = 0
    for what, place, damage in damages(ir.Module.parse(text, context), set(kinds.split(","))):
        print(what, flush=True)
        module = ir.Module.parse(text, context)
        damage(next(op for i, op in enumerate(walk(module.operation)) if i == place))
        damaged = module.operation.get_asm(assume_verified=True, print_generic_op_form=True)
        count += 1
        try:
            program = passes.program(damaged)
            for name in run:
                program.run([name])
        except FleetError as error:
            refused += 1
            if str(error) in (f"{name} failed", "the module cannot be parsed"):
                raise SystemExit(f"{what}: failed without a word") from None
    print(count, refused)


if __name__ == "__main__":
    main()

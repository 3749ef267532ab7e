"""Decompose and tidy an exported graph, so that only views stand between the linear layers and Fleet's named operations.

Hugging Face moves heads before rows and back; the named operations want rows first. Every value is therefore kept as a node and
a permutation not yet done. Slices and element-wise operations act on the node, two permutations cancel, and a permutation is
written out only where a user really needs it. Chains of views become one view; copies go.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

import torch
from torch.fx import Graph, Node
from torch.fx.node import map_arg

aten = torch.ops.aten

_COPIES = {
    aten.clone.default,
    aten.contiguous.default,
    aten.alias.default,
    aten.detach.default,
    aten.lift_fresh_copy.default,
}
_VIEWS = {
    aten.view.default,
    aten.reshape.default,
    aten._unsafe_view.default,
    aten.unsqueeze.default,
    aten.squeeze.dim,
    aten.squeeze.dims,
    aten.squeeze.default,
}
_SPLITS = {aten.split.Tensor, aten.split_with_sizes.default, aten.chunk.default}


@dataclass(frozen=True)
class Argument:
    """An attribute of one function argument: `kind` is "input" or "param"."""

    kind: str
    name: str


def _key(value: Any) -> Any:
    """What a decomposition depends on: of a tensor its type and layout, of anything else itself."""
    if isinstance(value, torch.Tensor):
        return ("tensor", value.dtype, tuple(value.shape), value.stride())
    if isinstance(value, list | tuple):
        return (type(value).__name__, *map(_key, value))
    if isinstance(value, dict):
        return tuple((name, _key(item)) for name, item in value.items())
    return (type(value).__name__, value)


def _trace(target: Any, args: Any, kwargs: Any, table: dict) -> Graph:
    """The decomposition of one call on fake values; its placeholders are the tensors among the arguments, in order."""
    from torch.fx.experimental.proxy_tensor import make_fx
    from torch.utils import _pytree as pytree

    flat, spec = pytree.tree_flatten((args, kwargs))
    tensors = [x for x in flat if isinstance(x, torch.Tensor)]

    def call(*values: torch.Tensor) -> Any:
        given = iter(values)
        arguments, options = pytree.tree_unflatten(
            [next(given) if isinstance(x, torch.Tensor) else x for x in flat], spec
        )
        return target(*arguments, **options)

    with torch.no_grad():
        return make_fx(call, decomposition_table=table)(*tensors).graph


def decompose(program: torch.export.ExportedProgram) -> Graph:
    """The graph of a program in the operations that torch-mlir lowers.

    The same as `program.run_decompositions`, which traces the whole program once more; here each different operation is traced
    once, however many layers there are. Only a program that writes into a tensor needs all of it, for then operations depend
    on each other by more than their values.
    """
    from torch_mlir.extras.fx_decomp_util import get_decomposition_table

    table = get_decomposition_table()
    calls = [n for n in program.graph.nodes if n.op == "call_function" and isinstance(n.target, torch._ops.OpOverload)]
    if any(n.target._schema.is_mutable for n in calls) or any(n.op == "get_attr" for n in program.graph.nodes):
        return program.run_decompositions(table).graph_module.graph
    known: dict[Any, Graph] = {}
    new, env = Graph(), {}
    for node in program.graph.nodes:
        if node.target is operator.getitem and isinstance(env[node.args[0]], list | tuple):
            env[node] = env[node.args[0]][node.args[1]]
            continue
        if not isinstance(node.target, torch._ops.OpOverload) or node.target.namespace == "fleet":
            env[node] = new.node_copy(node, env.__getitem__)
            continue
        args, kwargs = map_arg((node.args, node.kwargs), lambda n: n.meta["val"])
        key = (node.target, _key(args), _key(kwargs))
        if key not in known:
            known[key] = _trace(node.target, args, kwargs, table)
        inputs: list[Node] = []
        map_arg((node.args, node.kwargs), inputs.append)
        inner: dict[Node, Node] = {}
        for part in known[key].nodes:
            if part.op == "placeholder":
                inner[part] = env[inputs[len(inner)]]
            elif part.op == "output":
                env[node] = map_arg(part.args[0], inner.__getitem__)
            else:
                inner[part] = new.node_copy(part, inner.__getitem__)
                # Where it comes from is the node's own matter, not that of the first of its kind.
                inner[part].meta |= {k: v for k, v in node.meta.items() if k in ("stack_trace", "nn_module_stack")}
    new.eliminate_dead_code()
    new.lint()
    return new


@dataclass(frozen=True)
class _Lazy:
    """The value `permute(node, order)`; `order` None is the identity."""

    node: Node
    order: tuple[int, ...] | None = None


def _value(node: Node) -> Any:
    return node.meta["val"]


class _Tidy:
    def __init__(self, old: Graph):
        self.old = old
        self.new = Graph()
        self.env: dict[Node, _Lazy] = {}
        self.done: dict[_Lazy, Node] = {}

    def emit(self, target: Any, *args: Any, like: Node | None = None, **kwargs: Any) -> Node:
        """A new call, its value computed on the fake values of its arguments."""
        node = self.new.call_function(target, args, kwargs)
        values = map_arg((args, kwargs), _value)
        node.meta = (
            {} if like is None else {k: v for k, v in like.meta.items() if k in ("stack_trace", "nn_module_stack")}
        )
        node.meta["val"] = target(*values[0], **values[1])
        return node

    def view(self, node: Node, shape: tuple[int, ...]) -> Node:
        """`node` in another shape, straight from the first of a chain of views."""
        while node.op == "call_function" and node.target is aten.view.default:
            node = node.args[0]
        if tuple(_value(node).shape) == shape:
            return node
        # The value is computed as a reshape: strides do not survive into tensors of MLIR.
        new = self.new.call_function(aten.view.default, (node, list(shape)))
        new.meta["val"] = _value(node).new_empty(shape)
        return new

    def plain(self, lazy: _Lazy) -> Node:
        """The value of `lazy` as a node."""
        if lazy.order is None:
            return lazy.node
        if lazy not in self.done:
            shape = tuple(_value(lazy.node).shape)
            real = [d for d in lazy.order if shape[d] != 1]
            if real == sorted(real):
                self.done[lazy] = self.view(lazy.node, tuple(shape[d] for d in lazy.order))
            else:
                self.done[lazy] = self.emit(aten.permute.default, lazy.node, list(lazy.order))
        return self.done[lazy]

    def permuted(self, lazy: _Lazy, order: list[int]) -> _Lazy:
        if lazy.order is not None:
            order = [lazy.order[d] for d in order]
        return _Lazy(lazy.node, None if order == sorted(order) else tuple(order))

    def rows(self, node: Node) -> Node:
        """`[1, T, ...]` as `[T, ...]`: the batch of one never reaches an operation that can do without it."""
        return self.view(node, tuple(_value(node).shape[1:]))

    def batched(self, node: Node) -> Node:
        """`[T, ...]` as `[1, T, ...]`."""
        return self.view(node, (1, *_value(node).shape))

    def sliced(self, lazy: _Lazy, dim: int, start: int, end: int, like: Node) -> _Lazy:
        shape = _value(lazy.node).shape
        dim %= len(shape)
        if lazy.order is not None:
            dim = lazy.order[dim]
        if start == 0 and end >= _value(lazy.node).shape[dim]:
            return lazy
        if len(shape) > 2 and shape[0] == 1 and dim > 0:
            part = self.batched(self.emit(aten.slice.Tensor, self.rows(lazy.node), dim - 1, start, end, like=like))
        else:
            part = self.emit(aten.slice.Tensor, lazy.node, dim, start, end, like=like)
        return _Lazy(part, lazy.order)

    def pointwise(self, node: Node) -> _Lazy | None:
        """An element-wise operation, on the operands before their permutation if that is one for all, and without a batch of one."""
        if torch.Tag.pointwise not in getattr(node.target, "tags", ()) or not node.all_input_nodes:
            return None
        lazies = {n: self.env[n] for n in node.all_input_nodes}
        orders = {x.order for x in lazies.values()}
        shapes = {tuple(_value(x.node).shape) for x in lazies.values()}
        order = orders.pop() if len(orders) == 1 and len(shapes) == 1 else None
        nodes = {n: self.plain(x) if order is None else x.node for n, x in lazies.items()}
        shape = torch.broadcast_shapes(*(_value(n).shape for n in nodes.values()))
        drop = len(shape) > 2 and shape[0] == 1
        if drop:
            nodes = {n: self.rows(m) if _value(m).dim() == len(shape) else m for n, m in nodes.items()}
        args, kwargs = map_arg((node.args, node.kwargs), nodes.__getitem__)
        new = self.emit(node.target, *args, like=node, **kwargs)
        return _Lazy(self.batched(new) if drop else new, order)

    def joined(self, node: Node) -> _Lazy:
        """A concatenation, without a batch of one."""
        parts = [self.plain(self.env[n]) for n in node.args[0]]
        dim = (node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)) % _value(node).dim()
        if (
            _value(node).dim() > 2
            and dim > 0
            and all(_value(p).dim() == _value(node).dim() and _value(p).shape[0] == 1 for p in parts)
        ):
            return _Lazy(self.batched(self.emit(aten.cat.default, [self.rows(p) for p in parts], dim - 1, like=node)))
        return _Lazy(self.emit(aten.cat.default, parts, dim, like=node))

    def call(self, node: Node) -> None:
        target, args = node.target, node.args
        shape = getattr(node.meta.get("val"), "shape", None)
        if target in _SPLITS:
            return  # its users, all getitem, become slices
        if getattr(target, "__name__", "") == "getitem" and isinstance(args[0], Node) and args[0].target in _SPLITS:
            split = args[0]
            source = self.env[split.args[0]]
            dim = split.args[2] if len(split.args) > 2 else split.kwargs.get("dim", 0)
            sizes = [v.shape[dim] for v in split.meta["val"]]
            start = sum(sizes[: args[1]])
            self.env[node] = self.sliced(source, dim, start, start + sizes[args[1]], node)
        elif target is aten.slice.Tensor and (len(args) < 5 or args[4] == 1) and not node.kwargs:
            source = self.env[args[0]]
            dim = args[1] if len(args) > 1 else 0
            size = args[0].meta["val"].shape[dim]
            start = args[2] if len(args) > 2 and args[2] is not None else 0
            start = max(0, start + size if start < 0 else start)
            self.env[node] = self.sliced(source, dim, start, start + shape[dim], node)
        elif target in _COPIES or (target is aten._to_copy.default and _value(node).dtype == args[0].meta["val"].dtype):
            self.env[node] = self.env[args[0]]
        elif target is aten.permute.default:
            rank = len(shape)
            self.env[node] = self.permuted(self.env[args[0]], [d % rank for d in args[1]])
        elif target in (aten.transpose.int, aten.t.default):
            order = list(range(len(shape)))
            a, b = (args[1], args[2]) if target is aten.transpose.int else (0, -1)
            order[a], order[b] = order[b], order[a]
            self.env[node] = self.permuted(self.env[args[0]], order)
        elif target is aten.expand.default and tuple(shape) == tuple(args[0].meta["val"].shape):
            self.env[node] = self.env[args[0]]
        elif target in _VIEWS:
            self.env[node] = _Lazy(self.view(self.plain(self.env[args[0]]), tuple(shape)))
        elif target is aten.cat.default:
            self.env[node] = self.joined(node)
        else:
            lazy = self.pointwise(node)
            if lazy is None:
                new = self.new.node_copy(node, lambda n: self.plain(self.env[n]))
                lazy = _Lazy(new)
            self.env[node] = lazy

    def run(self) -> Graph:
        for node in self.old.nodes:
            if node.op == "call_function":
                self.call(node)
            elif node.op == "output":
                self.new.output(map_arg(node.args[0], lambda n: self.plain(self.env[n])))
            else:
                self.env[node] = _Lazy(self.new.node_copy(node))
        self.new.eliminate_dead_code()
        self.new.lint()
        return self.new


def tidy(graph: Graph) -> Graph:
    """The same computation with permutations cancelled, views merged, copies and dead nodes gone."""
    return _Tidy(graph).run()

"""Random graphs of tasks in the importer's form, with what they compute by numpy."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

CONTEXT = 96
_SAME = "affine_map<(d0, d1) -> (d0, d1)>"


@dataclass
class Graph:
    """A step of `tokens` rows, f32: values `[tokens, width]` by name, each an operation of earlier ones."""

    tokens: int
    vocabulary: int
    seed: int = 0
    lines: list[str] = field(default_factory=list)
    functions: dict[str, str] = field(default_factory=dict)
    weights: dict[str, tuple[int, ...]] = field(default_factory=dict)
    widths: dict[str, int] = field(default_factory=dict)
    steps: list[tuple] = field(default_factory=list)
    layers: int = 0

    def _type(self, *shape: int, element: str = "f32") -> str:
        return "tensor<" + "x".join(map(str, shape)) + f"x{element}>"

    def _name(self, width: int, *step) -> str:
        name = f"%v{len(self.steps)}"
        self.widths[name] = width
        self.steps.append((name, *step))
        return name

    def _weight(self, *shape: int) -> str:
        name = f"w{len(self.weights)}"
        self.weights[name] = shape
        return name

    def _call(
        self, name: str, result: str, op: str, operands: list[tuple[str, str]], kind: str, **scalars: str
    ) -> None:
        types = ", ".join(t for _, t in operands)
        attributes = "".join(f", {key} = {value}" for key, value in scalars.items())
        self.functions[op] = (
            f'func.func private @{op}({types}) -> {result} attributes {{fleet.op = "{kind}"{attributes}}}'
        )
        self.lines.append(f"{name} = call @{op}({', '.join(v for v, _ in operands)}) : ({types}) -> {result}")

    def embed(self, width: int) -> str:
        table = self._weight(self.vocabulary, width)
        name = self._name(width, "embed", table)
        self._call(name, self._type(self.tokens, width), f"embed{len(self.steps)}",
                   [(f"%{table}", self._type(self.vocabulary, width)), ("%tokens", self._type(self.tokens, element="i32"))],
                   "gather")  # fmt: skip
        return name

    def linear(self, x: str, width: int, rows: int | None = None) -> str:
        depth, rows = self.widths[x], rows or self.tokens
        weight = self._weight(width, depth)
        name = self._name(width, "linear", x, weight)
        stored, turned, out = self._type(width, depth), self._type(depth, width), self._type(rows, width)
        self.lines += [
            f"{name}_t = tensor.empty() : {turned}",
            f"{name}_w = linalg.transpose ins(%{weight} : {stored}) outs({name}_t : {turned}) permutation = [1, 0]",
            f"{name}_e = tensor.empty() : {out}",
            f"{name}_z = linalg.fill ins(%zero : f32) outs({name}_e : {out}) -> {out}",
            f"{name} = linalg.matmul ins({x}, {name}_w : {self._type(rows, depth)}, {turned}) outs({name}_z : {out}) -> {out}",
        ]
        return name

    def _pointwise(self, kind: str, x: str, y: str, body: list[str]) -> str:
        width = self.widths[x]
        name = self._name(width, kind, x, y)
        kept = self._type(self.tokens, width)
        self.lines += [
            f"{name}_e = tensor.empty() : {kept}",
            f'{name} = linalg.generic {{indexing_maps = [{_SAME}, {_SAME}, {_SAME}], iterator_types = ["parallel", "parallel"]}}'
            f" ins({x}, {y} : {kept}, {kept}) outs({name}_e : {kept}) {{",
            "^bb0(%a: f32, %b: f32, %out: f32):",
            *body,
            f"linalg.yield %r : f32 }} -> {kept}",
        ]
        return name

    def add(self, x: str, y: str) -> str:
        return self._pointwise("add", x, y, ["%r = arith.addf %a, %b : f32"])

    def gate(self, x: str, y: str) -> str:
        """silu(x) * y."""
        return self._pointwise(
            "gate", x, y,
            ["%n = arith.negf %a : f32", "%x = math.exp %n : f32", "%d = arith.addf %x, %one : f32",
             "%s = arith.divf %a, %d : f32", "%r = arith.mulf %s, %b : f32"],
        )  # fmt: skip

    def norm(self, x: str) -> str:
        width = self.widths[x]
        weight = self._weight(width)
        name = self._name(width, "norm", x, weight)
        kept = self._type(self.tokens, width)
        self._call(
            name, kept, f"norm{width}", [(x, kept), (f"%{weight}", self._type(width))], "rms_norm", eps="1.0e-5 : f64"
        )
        return name

    def attend(self, q: str, k: str, v: str, heads: int, groups: int) -> str:
        """Causal attention of `heads` heads on `groups` heads of keys and values, over the rows of the step."""
        depth, rows = self.widths[q] // heads, self.tokens
        name = self._name(heads * depth, "attend", q, k, v, heads, groups)
        for value, count in ((q, heads), (k, groups), (v, groups)):
            self.lines.append(
                f"{name}_{value[1:]} = tensor.expand_shape {value} [[0], [1, 2]] output_shape [{rows}, {count}, {depth}]"
                f" : {self._type(rows, count * depth)} into {self._type(rows, count, depth)}"
            )
        operands = [(f"{name}_{x[1:]}", self._type(rows, n, depth)) for x, n in ((q, heads), (k, groups), (v, groups))]
        operands += [(x, self._type(rows, element="i32")) for x in ("%slots", "%positions")]
        self._call(f"{name}_h", self._type(rows, heads, depth), f"attend{self.layers}", operands, "attention",
                   layer=f"{self.layers} : i64", scale=f"{depth**-0.5} : f64")  # fmt: skip
        self.layers += 1
        self.lines.append(
            f"{name} = tensor.collapse_shape {name}_h [[0], [1, 2]] : {self._type(rows, heads, depth)}"
            f" into {self._type(rows, heads * depth)}"
        )
        return name

    def text(self, last: str) -> str:
        """The raw module: the head on all rows of `last`."""
        width, rows = self.widths[last], self.tokens
        kept = self._type(rows, width)
        self._call("%picked", kept, "pick", [(last, kept), ("%out_rows", self._type(rows, element="i32"))], "gather")
        self.widths["%picked"] = width
        self.steps.append(("%picked", "same", last))
        logits = self.linear("%picked", self.vocabulary)
        wide, ids = self._type(rows, self.vocabulary), self._type(rows, element="i32")
        self._call("%ids", ids, "greedy", [(logits, wide)], "argmax")
        inputs = [f'%{n}: {ids} {{fleet.input = "{n}"}}' for n in ("tokens", "positions", "slots", "out_rows")]
        inputs += [f'%{n}: {self._type(*shape)} {{fleet.param = "{n}"}}' for n, shape in self.weights.items()]
        body = "\n    ".join(
            ["%zero = arith.constant 0.0 : f32", "%one = arith.constant 1.0 : f32", *self.lines,
             f"return {logits}, %ids : {wide}, {ids}"]
        )  # fmt: skip
        functions = "\n  ".join(self.functions.values())
        return (
            f"module attributes {{fleet.slots = 1 : i64, fleet.context = {CONTEXT} : i64, fleet.layers = {max(1, self.layers)} : i64}} {{\n"
            f"  {functions}\n  func.func @step({', '.join(inputs)}) -> ({wide}, {ids}) {{\n    {body}\n  }}\n}}\n"
        )

    def values(self) -> dict[str, np.ndarray]:
        """Random weights, f32."""
        random = np.random.default_rng(self.seed)
        return {n: (random.standard_normal(s) * s[-1] ** -0.5).astype(np.float32) for n, s in self.weights.items()}

    def reference(self, weights: dict[str, np.ndarray], tokens: list[int]) -> np.ndarray:
        """Logits f64 ``[tokens, vocabulary]``."""
        w = {n: v.astype(np.float64) for n, v in weights.items()}
        known: dict[str, np.ndarray] = {}
        for name, kind, *rest in self.steps:
            match kind:
                case "embed":
                    value = w[rest[0]][tokens]
                case "linear":
                    value = known[rest[0]] @ w[rest[1]].T
                case "add":
                    value = known[rest[0]] + known[rest[1]]
                case "gate":
                    x = known[rest[0]]
                    value = x / (1 + np.exp(-x)) * known[rest[1]]
                case "norm":
                    x = known[rest[0]]
                    value = x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-5) * w[rest[1]]
                case "same":
                    value = known[rest[0]]
                case "attend":
                    q, k, v = (
                        known[r].reshape(len(tokens), n, -1)
                        for r, n in zip(rest[:3], (rest[3], rest[4], rest[4]), strict=True)
                    )
                    k, v = (np.repeat(x, rest[3] // rest[4], axis=1) for x in (k, v))
                    scores = np.einsum("thd,shd->hts", q, k) * q.shape[-1] ** -0.5
                    scores = np.where(np.tril(np.ones(scores.shape[1:], bool)), scores, -np.inf)
                    scores = np.exp(scores - scores.max(-1, keepdims=True))
                    scores /= scores.sum(-1, keepdims=True)
                    value = np.einsum("hts,shd->thd", scores, v).reshape(len(tokens), -1)
            known[name] = value
        return known[name]


def decoder(
    tokens: int, hidden: int, heads: int, groups: int, depth: int, inner: int, vocabulary: int, layers: int
) -> tuple[Graph, str]:
    """A decoder of the usual form, and its raw text."""
    graph = Graph(tokens, vocabulary)
    x = graph.embed(hidden)
    for _ in range(layers):
        n = graph.norm(x)
        a = graph.attend(
            graph.linear(n, heads * depth),
            graph.linear(n, groups * depth),
            graph.linear(n, groups * depth),
            heads,
            groups,
        )
        x = graph.add(x, graph.linear(a, hidden))
        n = graph.norm(x)
        x = graph.add(x, graph.linear(graph.gate(graph.linear(n, inner), graph.linear(n, inner)), hidden))
    return graph, graph.text(graph.norm(x))

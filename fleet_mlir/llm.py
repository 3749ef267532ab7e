"""Text in, text out: a prefill kernel and a decode kernel that share weights and caches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .compiler import Job, compile_all
from .errors import FleetError
from .progress import shown, stage

# Greedy steps that go in one launch where the program can: enough to hide what a launch costs, few enough that a
# stream of text does not halt and that little is thrown away when an answer ends.
LAUNCH_STEPS = 16


@dataclass
class Report:
    """Times and counts of the last ``generate``."""

    compile_seconds: float = 0.0
    cached: bool = False
    load_seconds: float = 0.0
    prompt_tokens: int = 0
    prefill_seconds: float = 0.0
    new_tokens: int = 0
    decode_seconds: float = 0.0
    launches: int = 0
    stats: dict[str, Any] = field(default_factory=dict)


def _positive(prefill: Any) -> int:
    if not isinstance(prefill, int) or isinstance(prefill, bool) or prefill < 1:
        raise FleetError(f"prefill must be a positive whole number, not {prefill}")
    return prefill


class TextStream:
    """Turns ids that come one at a time into text, holding back characters that are not complete."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._ids: list[int] = []
        self._done = ""
        self._from = 0

    def push(self, token: int) -> str:
        """The text that became final with ``token``."""
        self._ids.append(token)
        text = self._decode(self._ids[self._from :])
        if text.endswith("\ufffd"):
            return ""
        new = text[len(self._done) :]
        # keep a short tail as context, so that the cost of a long answer stays linear
        if len(self._ids) - self._from > 64:
            self._from = len(self._ids) - 16
            text = self._decode(self._ids[self._from :])
        self._done = text
        return new

    def flush(self) -> str:
        """What is left at the end."""
        text = self._decode(self._ids[self._from :])
        new, self._done = text[len(self._done) :], text
        return new

    def _decode(self, ids: list[int]) -> str:
        return self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)


def encode(tokenizer: Any, prompt: str | Sequence[int], context: int) -> list[int]:
    """Token ids of a prompt, which must not be empty nor longer than ``context``."""
    if isinstance(prompt, str):
        if tokenizer is None:
            raise FleetError("the model has no tokenizer: give the prompt as token ids")
        ids = tokenizer(prompt)["input_ids"]
    else:
        ids = [int(token) for token in prompt]
    if not ids:
        raise FleetError("the prompt is empty")
    if len(ids) > context:
        raise FleetError(f"the prompt has {len(ids)} tokens, more than the context of {context}")
    return list(ids)


class LLM:
    """A model with its compiled kernels.

    ``slots`` prompts can be decoded together; ``prefill`` is the rows of a prefill step.
    """

    def __init__(
        self,
        model: Any,
        target: str = "cpu",
        *,
        context: int = 1024,
        slots: int = 1,
        prefill: int = 32,
        device: str | None = None,
        cache: bool = True,
    ) -> None:
        from .models import load

        start = time.perf_counter()
        with shown():
            self.model = load(model) if not hasattr(model, "weights") else model
            self.tokenizer = getattr(self.model, "tokenizer", None)
            self.context, self.slots = context, slots
            self.report = Report(load_seconds=time.perf_counter() - start)
            start = time.perf_counter()
            sizes: dict[str, Any] = {"slots": slots, "context": context, "cache": cache}
            jobs = [Job.of(self.model, target, tokens=slots, out_rows=slots, **sizes)]
            prefill = min(_positive(prefill), context)
            if prefill > slots:
                # First, for its code takes longer than the other's.
                jobs.insert(0, Job.of(self.model, target, tokens=prefill, out_rows=1, **sizes))
            self.prefill_step, self.decode_step = (made := compile_all(jobs))[0], made[-1]
            self.report.compile_seconds = time.perf_counter() - start
            self.report.cached = all(step.cached for step in made)
            start = time.perf_counter()
            self.decode_step.bind(self.model, device=device)
            if self.prefill_step is not self.decode_step:
                self.prefill_step.bind(self.model, share=self.decode_step, device=device)
        self.report.load_seconds += time.perf_counter() - start
        self.report.stats = dict(self.decode_step.manifest.get("stats") or {})

    # -- tokens --------------------------------------------------------------------------------------
    def encode(self, prompt: str | Sequence[int]) -> list[int]:
        """Token ids of a prompt (which may be ids already)."""
        return encode(self.tokenizer, prompt, self.context)

    def stop_tokens(self) -> set[int]:
        """Ids that end an answer, from the tokenizer and the model's configuration."""
        found: set[int] = set()
        sources = [
            getattr(self.tokenizer, "eos_token_id", None),
            getattr(self.model.config, "eos_token_id", None),
            getattr(getattr(self.model, "generation_config", None), "eos_token_id", None),
        ]
        for value in sources:
            for token in value if isinstance(value, list | tuple) else [value]:
                if isinstance(token, int):
                    found.add(token)
        return found

    def reference(self) -> Any:
        """The same model in plain PyTorch with the same weights, to check against."""
        return self.model.reference()

    # -- running -------------------------------------------------------------------------------------
    def prefill(self, ids: Sequence[int], slot: int = 0) -> tuple[int, np.ndarray]:
        """Read a prompt into a slot; gives the next greedy token and the logits float32 ``[V]`` behind it."""
        step, result = self.prefill_step, None
        with shown(), stage("reading the prompt", len(ids)) as advance:
            for begin in range(0, len(ids), step.tokens):
                part = ids[begin : begin + step.tokens]
                rows = [len(part) - 1]
                result = step.step(part, range(begin, begin + len(part)), [slot] * len(part), rows)
                advance(len(part))
        assert result is not None
        return int(result.ids[0]), result.logits[0]

    def stream_ids(
        self, prompts: Sequence[Sequence[int]], max_new_tokens: int, stop: Iterable[int]
    ) -> Iterator[tuple[int, int]]:
        """Greedy tokens of several prompts (one slot each) as they come: ``(prompt, token)``."""
        stop = set(stop)
        if max_new_tokens < 1:
            raise FleetError("max_new_tokens must be at least 1")
        if len(prompts) > self.slots:
            raise FleetError(f"{len(prompts)} prompts were given, the program has {self.slots} slots")
        report = self.report
        report.prompt_tokens = sum(map(len, prompts))
        report.new_tokens, report.decode_seconds, report.launches = 0, 0.0, 0
        start = time.perf_counter()
        position = [len(ids) for ids in prompts]
        token = [self.prefill(ids, slot)[0] for slot, ids in enumerate(prompts)]
        report.prefill_seconds = time.perf_counter() - start
        count = [0] * len(prompts)
        live = set(range(len(prompts)))
        ahead: dict[int, list[int]] = {slot: [] for slot in live}  # tokens that a launch of several steps gave
        while live:
            for slot in sorted(live):
                if token[slot] in stop:
                    live.discard(slot)
                    continue
                count[slot] += 1
                yield slot, token[slot]
                if count[slot] >= max_new_tokens or position[slot] >= self.context:
                    live.discard(slot)
            if not live:
                break
            rows = sorted(live)
            if not ahead[rows[0]]:
                room = min(min(max_new_tokens - count[slot], self.context - position[slot]) for slot in rows)
                start = time.perf_counter()
                before = self.decode_step.launches
                chunk = self._decode([token[slot] for slot in rows], [position[slot] for slot in rows], rows, room)
                report.decode_seconds += time.perf_counter() - start
                report.launches += self.decode_step.launches - before
                for slot, ids in zip(rows, chunk, strict=True):
                    ahead[slot] = ids
            report.new_tokens += len(rows)
            for slot in rows:
                token[slot] = ahead[slot].pop(0)
                position[slot] += 1

    def _decode(self, tokens: list[int], positions: list[int], slots: list[int], room: int) -> list[list[int]]:
        """The next tokens of each slot: one, or as many (up to ``room``) as one launch gives."""
        step = self.decode_step
        steps = min(step.most_steps, LAUNCH_STEPS, max(room, 1))
        if steps > 1:
            return step.steps_ahead(tokens, positions, slots, steps).T.tolist()
        return [[int(token)] for token in step.step(tokens, positions, slots, range(len(slots))).ids]

    def generate(
        self,
        prompt: str | Sequence[int],
        max_new_tokens: int = 128,
        stream: Callable[[str], Any] | bool = False,
        stop: Iterable[int] | None = None,
    ) -> str:
        """The greedy continuation of one prompt as text.

        stream: a function called with each piece of text, or True to print them. stop: ids that end the
        answer, by default the model's own.
        """
        ids = self.encode(prompt)
        if self.tokenizer is None:
            raise FleetError("the model has no tokenizer: use generate_ids")
        emit = stream if callable(stream) else (lambda text: print(text, end="", flush=True)) if stream else None
        text, pieces = TextStream(self.tokenizer), []

        def put(piece: str) -> None:
            if piece:
                pieces.append(piece)
                if emit:
                    emit(piece)

        for _, token in self.stream_ids([ids], max_new_tokens, self.stop_tokens() if stop is None else stop):
            put(text.push(token))
        put(text.flush())
        return "".join(pieces)

    def generate_ids(
        self, prompts: Sequence[str | Sequence[int]], max_new_tokens: int = 128, stop: Iterable[int] | None = None
    ) -> list[list[int]]:
        """Greedy token ids of up to ``slots`` prompts, decoded together."""
        ids = [self.encode(prompt) for prompt in prompts]
        out: list[list[int]] = [[] for _ in ids]
        for slot, token in self.stream_ids(ids, max_new_tokens, self.stop_tokens() if stop is None else stop):
            out[slot].append(token)
        return out

    def chat(self, messages: str | Sequence[dict[str, str]], **options: Any) -> str:
        """Answer a conversation (or one user message) with the tokenizer's chat template."""
        if isinstance(messages, str):
            messages = [{"role": "user", "content": messages}]
        if self.tokenizer is None or not getattr(self.tokenizer, "chat_template", None):
            raise FleetError("the model's tokenizer has no chat template")
        text = self.tokenizer.apply_chat_template(list(messages), add_generation_prompt=True, tokenize=False)
        ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return self.generate(ids, **options)

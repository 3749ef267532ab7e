"""Results that carry their step's number are for short parts of attention: all who wait for a long one would poll meanwhile."""

from __future__ import annotations

import pytest

from fleet_mlir import compile
from fleet_mlir.known import config_of


@pytest.mark.parametrize(("context", "is_flagged"), [(1024, True), (8192, False)])
def test_long_contexts_keep_their_events(context: int, is_flagged: bool) -> None:
    config = config_of("qwen3-8b")
    config.num_hidden_layers = 1
    step = compile(config, "sm_90a", tokens=1, context=context, cache=False)
    assert ("flagged" in step.manifest) == is_flagged

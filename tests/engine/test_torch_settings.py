"""Codes of the torch engine are the same whatever a program has set in torch: autocast, default device and dtype,
torch.compile."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import pytest
import torch

from streamrvq.codec import Codec
from tests.support.contract import minute, noise, weights_of

SETTINGS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "bfloat16": lambda: torch.autocast("cpu", torch.bfloat16),
    "float16": lambda: torch.autocast("cpu", torch.float16),
    "meta": lambda: torch.device("meta"),
}


def made(outside: Callable[[], AbstractContextManager[Any]], inside: Callable[[], AbstractContextManager[Any]]) -> Any:
    """Codes and samples of a codec that is made in one setting and used in another, halfway parked."""
    with outside():
        codec = Codec(weights_of(minute(causal=True)), engine="torch")
    with inside():
        stream = codec.stream()
        first = stream.push(noise(300))
        stream = codec.stream(snapshot=stream.snapshot())
        codes = np.concatenate([first, stream.push(noise(400, seed=1)), stream.flush()], axis=1)
        return codes, codec.decode(codes)


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("when", ["made", "used"])
def test_a_setting_of_the_program_does_not_show(name: str, when: str) -> None:
    setting = SETTINGS[name]
    given = made(setting, nullcontext) if when == "made" else made(nullcontext, setting)
    for ours, wanted in zip(given, made(nullcontext, nullcontext), strict=True):
        np.testing.assert_array_equal(ours, wanted)


def test_the_program_keeps_its_settings() -> None:
    with torch.autocast("cpu", torch.bfloat16), torch.device("meta"):
        Codec(weights_of(minute()), engine="torch").encode(torch.from_numpy(noise(100)))
        assert torch.is_autocast_enabled("cpu")
        assert torch.get_default_device().type == "meta"


def test_a_step_within_torch_compile_computes_as_ever() -> None:
    codec = Codec(weights_of(minute(causal=True)), engine="torch")
    engine, one = codec.engine, np.zeros(1, np.int64)
    pcm = noise(engine.config.hop_length)[None]
    wanted, _ = engine.encode_step(pcm, engine.new_states(1, "encode"), one, one, one - 1, 3)
    states = engine.new_states(1, "encode")

    @torch.compile(backend="eager")
    def step(pcm: Any) -> Any:
        return engine.encode_step(pcm, states, one, one, one - 1, 3)

    codes, _ = step(pcm)
    np.testing.assert_array_equal(codes, wanted)

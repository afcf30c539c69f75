"""EnCodec and Mimi give the codes and samples of the packages ``encodec`` and ``moshi`` too, from their own files.

Knows: the packages' models (tests/reference/packages.py), what is compared (own_packages.py). Does not know:
transformers' codes (test_official_codes.py), the released sizes (test_full_width.py), the packages' speed
(tools/peers).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from streamrvq.codec import Codec
from tests.families.own_packages import MODELS, TAILS, Apart, apart, package_of
from tests.families.pairs import FAMILIES, Pair, pair
from tests.reference.packages import encoded
from tests.reference.spread import music
from tests.support.contract import cut

SECONDS = {"encodec": 5, "mimi": 20}  #: 375 and 250 frames
#: Shares of the largest value. float64 differs by what rounding our folded weights, and moshi's float32 angles, leave.
CLOSE = {"float64": 1e-5, "float32": 1e-4}


@lru_cache(maxsize=8)
def models(name: str, size: str) -> tuple[Pair, Any, Any]:
    """Ours, and the package's in float32 and float64."""
    both = pair(name, size)
    return both, package_of(both), package_of(both).double()


def same(found: Apart, dtype: str, why: object) -> None:
    assert found.codes.equal_but_for_near_ties, (why, found)
    assert found.latents <= CLOSE[dtype], (why, found)
    assert found.samples <= CLOSE[dtype], (why, found)


def lengths(hop: int) -> list[int]:
    """Around each end of a hop up to the third, and some between: for short hops, all."""
    return [n for n in range(1, 3 * hop + 4) if hop < 10 or n % hop in (0, 1, 2, hop // 3, hop - 1)]


@pytest.mark.parametrize("size", ["minute", "small"])
@pytest.mark.parametrize("name", FAMILIES)
def test_every_length_has_the_packages_frames_and_codes(name: str, size: str) -> None:
    both, _, double = models(name, size)
    hop = both.double.hop_length
    for samples in lengths(hop):
        pcm = music(samples, seed=samples)
        same(apart(double, both.double, both.double, pcm, name), "float64", samples)
        assert both.double.encode(pcm, tail=TAILS[name]).shape[1] == -(-samples // hop)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", FAMILIES)
def test_seconds_of_audio(name: str, dtype: str) -> None:
    """At least 60 entries of every level are used. Mimi's transformer sees half of it."""
    both, single, double = models(name, "entries")
    pcm = music(24000 * SECONDS[name] + 7, seed=5)
    ours: Codec = both.double if dtype == "float64" else both.single
    found = apart(double if dtype == "float64" else single, ours, both.double, pcm, name)
    same(found, dtype, "seconds")
    assert found.entries >= 60


def test_names_that_are_mixed_up_give_other_codes() -> None:
    """So the comparison finds them: here two norms of Mimi, and its keys' rows in transformers' order."""
    both = pair("mimi", "entries")
    package_of(both)
    tensors = load_file(both.folder / "package.safetensors")
    layer = "encoder_transformer.transformer.layers.0"
    stacked = tensors[f"{layer}.self_attn.in_proj_weight"]
    keys = stacked[32:64].view(8, 2, 2, 32).transpose(1, 2).reshape(32, 32)
    for change in (
        {f"{layer}.self_attn.in_proj_weight": torch.cat([stacked[:32], keys, stacked[64:]])},
        {f"{layer}.norm{i}.weight": tensors[f"{layer}.norm{3 - i}.weight"] for i in (1, 2)},
    ):
        save_file(tensors | change, both.folder / "mixed.safetensors")
        mixed = MODELS["mimi"](both.model.config, both.folder / "mixed.safetensors")
        found = apart(mixed, both.single, both.double, music(48000, seed=1), "mimi")
        assert not found.codes.equal_but_for_near_ties
        assert found.latents > 1e-3


def test_moshis_streaming_refuses_a_partial_hop_and_ours_holds_it_back() -> None:
    both, single, _ = models("mimi", "small")
    pcm, hop = music(3 * 1920, seed=3), both.single.hop_length
    with single.streaming(1), torch.no_grad():
        parts = [single.encode(torch.from_numpy(block)[None, None])[0].numpy() for block in cut(pcm, [hop] * 3)]
        with pytest.raises(RuntimeError, match="positive multiple of the frame size 1920"):
            single.encode(torch.from_numpy(pcm[: hop - 1])[None, None])
    stream = both.single.stream(n_quantizers=8)
    assert stream.push(pcm[: hop - 1]).shape == (8, 0)
    ours = np.concatenate([stream.push(pcm[hop - 1 :]), stream.flush()], axis=1)
    np.testing.assert_array_equal(ours, np.concatenate(parts, axis=1))
    np.testing.assert_array_equal(ours, encoded(single, torch.from_numpy(pcm))[0])

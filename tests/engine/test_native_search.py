"""The native engine's search: of equal entries the first, whatever number of entries and frames it takes together.

Knows: codecs of both distances, with every entry twice in their codebooks. Does not know: the order of the sums.
"""

from __future__ import annotations

import os
from unittest import mock

import numpy as np
import pytest

from streamrvq.codec import Codec
from streamrvq.config import Config
from streamrvq.families.encodec import EncodecConfig
from streamrvq.weights import Weights
from tests.support.contract import minute, needs_native, noise, weights_of
from tests.support.native import ISAS, same_bits

pytestmark = needs_native

#: Fewer than a vector of any instruction set, whole blocks, one more and one less than tiles of them.
SIZES = [1, 3, 16, 63, 64, 65, 130]


def encodec(size: int) -> EncodecConfig:
    return EncodecConfig(
        num_filters=2, hidden_size=6, codebook_dim=6, upsampling_ratios=(4, 2), codebook_size=size, n_codebooks=3
    )


def with_twins(config: Config) -> Weights:
    """Weights whose entries of the upper half are those of the lower half again."""
    weights, size, tensors = weights_of(config), config.codebook_size, {}
    for name, value in weights.tensors.items():
        tensors[name] = value
        if "codebook" in name and value.shape == (size, config.codebook_dim):
            tensors[name] = np.concatenate([value[: -(-size // 2)], value[: size // 2]])
    return Weights.from_tensors(config, tensors, name="twins", trained=False)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("family", ["dac", "encodec"])
def test_the_first_of_equal_entries_wins(family: str, size: int) -> None:
    weights = with_twins(encodec(size) if family == "encodec" else minute(codebook_size=size))
    wanted = None
    for isa in ISAS:
        with mock.patch.dict(os.environ, STREAMRVQ_ISA=isa):
            codec = Codec(weights, engine="native", threads=1)
        pcm = noise(19 * codec.hop_length, seed=size)
        single = codec.stream()
        parts = [single.push(hop) for hop in pcm.reshape(-1, codec.hop_length)]
        codes = np.concatenate([*parts, single.flush()], axis=1)
        assert codes.max() < max(1, -(-size // 2)), f"{isa} took a later one of two equal entries"
        assert size < 16 or len(np.unique(codes)) > 3
        wanted = codes if wanted is None else wanted
        same_bits(codes, wanted, isa)
        for frames in range(1, 20):  # together in a step, at most; a stream begins the next one where this one ended
            stream, step = codec.stream(), frames * codec.hop_length
            parts = [stream.push(pcm[start : start + step]) for start in range(0, len(pcm), step)]
            same_bits(np.concatenate([*parts, stream.flush()], axis=1), wanted, f"{isa}, {frames} frames")

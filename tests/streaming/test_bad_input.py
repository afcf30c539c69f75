"""Bad samples and bad codes: each is named in one sentence, with its position, and the stream is as it was to the bit.

Knows: the public API and snapshots as the view of a stream's state. What may be pushed when is in test_stream.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from streamrvq.codec import Codec
from streamrvq.errors import InputError
from tests.support.contract import noise, streamed

PCM = noise(400, seed=7)


def state(stream: Any) -> bytes:
    """All of a stream's state."""
    return bytes(stream.snapshot().to_bytes())


def codes_for(codec: Codec, frames: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, codec.config.codebook_size, (codec.n_codebooks, frames))


class OnDevice:
    """Stands for a CUDA tensor."""

    device = torch.device("cuda", 0)


def with_sample(value: float, at: int = 5) -> Any:
    block = PCM[:20].copy()
    block[at] = value
    return block


BAD_SAMPLES = {
    "nan": (with_sample(np.nan), r"sample 82 is nan"),
    "inf": (with_sample(np.inf, 0), r"sample 77 is inf"),
    "-inf": (with_sample(-np.inf, 19), r"sample 96 is -inf"),
    "loud": (with_sample(128.001), r"sample 82 is 128.001"),
    "quiet floor": (with_sample(-32768.0), r"sample 82 is -32768"),
    "signalling nan": (np.array([0x7F800001], np.uint32).view(np.float32), r"sample 77 is nan"),
    "float64": (PCM[:20].astype(np.float64), "float64.*wanted float32"),
    "float16": (PCM[:20].astype(np.float16), "float16.*wanted float32"),
    "int32": (np.zeros(4, np.int32), "int32.*wanted float32"),
    "bool": (np.zeros(4, bool), "bool.*wanted float32"),
    "complex": (np.zeros(4, np.complex64), "complex64.*wanted float32"),
    "big endian": (np.zeros(4, ">i2"), "wanted float32"),
    "2-D": (np.zeros((20, 2), np.float32), r"shape \[20, 2\].*mix channels down"),
    "row": (np.zeros((1, 20), np.float32), r"shape \[1, 20\]"),
    "0-D": (np.float32(0.5), r"shape \[\]"),
    "none": (None, "samples"),
    "text": ("audio", "samples"),
    "ragged": ([[0.0], [0.0, 1.0]], "no array"),
    "device": (OnDevice(), r"cuda:0.*\.cpu\(\)"),
    "grad": (torch.zeros(4, requires_grad=True), r"\.detach\(\)"),
}


@pytest.mark.parametrize("kind", BAD_SAMPLES)
def test_bad_samples_are_named_and_leave_the_stream_as_it_was(minute_codec: Codec, kind: str) -> None:
    block, message = BAD_SAMPLES[kind]
    stream = minute_codec.stream()
    head = stream.push(PCM[:77])
    before = state(stream)
    with pytest.raises(InputError, match=message):
        stream.push(block)
    assert state(stream) == before
    assert stream.samples_received == 77
    codes = np.concatenate([head, stream.push(PCM[77:]), stream.flush()], axis=1)
    np.testing.assert_array_equal(codes, minute_codec.encode(PCM))


def test_the_bound_itself_is_accepted(minute_codec: Codec) -> None:
    loud = PCM.copy()
    loud[3], loud[4] = 128, -128
    np.testing.assert_array_equal(streamed(minute_codec.stream(), loud, [5, 9]), minute_codec.encode(loud))


def test_encode_names_the_row_of_a_bad_sample(minute_codec: Codec) -> None:
    rows = np.stack([PCM, PCM])
    rows[1, 300] = np.nan
    with pytest.raises(InputError, match="sample 300 of row 1 is nan"):
        minute_codec.encode(rows)


BAD_CODES = {
    "negative": (np.array([[0], [-1], [0]]), "code -1 at codebook 1, frame 0"),
    "large": (np.array([[0, 0], [0, 0], [0, 64]]), "code 64 at codebook 2, frame 1"),
    "uint64": (np.full((3, 1), 2**64 - 1, np.uint64), "code 18446744073709551615 at codebook 0"),
    "float": (np.zeros((3, 2), np.float32), "float32.*wanted integers"),
    "bool": (np.zeros((3, 2), bool), "bool.*wanted integers"),
    "1-D": (np.zeros(3, np.int64), r"shape \[3\]"),
    "3-D": (np.zeros((1, 3, 2), np.int64), r"shape \[1, 3, 2\]"),
    "no levels": (np.zeros((0, 2), np.int64), r"shape \[0, 2\]"),
    "many levels": (np.zeros((4, 2), np.int64), r"shape \[4, 2\]"),
    "device": (OnDevice(), r"\.cpu\(\)"),
}


@pytest.mark.parametrize("kind", BAD_CODES)
def test_bad_codes_are_named_and_leave_the_stream_as_it_was(minute_codec: Codec, kind: str) -> None:
    block, message = BAD_CODES[kind]
    codes, stream = codes_for(minute_codec, 30), minute_codec.decoder_stream()
    head = stream.push(codes[:, :11])
    before = state(stream)
    with pytest.raises(InputError, match=message):
        stream.push(block)
    assert state(stream) == before
    pcm = np.concatenate([head, stream.push(codes[:, 11:]), stream.flush()])
    np.testing.assert_allclose(pcm, minute_codec.decode(codes), rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", [np.uint16, np.int8, np.int32, np.uint64])
def test_codes_of_any_integer_type_decode_the_same(minute_codec: Codec, kind: Any) -> None:
    codes = codes_for(minute_codec, 10)
    np.testing.assert_array_equal(minute_codec.decode(codes.astype(kind)), minute_codec.decode(codes))

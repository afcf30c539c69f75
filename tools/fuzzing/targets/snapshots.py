"""Snapshots of encoder and decoder streams."""

from __future__ import annotations

import numpy as np

from streamrvq.streaming.snapshot import Snapshot

from ..small import codec
from ..target import Target

_PCM = np.linspace(-0.5, 0.5, 21, dtype=np.float32)


def _encoder(data: bytes) -> None:
    with np.errstate(all="ignore"):  # huge finite numbers are a state like any other
        stream = codec().stream(snapshot=Snapshot.from_bytes(data))
        stream.push(_PCM)
        stream.flush()


def _decoder(data: bytes) -> None:
    with np.errstate(all="ignore"):
        stream = codec().decoder_stream(snapshot=Snapshot.from_bytes(data))
        stream.push(np.zeros((3, 2), np.int64))
        stream.flush()


def _encoder_seeds() -> list[bytes]:
    stream = codec().stream(n_quantizers=2)
    stream.push(_PCM)
    resampling = codec().stream(sample_rate=48_000)
    resampling.push(_PCM)
    return [made.snapshot().to_bytes() for made in (codec().stream(), resampling, stream)]


def _decoder_seeds() -> list[bytes]:
    stream = codec().decoder_stream()
    stream.push(np.ones((3, 4), np.int64))
    resampling = codec().decoder_stream(sample_rate=48_000)
    resampling.push(np.ones((3, 4), np.int64))
    return [made.snapshot().to_bytes() for made in (resampling, stream)]


TARGETS = (
    Target("snapshot", "a snapshot of an encoder stream", _encoder, _encoder_seeds),
    Target("snapshot-decoder", "a snapshot of a decoder stream", _decoder, _decoder_seeds),
)

"""Compares every code that came with the code that should have come, computed offline after the run, stream by stream.

Knows: a record, a codec, the audio that was sent. Does not know: how the codes came.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from streamrvq import Codec
from streamrvq.engine.base import Codes

from .clients.audio import LoopedAudio
from .record import End, Record

#: Hops encoded at a time.
_HOPS = 64
#: Of the frames that were compared, the share that may differ (near-ties) in float32 on torch.
_NEAR_TIES = 1e-4


@dataclasses.dataclass(frozen=True)
class Finding:
    """What the comparison found, for one stream or for several.

    Attributes:
        codes, frames: that were compared.
        wrong: codes that differ.
        wrong_frames: frames with such a code.
        missing: frames that should have come but did not.
        surplus: frames that came although no audio was sent for them.
        first: where the first difference is, in words; "" if nothing differs.
    """

    codes: int = 0
    frames: int = 0
    wrong: int = 0
    wrong_frames: int = 0
    missing: int = 0
    surplus: int = 0
    first: str = ""

    def __add__(self, other: Finding) -> Finding:
        sums = {name: getattr(self, name) + getattr(other, name)
                for name in ("codes", "frames", "wrong", "wrong_frames", "missing", "surplus")}  # fmt: skip
        return Finding(**sums, first=self.first or other.first)

    def good(self, exact: bool) -> bool:
        """Whether nothing is wrong. ``exact``: near-ties count as wrong too."""
        most = 0 if exact else _NEAR_TIES * self.frames
        return not self.missing and not self.surplus and self.wrong_frames <= most


def is_exact(codec: Codec) -> bool:
    """Whether the codes are the same however a signal is cut into steps. torch in float32 does not promise that."""
    return codec.engine.name != "torch"


def verify(record: Record, codec: Codec, audio: LoopedAudio) -> Finding:
    """Compare one stream.

    If the server said that all frames had come, the last, padded frame must have come too. Otherwise the client had
    left, and it is enough that the frames that came are the right ones.
    """
    stream, received = codec.stream(sample_rate=record.rate), record.array()
    step = min(audio.longest, max(1, round(_HOPS * codec.hop_length * record.rate / codec.sample_rate)))
    found, fed, at = Finding(), 0, 0
    while fed < record.samples and (record.final or at < record.frames):
        count = min(step, record.samples - fed)
        wanted = stream.push(audio.samples(record.offset + fed, count))
        fed += count
        found += _compare(record, received, wanted, at)
        at += wanted.shape[1]
    if record.final:
        wanted = stream.flush()
        found += _compare(record, received, wanted, at)
        at += wanted.shape[1]
    missing = max(0, at - record.frames) if record.final else 0
    if record.end is End.DONE and record.announced != record.frames:
        missing = max(missing, abs((record.announced or 0) - record.frames))
    return found + Finding(missing=missing, surplus=max(0, record.frames - at))


def _compare(record: Record, received: npt.NDArray[np.uint16], wanted: Codes, at: int) -> Finding:
    part = received[:, at : at + wanted.shape[1]]
    if not part.size:
        return Finding()
    if part.shape[0] != wanted.shape[0]:
        return Finding(codes=part.size, frames=part.shape[1], wrong=part.size, wrong_frames=part.shape[1],
                       first=f"stream {record.number}: {part.shape[0]} levels, wanted {wanted.shape[0]}")  # fmt: skip
    differs = part != wanted[:, : part.shape[1]]
    frames = np.flatnonzero(differs.any(axis=0))
    first = ""
    if len(frames):
        level, frame = int(np.argmax(differs[:, frames[0]])), int(frames[0])
        first = (f"stream {record.number}, frame {at + frame}, level {level}: {part[level, frame]} came, "
                 f"{wanted[level, frame]} offline")  # fmt: skip
    return Finding(int(part.size), part.shape[1], int(differs.sum()), len(frames), first=first)


def total(findings: Iterable[Finding]) -> Finding:
    """The sum of the findings."""
    result = Finding()
    for finding in findings:
        result += finding
    return result

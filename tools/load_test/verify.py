"""Every code that came beside the code that should have come, computed offline after the run, stream by stream.

Knows: a record, a codec, the audio that was sent. Does not know: how the codes came.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from streamrvq import Codec
from streamrvq.engine.base import Codes

from .clients.material import Lap
from .record import End, Record

#: Hops that are encoded at a time.
_HOPS = 64
#: Share of first differences that float32 on another engine than the native one may have: near-ties.
_NEAR_TIES = 1e-4


@dataclasses.dataclass(frozen=True)
class Finding:
    """About one stream, or several.

    Attributes:
        codes: compared.
        wrong: codes that differ.
        wrong_frames: frames that have such a code.
        missing: frames that should have come and did not.
        surplus: frames that came though nothing was sent that they could be of.
        first: where the first difference is, in words; "" if there is none.
    """

    codes: int = 0
    wrong: int = 0
    wrong_frames: int = 0
    missing: int = 0
    surplus: int = 0
    first: str = ""

    def __add__(self, other: Finding) -> Finding:
        sums = {name: getattr(self, name) + getattr(other, name)
                for name in ("codes", "wrong", "wrong_frames", "missing", "surplus")}  # fmt: skip
        return Finding(**sums, first=self.first or other.first)

    def good(self, exact: bool) -> bool:
        """Nothing is wrong; ``exact``: not even a near-tie."""
        return not self.missing and not self.surplus and self.wrong_frames <= (0 if exact else _NEAR_TIES * self.codes)


def is_exact(codec: Codec) -> bool:
    """Whether its codes do not depend on how a signal is cut into steps: not so for torch in float32."""
    return codec.engine.name != "torch"


def verify(record: Record, codec: Codec, lap: Lap) -> Finding:
    """One stream. Where the server said that all had come, the last, padded frame must have come, too; else what came
    must be the beginning, and all that was owed is not asked for: the client had left."""
    stream, received = codec.stream(sample_rate=record.rate), record.array()
    step = min(lap.longest, max(1, round(_HOPS * codec.hop_length * record.rate / codec.sample_rate)))
    found, fed, at = Finding(), 0, 0
    while fed < record.samples and (record.final or at < record.frames):
        count = min(step, record.samples - fed)
        wanted = stream.push(lap.samples(record.offset + fed, count))
        fed += count
        found += _compare(record, received, wanted, at)
        at += wanted.shape[1]
    if record.final:
        wanted = stream.flush()
        found += _compare(record, received, wanted, at)
        at += wanted.shape[1]
    missing = max(0, at - record.frames) if record.final else 0
    if record.end is End.DONE and record.told != record.frames:
        missing = max(missing, abs((record.told or 0) - record.frames))
    return found + Finding(missing=missing, surplus=max(0, record.frames - at))


def _compare(record: Record, received: npt.NDArray[np.uint16], wanted: Codes, at: int) -> Finding:
    part = received[:, at : at + wanted.shape[1]]
    if not part.size:
        return Finding()
    if part.shape[0] != wanted.shape[0]:
        return Finding(codes=part.size, wrong=part.size, wrong_frames=part.shape[1],
                       first=f"stream {record.number}: {part.shape[0]} levels, wanted {wanted.shape[0]}")  # fmt: skip
    differs = part != wanted[:, : part.shape[1]]
    frames = np.flatnonzero(differs.any(axis=0))
    first = ""
    if len(frames):
        level, frame = int(np.argmax(differs[:, frames[0]])), int(frames[0])
        first = (f"stream {record.number}, frame {at + frame}, level {level}: {part[level, frame]} came, "
                 f"{wanted[level, frame]} offline")  # fmt: skip
    return Finding(int(part.size), int(differs.sum()), len(frames), first=first)


def total(findings: Iterable[Finding]) -> Finding:
    """Of all streams."""
    result = Finding()
    for finding in findings:
        result += finding
    return result

"""The token file of a pipe: frames as they come, and the file at the end.

Knows: what a token file says beside its codes. Does not know: where samples come from.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from ...codec import Codec
from ...engine.base import Codes
from ...resampling import resampler_between
from ...tokens import TokenFile, write_tokens
from ..common import note


def empty_tokens(codec: Codec, source_rate: int, levels: int | None, tail: str = "pad") -> TokenFile:
    """Tokens of a signal of no samples, to which its codes and its length are still to be added.

    Args:
        codec: that makes the codes.
        source_rate: of the samples, Hz.
        levels: K; None: the codec's.
        tail: as encoded.
    """
    return TokenFile(
        codes=np.zeros((levels or codec.n_codebooks, 0), np.int64), codec=codec.name, codec_hash=codec.codec_hash,
        trained=codec.trained, sample_rate=codec.sample_rate, hop_length=codec.hop_length, source_rate=source_rate,
        num_samples=0, tail=tail, resampler=resampler_between(source_rate, codec.sample_rate),
    )  # fmt: skip


class TokenWriter:
    """Collects frames for a token file, which is written at the end: of the signal, or of what came before an error.

    Args:
        path: of the token file.
        codec: that makes the codes.
        source_rate: of the samples, Hz.
        levels: K; None: the codec's.
        tail: as encoded.
    """

    def __init__(self, path: Path, codec: Codec, source_rate: int, levels: int | None, tail: str) -> None:
        self._path = path
        self._empty = empty_tokens(codec, source_rate, levels, tail)
        self._parts = [self._empty.codes.astype(np.uint16)]

    def frames(self, index: int, time: float, codes: Codes) -> None:
        """Take frames ``[K, n]``; ``index`` and ``time`` are those that a line would say."""
        self._parts.append(codes.astype(np.uint16))

    def finish(self, samples: int, whole: bool) -> dict[str, Any]:
        """Write the file, and say what is in it.

        Args:
            samples: of the signal.
            whole: False: its end did not come, and the frames that came decide how long it is. Without a frame there
                is no file then.
        """
        codes, empty = np.concatenate(self._parts, axis=1), self._empty
        if not whole:
            if not codes.shape[1]:
                return {}
            samples = min(samples, codes.shape[1] * empty.hop_length * empty.source_rate // empty.sample_rate)
        tokens = dataclasses.replace(empty, codes=codes.astype(np.int64), num_samples=samples)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_tokens(self._path, tokens)
        if not whole:
            note(f"{self._path} holds the {tokens.seconds:.2f} s before that")
        return {
            "source": "-", "tokens": str(self._path), "frames": codes.shape[1], "n_quantizers": codes.shape[0],
            "seconds": tokens.seconds, "source_rate": tokens.source_rate,
        }  # fmt: skip

"""Weights: a codec's configuration and its folded tensors, as one frozen value with a hash.

Knows: what identifies a codec. Does not know: files, engines.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ..config import CodecConfig
from .fit import fit
from .fold import fold


@dataclasses.dataclass(frozen=True, eq=False)
class Weights:
    """A codec's numbers. Make one with `from_tensors`, `load_weights` or `seeded`, which check them.

    Attributes:
        config: the codec.
        tensors: folded, float32, C-contiguous, read-only; as ``families.tensor_shapes(config)`` has them.
        trained: False for seeded weights, whose codes carry no meaning.
        name: a short name for people, such as "causal-44khz".
    """

    config: CodecConfig
    tensors: dict[str, npt.NDArray[np.float32]] = dataclasses.field(repr=False)
    trained: bool
    name: str

    @classmethod
    def from_tensors(cls, config: CodecConfig, tensors: Mapping[str, npt.NDArray[Any]], *, name: str, trained: bool,
                     source: str = "the given tensors") -> Weights:  # fmt: skip
        """Folds weight norm of any style, checks, and keeps copies.

        Raises:
            WeightsError: a misfit, named; ``source`` says in the message where the tensors came from.
        """
        return cls(config, fit(config, fold(tensors), source), trained, name)

    @cached_property
    def codec_hash(self) -> str:
        """sha256, 64 hex digits, over what decides codes and samples: equal hashes mean equal tokens.

        Covers the canonical config JSON without ``quantizer_dropout`` (which matters in training only) and every
        tensor's name, shape and little-endian float32 bytes, sorted by name. Not the name, not ``trained``.
        """
        settings = self.config.to_dict()
        del settings["quantizer_dropout"]
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True, separators=(",", ":")).encode())
        for name in sorted(self.tensors):
            value = self.tensors[name]
            digest.update(f"\n{name} {list(value.shape)}\n".encode())
            digest.update(np.ascontiguousarray(value, dtype="<f4").data)
        return digest.hexdigest()

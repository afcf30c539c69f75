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

from ..config import CodecConfig, Config
from ..errors import WeightsError
from ..system.copying import Shared
from ..system.foreign_data import foreign_data
from .fit import check_unfolded, fit
from .fold import fold


@dataclasses.dataclass(frozen=True, eq=False)
class Weights(Shared):
    """The numbers of a codec. Make it with `from_tensors`, `load_weights` or `seeded`, which check them.

    Attributes:
        config: the codec.
        tensors: folded, float32, C-contiguous, read-only; with the names and shapes that the configuration gives.
        trained: False for seeded weights, whose codes mean nothing.
        name: a short name for people, such as "causal-44khz".
        training: how long they were trained, for people, such as "12 steps, 34 s of audio"; "": not known.
        source: what `load_weights` takes to load them again: a preset's name, an absolute path, a name on the Hub with
            its commit, or ``seeded:`` and a preset's name; None: they were made here.
    """

    config: Config
    tensors: dict[str, npt.NDArray[np.float32]] = dataclasses.field(repr=False)
    trained: bool
    name: str
    training: str = ""
    source: str | None = dataclasses.field(
        default=None, init=False, repr=False
    )  # so that `replace` does not take it over

    def loaded_from(self, source: str) -> Weights:
        """These weights, which know from now on where they came from."""
        object.__setattr__(self, "source", source)
        return self

    def __setstate__(self, state: dict[str, Any]) -> None:
        """From a pickle, which holds the numbers themselves; numpy gives them back writable."""
        self.__dict__.update(state, source=None)
        for tensor in self.tensors.values():
            tensor.flags.writeable = False

    @classmethod
    def from_tensors(cls, config: Config, tensors: Mapping[str, npt.NDArray[Any]], *, name: str, trained: bool,
                     training: str = "", source: str = "the given tensors") -> Weights:  # fmt: skip
        """Fold weight norm of any style, check the tensors, and keep copies of them.

        Raises:
            WeightsError: the tensors do not fit. ``source`` says in the message where they came from.
        """
        with foreign_data(WeightsError, source, "wanted a numpy array under each name"):
            check_unfolded(config, tensors, source)
            return cls(config, fit(config, fold(tensors), source), trained, name, training)

    @cached_property
    def codec_hash(self) -> str:
        """SHA-256 in 64 hex digits of everything that decides codes and samples. Equal hashes mean equal tokens.

        It covers the canonical config JSON, save for ``quantizer_dropout``, which matters in training only; and, sorted
        by name, every tensor's name, shape and little-endian float32 bytes. It does not cover ``name``, ``trained`` and
        ``training``.
        """
        settings = self.config.to_dict()
        settings.pop("quantizer_dropout", None)
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True, separators=(",", ":")).encode())
        for name in sorted(self.tensors):
            value = self.tensors[name]
            digest.update(f"\n{name} {list(value.shape)}\n".encode())
            digest.update(np.ascontiguousarray(value, dtype="<f4").data)
        return digest.hexdigest()


def codec_config(weights: Weights) -> CodecConfig:
    """The configuration of weights for what knows `CodecConfig` alone: two layouts of files, and training.

    Raises:
        WeightsError: the codec is of another family.
    """
    config = weights.config
    if not isinstance(config, CodecConfig):
        raise WeightsError(
            f"{weights.name} has a {type(config).__name__}; wanted a CodecConfig: this codec can be saved as "
            ".safetensors, and not be trained"
        )
    return config


def is_trained(said: Mapping[str, Any], tensors: Mapping[str, Any]) -> bool:
    """Whether the weights in a foreign file were trained: what it says of that itself, else what its tensors show.

    Activations' alphas are all exactly 1 at first, which no step leaves so.
    """
    if "trained" in said:
        return said["trained"] is not False
    alphas = [np.asarray(value) for name, value in tensors.items() if name.endswith(".alpha")]
    return not alphas or any(np.any(alpha != 1) for alpha in alphas)

"""What a run encodes with: everything that its codes and rows depend on, as one value that is sent to the workers.

Knows: which settings all parts of a run must share. Does not know: sources, folders, workers.
"""

from __future__ import annotations

import dataclasses
import numbers
import os
from collections.abc import Mapping
from typing import Any, Literal, get_args

from ..audio.files import Truncated
from ..codec import Codec, load
from ..config import PRESETS
from ..errors import CorpusError, InputError
from ..resampling import RESAMPLER
from ..streaming.checks import check_levels
from ..streaming.timeline import check_tail
from ..system.foreign_data import is_whole, one_line, shown
from ..weights import Weights
from .columns import KINDS, is_name

#: A file of several channels is refused (``one``), averaged (``mean``), or encoded channel by channel (``each``).
Channels = Literal["one", "mean", "each"]


@dataclasses.dataclass(frozen=True)
class Settings:
    """The checked settings of a run, as `make` gives them.

    ``codec`` says where workers load the codec from. It may differ between two parts of a run: the hash must not.
    """

    codec: str = dataclasses.field(compare=False)
    name: str
    codec_hash: str
    trained: bool
    engine: str
    sample_rate: int
    hop_length: int
    n_codebooks: int
    codebook_size: int
    n_quantizers: int
    tail: str
    channels: str
    segment_frames: int
    resampler: str = RESAMPLER
    truncated: Truncated = "refuse"  #: audio that is cut off or damaged: ``refuse`` or ``keep``
    track: int | None = None  #: of several audio tracks this one
    columns: tuple[tuple[str, str], ...] = ()  #: further columns: their names and kinds (columns.py)
    pack: bool = False  #: codes as bits, not as a list

    @classmethod
    def make(
        cls, source: str | os.PathLike[str], codec: Codec | Weights, *, n_quantizers: int | None = None,
        tail: str = "pad", channels: str = "one", segment_seconds: float = 600.0, engine: str | None = None,
        truncated: Truncated = "refuse", track: int | None = None, pack: bool = False,
    ) -> Settings:  # fmt: skip
        """Checked settings for ``codec``, which was loaded from ``source``.

        ``engine`` names another than a codec has. With weights it must be given: they have none.

        Raises:
            InputError: a setting that is out of range.
        """
        if channels not in get_args(Channels):
            raise InputError(f"channels is {shown(channels)}; wanted one of {', '.join(get_args(Channels))}")
        if truncated not in get_args(Truncated):
            raise InputError(f"truncated is {shown(truncated)}; wanted one of {', '.join(get_args(Truncated))}")
        if track is not None and not is_whole(track, 0):
            raise InputError(f"track is {shown(track)}; wanted a whole number from 0 on, or None")
        config = codec.config
        seconds = segment_seconds if isinstance(segment_seconds, numbers.Real) else 0.0
        frames = round(seconds * (config.sample_rate / config.hop_length)) if 0 < seconds < 1e7 else 0
        if frames < 1:
            raise InputError(
                f"segments of {shown(segment_seconds)} s were asked for; wanted at least a frame of the codec"
            )
        if engine is None:
            assert isinstance(codec, Codec)
            engine = codec.engine.name
        named = isinstance(source, str) and source in PRESETS
        return cls(
            codec=codec.source or (str(source) if named else os.path.abspath(source)),
            name=codec.name, codec_hash=codec.codec_hash, trained=codec.trained, engine=engine,
            sample_rate=config.sample_rate, hop_length=config.hop_length, n_codebooks=config.n_codebooks,
            codebook_size=config.codebook_size, n_quantizers=check_levels(n_quantizers, config.n_codebooks),
            tail=check_tail(tail), channels=channels, segment_frames=frames, truncated=truncated,
            track=None if track is None else int(track), pack=pack,
        )  # fmt: skip

    @property
    def about(self) -> dict[str, Any]:
        """What a shard's metadata says about its codec (`tokens.schema.ABOUT`)."""
        return {**dataclasses.asdict(self), "codec": self.name}

    @property
    def recorded(self) -> dict[str, Any]:
        """What a run records, and what must be the same when it is resumed. `Record` has a rule of its own for the
        resampler."""
        values = dataclasses.asdict(self)
        del values["codec"], values["resampler"]
        values["columns"] = dict(self.columns)
        # None of these was known in version 0.1.0, whose runs go on.
        for name, usual in (("truncated", "refuse"), ("track", None), ("columns", {}), ("pack", False)):
            if values[name] == usual:
                del values[name]
        return values

    def with_columns(self, columns: Mapping[str, str]) -> Settings:
        """The same settings with these further columns. Raises `ValueError` for kinds that there are not."""
        if not set(columns.values()) <= set(KINDS.values()) or not all(map(is_name, columns)):
            raise ValueError(f"columns {one_line(dict(columns), 80)}")
        return dataclasses.replace(self, columns=tuple(sorted(columns.items())))

    def load(self, threads: int | None, device: str | None = None) -> Codec:
        """The codec, as a worker loads it.

        Args:
            threads, device: as `load` takes them.

        Raises:
            CorpusError: the codec is not the one that the run began with, or this streamrvq resamples otherwise.
            WeightsError, EngineError: the codec cannot be loaded here.
        """
        if self.resampler != RESAMPLER:
            raise CorpusError(
                f"streamrvq resamples with {RESAMPLER} here and with {one_line(self.resampler, 40)} where the run was "
                "begun; wanted the same in every worker: install the same version there"
            )
        codec = load(self.codec, self.engine, threads, device=device)
        if codec.codec_hash != self.codec_hash:
            raise CorpusError(
                f"{self.codec} has codec hash {codec.codec_hash[:12]} here and {self.codec_hash[:12]} where the run "
                "was begun; wanted the same weights in every worker: copy them there"
            )
        return codec

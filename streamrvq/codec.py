"""Codec: the object that programs work with. Load one, encode, decode, open streams, save.

Knows: how weights and an engine make a codec, and that offline is one large push. Does not know: audio files, asyncio.
"""

from __future__ import annotations

import os
from functools import cached_property, partial
from typing import Any, Literal, overload

import numpy as np

from .audio.pcm import as_array
from .audio.rates import check_rate
from .config import DEFAULT_CODEC
from .engine import Engine, make_engine
from .engine.base import Codes, Floats
from .engine.native import NativeEngine
from .errors import EngineError
from .families import decoder_plan, encoder_plan
from .geometry import Direction
from .resampling import resample_rows
from .streaming.checks import check_codes, check_levels
from .streaming.decoder import DecoderStream
from .streaming.encoder import EncoderStream
from .streaming.lockstep import Lockstep
from .streaming.pool import StreamPool
from .streaming.ragged import each, is_ragged, rows_of
from .streaming.snapshot import Snapshot
from .streaming.timeline import check_tail
from .system.copying import Shared
from .system.foreign_data import one_line
from .weights import Weights, load_weights, save_weights
from .weights.load import Layout, load_again, with_weights


def load(
    source: str | os.PathLike[str] = DEFAULT_CODEC, engine: str | Engine = "auto", threads: int | None = None,
    dtype: str = "float32", device: str | None = None, weights: str | None = None,
) -> Codec:  # fmt: skip
    """Load a codec.

    Args:
        source: the name of a preset (`streamrvq.PRESETS`; those of released models are on the Hub), a ``.safetensors``
            file of ours, a ``.pth`` of descript's, a folder of Hugging Face's: DAC, EnCodec at 24 kHz, Mimi; or
            ``"owner/name"`` or ``"owner/name@revision"`` on its Hub, where no such path is. What is on the Hub is taken
            from huggingface_hub's cache, or fetched into it.
        engine: ``"auto"`` (native where it was built, has all that the codec needs, and ``dtype`` is float32; else
            torch), ``"native"``, ``"torch"``, ``"cuda"``, or an `Engine` that was made for this codec.
        threads: cores to compute on; None: the engine's choice. Each codec has its own.
        dtype: ``"float32"``, or ``"float64"`` (torch engine), in which codes do not depend on chunking at all.
        device: ``"cuda"`` or ``"cuda:N"``: compute on that GPU (engine ``"cuda"``), with the native engine's bits.
        weights: ``"seeded"``: random numbers in a preset's shape, ever the same, in place of its real weights.

    Raises:
        WeightsError: no such preset, file or name, or one that is damaged, foreign, not to be had or does not fit.
        ExtraError: a ``.pth`` or a name on the Hub, and torch or huggingface_hub is not installed.
        EngineError: an engine, dtype or device that cannot be had.
    """
    return _loaded(with_weights(source, weights), None, engine=engine, threads=threads, dtype=dtype, device=device)


def _loaded(source: str | os.PathLike[str], codec_hash: str | None, **asked: Any) -> Codec:
    """`load`; with a hash, as an unpickled codec is loaded."""
    codec = Codec(load_weights(source) if codec_hash is None else load_again(os.fspath(source), codec_hash), **asked)
    if codec.engine.name in ("native", "cuda"):  # which keep what they have packed
        codec._forget()
    if isinstance(codec.engine, NativeEngine):
        codec.engine.core.trim()
    return codec


class Codec(Shared):
    """Weights on an engine. Immutable; any number of streams may be open at once.

    A copy of a codec is the codec itself. A pickle holds the name or path that its weights were loaded from and their
    hash, or, if they were loaded from nowhere, the weights; and the engine's name, ``threads``, ``dtype``, ``device``.

    Args:
        weights: what to compute with.
        engine: as for `load`. An `Engine` object has its own threads and dtype. Its configuration is checked, and not
            that it was made from these weights: an engine keeps no hash of them.
        threads: as for `load`.
        dtype: as for `load`.
        device: as for `load`.

    Attributes:
        config: what the codec is.
        name: what it was loaded as.
        source: what `load` takes for it anywhere: a preset's name, an absolute path, a name with its commit; or None.
        trained: False for seeded weights: their tokens are exact, but mean nothing.
        engine: what computes; ``engine.description`` says it in one line.

    Raises:
        EngineError: what cannot be had, or an `Engine` of another codec, or one that comes with ``threads``.
    """

    def __init__(
        self, weights: Weights, *, engine: str | Engine = "auto", threads: int | None = None, dtype: str = "float32",
        device: str | None = None,
    ) -> None:  # fmt: skip
        self.config, self.name, self.trained = weights.config, weights.name, weights.trained
        self._weights: Weights | None = weights
        self.source, self._made_engine = weights.source, isinstance(engine, str)
        self._asked: dict[str, Any] = {"threads": threads, "dtype": dtype, "device": device}
        if isinstance(engine, str) or not hasattr(engine, "encode_step"):  # what is neither is refused there
            engine = make_engine(weights.config, weights.tensors, engine, threads, dtype, device)  # type: ignore[arg-type]
        elif engine.config != weights.config:
            raise EngineError(f"the engine was made for another codec than {weights.name}; make it from these weights")
        elif threads is not None or device is not None or dtype not in ("float32", str(engine.dtype)):
            asked = ", ".join(f"{name} {one_line(value)}" for name, value in self._asked.items())
            raise EngineError(f"{asked} came with an engine; leave them out")
        self.engine: Engine = engine

    def __repr__(self) -> str:
        facts = f"{self.sample_rate} Hz, {self.n_codebooks} codebooks, {self.engine.description}"
        return f"<Codec {self.name}: {facts}{'' if self.trained else ', untrained'}>"

    def __reduce__(self) -> tuple[Any, ...]:
        if not self._made_engine:
            raise EngineError(
                f"{self.name} computes on an engine that was given to it, which cannot be pickled; pickle the codec's "
                "weights, and make codec and engine there"
            )
        make: Any = Codec if self.source is None else _loaded
        of = (self.weights,) if self.source is None else (self.source, self.codec_hash)
        return partial(make, engine=self.engine.name, **self._asked), of

    def _forget(self) -> None:
        """Let the weights go that the engine has packed for itself; `weights` reads them from their source again."""
        _ = self.codec_hash, self.codebooks  # asked for often: computed while the weights are at hand, and cached
        self._weights = None

    @property
    def weights(self) -> Weights:
        """The weights it computes with. A loaded codec on native or cuda keeps no second copy and reads them again.

        Raises:
            WeightsError: they are not what they were when the codec was loaded, or are gone.
        """
        if self._weights is not None:
            return self._weights
        assert self.source is not None
        return load_again(self.source, self.codec_hash)

    @cached_property
    def codec_hash(self) -> str:
        """SHA-256 over the config and the folded weights; tokens of equal hashes may be mixed."""
        return self.weights.codec_hash

    @property
    def sample_rate(self) -> int:
        """Hz."""
        return self.config.sample_rate

    @property
    def hop_length(self) -> int:
        """Samples a frame."""
        return self.config.hop_length

    @property
    def frame_rate(self) -> float:
        """Frames a second."""
        return self.sample_rate / self.hop_length

    @property
    def n_codebooks(self) -> int:
        """How many levels of codes there are."""
        return self.config.n_codebooks

    @property
    def bitrate(self) -> float:
        """bit/s of all codebooks, ``log2(codebook_size)`` bits a code."""
        return float(self.frame_rate * self.n_codebooks * np.log2(self.config.codebook_size))

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the arithmetic, the latents and the decoded samples."""
        return self.engine.dtype

    @property
    def delay_frames(self) -> int:
        """Frame t leaves with hop ``t + delay_frames``: 0 for causal weights, 8 for symmetric DAC."""
        return encoder_plan(self.config).delay

    @property
    def lookahead_samples(self) -> int:
        """Samples that a frame needs beyond the end of its own hop (`Plan.lookahead`)."""
        return encoder_plan(self.config).lookahead

    @property
    def decoder_delay_samples(self) -> int:
        """Samples that a decoder stream holds back."""
        return decoder_plan(self.config).delay

    @cached_property
    def codebooks(self) -> list[Floats]:
        """The entries of each level, float32 ``[codebook_size, codebook_dim]``."""
        tensors = self.weights.tensors
        return [tensors[level.codebook].copy() for level in encoder_plan(self.config).quantizer.levels]

    @overload
    def encode(
        self, pcm: Any, sample_rate: int | None = ..., n_quantizers: int | None = ..., tail: str = ...,
        return_latents: Literal[False] = ...,
    ) -> Codes: ...  # fmt: skip

    @overload
    def encode(
        self, pcm: Any, sample_rate: int | None = ..., n_quantizers: int | None = ..., tail: str = ..., *,
        return_latents: Literal[True],
    ) -> tuple[Codes, Floats]: ...  # fmt: skip

    def encode(
        self, pcm: Any, sample_rate: int | None = None, n_quantizers: int | None = None, tail: str = "pad",
        return_latents: bool = False,
    ) -> Any:  # fmt: skip
        """Encode whole signals: a fresh stream's push and flush.

        Args:
            pcm: ``[samples]`` or ``[B, samples]``, float32 in [−1, 1] or int16; or a list of signals of any lengths.
            sample_rate: of ``pcm``, Hz; None: the codec's.
            n_quantizers: levels; None: all.
            tail: ``"pad"`` fills the last hop with zeros, ``"valid"`` gives the frames of the bare samples.
            return_latents: give the quantisers' inputs too, ``[(B,) K · codebook_dim, T]``.

        Returns:
            int64 ``[K, T]`` or ``[B, K, T]``; with ``return_latents`` a pair. For lengths that differ a list of these.

        Raises:
            InputError, EngineError: bad samples or settings; an engine that cannot compute, as where its GPU failed.
        """
        if is_ragged(pcm):
            return each(self.encode, pcm, sample_rate, n_quantizers, tail, return_latents)
        rows, single = rows_of(pcm)
        levels, own = check_levels(n_quantizers, self.n_codebooks), self.sample_rate
        rows = resample_rows(rows, own if sample_rate is None else check_rate(sample_rate), own)
        run = Lockstep(self.engine, "encode", rows.shape[0], levels, check_tail(tail), return_latents)
        parts = run.push(rows), run.finish()
        codes = np.concatenate([part[0] for part in parts], axis=-1)
        if not return_latents:
            return codes[0] if single else codes
        latents = np.concatenate([part[1] for part in parts if part[1] is not None], axis=-1)
        return (codes[0], latents[0]) if single else (codes, latents)

    def decode(self, codes: Any, sample_rate: int | None = None) -> Floats:
        """Decode whole signals.

        Args:
            codes: integers ``[K, T]`` or ``[B, K, T]``, K from 1 to ``n_codebooks``; missing levels add nothing.
            sample_rate: wanted, Hz; None: the codec's.

        Returns:
            `dtype` ``[samples]`` or ``[B, samples]``: T · hop samples, a few fewer where a released DAC decoder has odd
            strides; at another rate float32, `streamrvq.audio.rates.output_length` of those.

        Raises:
            InputError, EngineError: a bad rate, or codes of a wrong shape, type or range; otherwise as `encode`.
        """
        rate = self.sample_rate if sample_rate is None else check_rate(sample_rate)
        single = as_array(codes, "codes").ndim != 3
        full = check_codes(codes, self.engine, 2 if single else 3)
        full = full[None] if single else full
        run = Lockstep(self.engine, "decode", full.shape[0], self.n_codebooks)
        pcm = resample_rows(np.concatenate([run.push(full)[0], run.finish()[0]], axis=-1), self.sample_rate, rate)
        return pcm[0] if single else pcm

    def stream(
        self, sample_rate: int | None = None, n_quantizers: int | None = None, tail: str = "pad",
        snapshot: Snapshot | None = None,
    ) -> EncoderStream:  # fmt: skip
        """Open a live stream; see `encode` for the arguments. ``snapshot`` resumes a parked one; give it alone.

        Raises:
            InputError, SnapshotError: bad settings, or a snapshot that is not of this codec.
        """
        settings: dict[str, Any] = {"sample_rate": sample_rate, "n_quantizers": n_quantizers, "tail": tail}
        return EncoderStream(self.engine, self.codec_hash, **settings, snapshot=snapshot).made_by(self)

    def decoder_stream(self, snapshot: Snapshot | None = None, sample_rate: int | None = None) -> DecoderStream:
        """Open a live stream to samples at ``sample_rate`` (None: the codec's), or resume one. Raises as `stream`."""
        return DecoderStream(self.engine, self.codec_hash, sample_rate=sample_rate, snapshot=snapshot).made_by(self)

    def pool(self, slots: int, direction: Direction = "encode", max_hops: int = 16) -> StreamPool:
        """A pool for up to ``slots`` live streams that are stepped together; see `StreamPool`.

        Args:
            slots: streams that may be open at once; their state is allocated here.
            direction: ``"encode"`` (samples → codes) or ``"decode"`` (codes → samples).
            max_hops: hops of a stream in one step at most.

        Raises:
            InputError: ``slots`` or ``max_hops`` below 1, or another direction.
        """
        return StreamPool(self.engine, slots, direction, max_hops).made_by(self)

    def save(self, path: str | os.PathLike[str], layout: Layout | None = None) -> None:
        """Write the weights: ``.safetensors`` (ours), ``.pth``, or Hugging Face's folder. Raises as `save_weights`."""
        save_weights(self.weights, path, layout)

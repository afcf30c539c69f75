"""A live stream as bytes: park it, move it, and resume it at the very next code.

Knows: the fields of a snapshot and how to tell a good one from a damaged one. The bytes are a safetensors file, so that
reading one runs no code; the key ``tail.{i}`` holds history i. Does not know: engines, which export and import the
histories, or how streams use it.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save as save_tensors

from ..audio.pcm import MAX_ABS
from ..audio.rates import check_rate, ratio
from ..config import Config
from ..errors import InputError, SnapshotError
from ..families import plan
from ..geometry import Direction
from ..resampling import RESAMPLER, ResamplerState
from ..system.foreign_data import foreign_data, shown
from ..weights.tensorfile import tensors_of
from .timeline import Tail

#: Of the layout: without a resampler, and with one.
VERSION, VERSION_RESAMPLED = 1, 2
#: Of a signal: positions in samples are 64-bit numbers, and a snapshot's stream goes on.
_MOST_SAMPLES = 2**62
#: Bytes of the header's text; it has some 250.
_LONGEST_HEADER = 1 << 16

_HEADER: dict[str, type] = {
    "version": int, "codec_hash": str, "direction": str, "dtype": str,
    "clock": int, "length": int, "n_quantizers": int, "tail": str,
}  # fmt: skip
_RESAMPLED_HEADER: dict[str, type] = {"sample_rate": int, "samples_resampled": int, "resampler": str}


@dataclasses.dataclass(frozen=True, eq=False)
class Snapshot:
    """The state of one open stream, a frozen value.

    Attributes:
        version: of this layout.
        codec_hash: `Codec.codec_hash` of the codec whose stream it is.
        direction: ``"encode"`` or ``"decode"``.
        dtype: of the histories, ``"float32"`` or ``"float64"``.
        clock: hops computed since the start.
        length: inputs in all; −1, for only open streams are parked.
        n_quantizers: levels of an encoder; of a decoder, the codec's.
        tail: what `flush` does with the last hop, ``"pad"`` or ``"valid"``.
        remainder: float32 ``[n]``, samples of the hop that is not yet whole; int64 ``[K, 0]`` for a decoder. At clock 0
            it may hold all but one input of a first step (`Plan.first`).
        histories: the canonical state: float ``[rows, channels]`` for each of `Plan.histories`, oldest row first.
        sample_rate: of the samples outside, Hz; None: the codec's own.
        resampler: between the two rates; None where there is none.
    """

    version: int
    codec_hash: str
    direction: Direction
    dtype: str
    clock: int
    length: int
    n_quantizers: int
    tail: Tail
    remainder: npt.NDArray[Any]
    histories: tuple[npt.NDArray[Any], ...]
    sample_rate: int | None = None
    resampler: ResamplerState | None = None

    def __repr__(self) -> str:
        rate = "" if self.sample_rate is None else f", {self.sample_rate} Hz"
        return (
            f"<Snapshot, {self.direction}: {self.clock} hops of codec {self.codec_hash[:12]}, {self.n_quantizers} "
            f"codebooks, {self.dtype}{rate}>"
        )

    def to_bytes(self) -> bytes:
        """The whole snapshot; `from_bytes` is the inverse."""
        values = {name: getattr(self, name) for name in _HEADER}
        if self.resampler is not None:
            rates = {"sample_rate": self.sample_rate, "samples_resampled": self.resampler.taken}
            values |= rates | {"resampler": RESAMPLER}
        header = json.dumps(values).encode()
        arrays = {f"tail.{i}": np.ascontiguousarray(history) for i, history in enumerate(self.histories)}
        arrays["remainder"] = np.ascontiguousarray(self.remainder)
        if self.resampler is not None:
            arrays["resampler"] = np.ascontiguousarray(self.resampler.history)
        arrays["header"] = np.frombuffer(header, np.uint8)
        return save_tensors(arrays)

    @classmethod
    def from_bytes(cls, data: bytes) -> Snapshot:
        """Read what `to_bytes` wrote. Whether it fits a codec is checked when a stream is made of it.

        Raises:
            SnapshotError: bytes that are not a snapshot, are damaged, or of another version.
        """
        what, remedy = f"the {type(data).__name__} given", "wanted the bytes that Snapshot.to_bytes gave"
        with foreign_data(SnapshotError, what, remedy):
            arrays, _ = tensors_of(bytes(memoryview(data)), SnapshotError, what, remedy)  # not bytes(5): five zeros
            text = arrays.pop("header").tobytes()
            if len(text) > _LONGEST_HEADER:
                raise ValueError(f"a header of {len(text)} bytes")
            header = json.loads(text)
            remainder, history = arrays.pop("remainder"), arrays.pop("resampler", None)
            histories = tuple(arrays.pop(f"tail.{i}") for i in range(len(arrays)))
            wanted = _HEADER if history is None else _HEADER | _RESAMPLED_HEADER
            values = {name: header[name] for name in wanted}
        for name, kind in wanted.items():
            if type(values[name]) is not kind:
                raise SnapshotError(f"{name} is {shown(values[name])}; wanted {kind.__name__}: the snapshot is damaged")
        version = values["version"]
        if version != (VERSION if history is None else VERSION_RESAMPLED):
            raise SnapshotError(
                f"the snapshot has version {shown(version)}; this release reads {VERSION}, and {VERSION_RESAMPLED} "
                "with a resampler"
            )
        if history is not None:
            if (name := values["resampler"]) != RESAMPLER:
                raise SnapshotError(
                    f"the snapshot's resampler is {shown(name)}; this release has {RESAMPLER!r}, which gives other "
                    "samples: resume the stream with the release that parked it"
                )
            values["resampler"] = ResamplerState(values.pop("samples_resampled"), history)
        return cls(**values, remainder=remainder, histories=histories)

    def check(self, codec_hash: str, direction: Direction, dtype: str, config: Config) -> None:
        """Refuse a snapshot that is not an open stream of this codec; the histories are checked by the engine.

        Raises:
            SnapshotError: another codec, direction or dtype, or numbers that no stream could have.
        """
        with foreign_data(SnapshotError, "the snapshot", "wanted one that a stream gave"):
            self._check(codec_hash, direction, dtype, config.hop_length, config.n_codebooks)
            self._check_remainder(config)
            self._check_resampler(config.sample_rate)

    @staticmethod
    def of(value: object) -> Snapshot:
        """``value`` itself. Raises `SnapshotError` for what is no snapshot, as its bytes are none."""
        if not isinstance(value, Snapshot):
            raise SnapshotError(
                f"the snapshot is a {type(value).__name__}; wanted what stream.snapshot() gave: of its bytes "
                "Snapshot.from_bytes makes one"
            )
        return value

    def _check(self, codec_hash: str, direction: Direction, dtype: str, hop: int, n_codebooks: int) -> None:
        pairs = (
            ("codec_hash", self.codec_hash, codec_hash),
            ("direction", self.direction, direction),
            ("dtype", self.dtype, dtype),
            ("version", self.version, VERSION if self.resampler is None else VERSION_RESAMPLED),
            ("length", self.length, -1),
        )
        for name, came, wanted in pairs:
            if came != wanted:
                raise SnapshotError(
                    f"the snapshot's {name} is {shown(came)}; wanted {wanted!r}: restore it where it was taken"
                )
        if self.tail not in ("pad", "valid"):
            raise SnapshotError(f"the snapshot's tail is {shown(self.tail)}; wanted 'pad' or 'valid'")
        if not 0 <= self.clock < min(2**53, _MOST_SAMPLES // hop):
            raise SnapshotError(
                f"the snapshot's clock is {shown(self.clock)}; wanted hops since the start, so at least 0"
            )
        if not 1 <= self.n_quantizers <= n_codebooks:
            raise SnapshotError(f"the snapshot has {shown(self.n_quantizers)} levels; wanted 1 to {n_codebooks}")

    def _check_remainder(self, config: Config) -> None:
        rest, layers = self.remainder, plan(config, self.direction)
        most = layers.unit_in * (layers.first if self.clock == 0 else 1)  # so many are a step, and none were left
        if self.direction == "encode":
            fits = (
                rest.dtype == np.float32
                and rest.ndim == 1
                and rest.size < most
                and bool(np.all(np.abs(rest) <= MAX_ABS))
            )
            wanted = f"fewer than {most} finite float32 samples within ±{MAX_ABS:g}"
        else:
            shape = (config.n_codebooks, rest.shape[-1] if rest.ndim == 2 else 0)
            inside = bool(np.all((rest >= -1) & (rest < config.codebook_size)))
            fits = rest.size == 0 or (rest.dtype == np.int64 and rest.shape == shape and shape[1] < most and inside)
            wanted = f"fewer than {most} frames of {config.n_codebooks} int64 codes"
        if not fits:
            raise SnapshotError(f"the snapshot's remainder is {rest.dtype} {list(rest.shape)}; wanted {wanted}")

    def _check_resampler(self, codec_rate: int) -> None:
        state, rate = self.resampler, self.sample_rate
        if state is None:
            if rate is not None:
                raise SnapshotError(f"the snapshot is at {shown(rate)} Hz and has no resampler: it is damaged")
            return
        try:
            check_rate(rate)
        except InputError:
            raise SnapshotError(f"the snapshot's sample_rate is {shown(rate)}, which no stream has") from None
        between = ratio(rate, codec_rate) if self.direction == "encode" else ratio(codec_rate, rate)
        if rate == codec_rate or not 0 <= state.taken < _MOST_SAMPLES:
            raise SnapshotError(
                f"the snapshot's resampler has taken {shown(state.taken)} samples at {rate} Hz; wanted at least 0, at "
                f"another rate than {codec_rate} Hz"
            )
        history = state.history
        if history.dtype != np.float32 or history.shape != (between.history,) or not np.all(np.abs(history) <= MAX_ABS):
            raise SnapshotError(
                f"the snapshot's resampler keeps {history.dtype} {list(history.shape)}; "
                f"wanted {between.history} finite float32 samples within ±{MAX_ABS:g}"
            )

    def check_position(self, counted: int, codec_rate: int) -> None:
        """Refuse a resampler that does not stand where the stream does.

        Args:
            counted: samples at the codec's rate: of an encoder, given to it; of a decoder, given by it.
            codec_rate: Hz.

        Raises:
            SnapshotError: the resampler's count is another.
        """
        if self.resampler is None or self.sample_rate is None:
            return
        taken = self.resampler.taken
        came = ratio(self.sample_rate, codec_rate).ready(taken) if self.direction == "encode" else taken
        if came != counted:
            raise SnapshotError(
                f"the snapshot's resampler stands at sample {came} and the stream at {counted}: the snapshot is damaged"
            )

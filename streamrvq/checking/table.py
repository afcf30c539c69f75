"""Does chunking show? The same signal encoded whole and in chunks of many sizes, with every difference counted.

The runs go through `Lockstep`, which can return latents. `Codec.encode` and live streams are built on it too. rates.py
does the same with a resampler in front of a stream, or after it.

Knows: how to cut a signal, run it and count differences; a float64 run decides whether a difference is a near-tie. Does
not know: files, printed tables or exit codes (cli/check.py), nor the official models.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..audio.pcm import Pcm, as_pcm
from ..codec import Codec
from ..engine.base import Codes, Floats
from ..errors import EngineError, InputError
from ..families import encoder_plan
from ..streaming.checks import check_codes
from ..streaming.lockstep import Lockstep
from ..streaming.timeline import Tail, check_tail
from ..system.foreign_data import shown
from .near_ties import Comparison, compare, scores

#: Block sizes of sound cards and files, sizes around a hop of 512, a long one, and random ones.
SIZES: tuple[int | str, ...] = (441, 480, 511, 512, 513, 960, 4096, "random")
#: The same for decoding, in frames.
FRAME_SIZES: tuple[int | str, ...] = (1, 2, 3, 7, "random")

#: Engines whose samples do not depend on the chunks, to the bit.
_EXACT = ("native", "cuda")
#: By the types of an engine and of its samples, which a resampler makes float32: the most that rounding may be, as a
#: share of full scale, or of louder samples.
_ROUNDING = {("float32", "float32"): 1e-4, ("float64", "float32"): 1e-6, ("float64", "float64"): 1e-11}

#: Of random sizes the largest, in samples and in frames.
MOST_SAMPLES, MOST_FRAMES = 20_000, 40

Chunk = int | str  #: inputs in a chunk, or "random": log-uniform


@dataclasses.dataclass(frozen=True)
class Row:
    """One way of chunking, compared with the whole signal.

    Attributes:
        sample_rate: that the samples were pushed at, Hz.
        chunks: inputs in a chunk, or ``"random"``.
        pushes: how many chunks there were.
        comparison: of the codes.
        latent_difference: the largest absolute difference of the quantiser inputs, over frames with equal codes. Where
            codes differ, the later levels quantise something else. None where the runs gave no latents.
        smallest_margin: the smallest float64 gap between the two best entries, over the first differing level of each
            differing frame. None if nothing differs.
    """

    sample_rate: int
    chunks: Chunk
    pushes: int
    comparison: Comparison
    latent_difference: float | None
    smallest_margin: float | None

    @property
    def passed(self) -> bool:
        """Whether there is no difference except near-ties."""
        return self.comparison.equal_but_for_near_ties


@dataclasses.dataclass(frozen=True)
class DecodeRow:
    """One way of chunking codes, compared with decoding them whole.

    Attributes:
        sample_rate: of the samples, Hz.
        chunks: frames in a chunk, or ``"random"``.
        pushes: how many chunks there were.
        samples: how many were decoded.
        difference: the largest between two samples.
        allowed: the largest difference that is rounding; 0 for an engine that gives the same bits in all chunks.
    """

    sample_rate: int
    chunks: Chunk
    pushes: int
    samples: int
    difference: float
    allowed: float

    @property
    def passed(self) -> bool:
        """Whether there is no difference except rounding."""
        return self.difference <= self.allowed


def check_chunkings(
    codec: Codec,
    pcm: Any,
    sizes: Sequence[Chunk] = SIZES,
    *,
    seed: int = 0,
    tail: str = "pad",
    progress: Callable[[str], None] | None = None,
) -> list[Row]:
    """Encode a signal whole and in chunks, and compare.

    Args:
        pcm: ``[samples]`` at the codec's rate.
        sizes: samples in a chunk, or ``"random"`` for log-uniform sizes from 1 to 20 000.
        seed: of the random sizes.
        progress: called with a line about what runs next.

    Returns:
        A row for each of ``sizes``. The float64 run, which decides on near-ties, is made only if something differs and
        torch is there for it.

    Raises:
        InputError: bad samples, sizes or tail.
    """
    signal, end = as_pcm(pcm), check_tail(tail)
    return compared(
        codec, signal, codec.sample_rate, sizes, tail, progress, lambda size: _encode(codec, signal, size, seed, end)
    )


def compared(
    codec: Codec,
    signal: Pcm,
    sample_rate: int,
    sizes: Sequence[Chunk],
    tail: str,
    progress: Callable[[str], None] | None,
    run: Callable[[Chunk | None], tuple[Codes, Floats | None, int]],
) -> list[Row]:
    """A row for each of ``sizes``. ``run`` gives the codes, the latents if it has them, and the number of pushes, in
    chunks of a size; None: of the whole signal."""
    sizes = [checked(size) for size in sizes]
    tell, at = progress or (lambda what: None), "" if sample_rate == codec.sample_rate else f" at {sample_rate} Hz"
    tell(f"whole signal{at}")
    codes, latents, _ = run(None)
    judge: Floats | None = None
    rows = []
    for size in sizes:
        tell(f"chunks of {size}{at}")
        chunked, inner, pushes = run(size)
        if judge is None and not np.array_equal(codes, chunked):
            tell("float64, to judge a difference")
            exact = _exact(codec)
            if exact is not None:
                judge = exact.encode(signal, sample_rate=sample_rate, tail=tail, return_latents=True)[1]
        found = compare(codes, chunked, judge, codec.codebooks, encoder_plan(codec.config).quantizer.distance)
        largest = None
        if latents is not None and inner is not None:
            agree = (codes == chunked).all(axis=0)
            largest = float(np.max(np.abs(latents - inner)[:, agree], initial=0.0))
        margin = None if judge is None else _smallest_margin(codec, codes, chunked, judge)
        rows.append(Row(sample_rate, size, pushes, found, largest, margin))
    return rows


def _exact(codec: Codec) -> Codec | None:
    """The codec in float64; None without torch. Then the engine is one that rounds alike for all shapes: it has no
    near-ties to excuse."""
    try:
        return Codec(codec.weights, engine="torch", dtype="float64")
    except EngineError:
        return None


def check_decoding(codec: Codec, codes: Any, sizes: Sequence[Chunk] = FRAME_SIZES, *, seed: int = 0) -> list[DecodeRow]:
    """Decode codes ``[K, T]`` whole and in chunks of ``sizes`` frames, and compare sample by sample.

    Raises:
        InputError: bad codes or sizes.
    """
    full = check_codes(codes, codec.engine, 2)

    def run(size: Chunk) -> tuple[Floats, int]:
        run = Lockstep(codec.engine, "decode", 1, codec.n_codebooks)
        parts = [run.push(block[None])[0] for block in cut(full, size, seed, MOST_FRAMES)]
        return np.concatenate([*parts, run.finish()[0]], axis=-1)[0], len(parts)

    return decodings(codec, codec.decode(codes), codec.sample_rate, sizes, run)


def decodings(
    codec: Codec, whole: Floats, sample_rate: int, sizes: Sequence[Chunk], run: Callable[[Chunk], tuple[Floats, int]]
) -> list[DecodeRow]:
    """A row for each of ``sizes``. ``run`` gives the samples and the number of pushes, in chunks of a size."""
    rows, allowed = [], 0.0
    if codec.engine.name not in _EXACT:
        allowed = _ROUNDING[str(codec.dtype), str(whole.dtype)] * max(1.0, float(np.max(np.abs(whole), initial=0.0)))
    for size in [checked(size) for size in sizes]:
        pcm, pushes = run(size)
        if pcm.shape != whole.shape:
            raise AssertionError(f"chunks of {size} decoded to {pcm.size} samples, the whole to {whole.size}")
        difference = float(np.max(np.abs(pcm - whole), initial=0.0))
        rows.append(DecodeRow(sample_rate, size, pushes, pcm.size, difference, allowed))
    return rows


def checked(size: Chunk) -> Chunk:
    """A size that can be cut to. Raises `InputError` for another."""
    if size == "random" or (isinstance(size, int) and not isinstance(size, bool) and size >= 1):
        return size
    raise InputError(f"a chunk size is {shown(size)}; wanted a whole number of at least 1, or 'random'")


def cut(inputs: npt.NDArray[Any], size: Chunk | None, seed: int, most: int) -> Iterator[npt.NDArray[Any]]:
    """``[..., n]`` in blocks of ``size``. "random": log-uniform sizes from 1 to ``most``. None: one block."""
    random, position, end = np.random.default_rng(seed), 0, inputs.shape[-1]
    while position < end:
        count = int(np.exp(random.uniform(0, np.log(most)))) if isinstance(size, str) else size or end
        yield inputs[..., position : position + count]
        position += count


def _encode(codec: Codec, signal: Pcm, size: Chunk | None, seed: int, tail: Tail) -> tuple[Codes, Floats, int]:
    run = Lockstep(codec.engine, "encode", 1, codec.n_codebooks, tail, latents=True)
    parts = [run.push(block[None]) for block in cut(signal, size, seed, MOST_SAMPLES)]
    pushes = len(parts)
    parts.append(run.finish())
    codes = np.concatenate([codes[0] for codes, _ in parts], axis=-1)
    latents = np.concatenate([inner[0] for _, inner in parts if inner is not None], axis=-1)
    return codes, latents, pushes


def _smallest_margin(codec: Codec, a: Codes, b: Codes, latents: Floats) -> float | None:
    differs, distance = a != b, encoder_plan(codec.config).quantizer.distance
    margins = []
    for frame in np.flatnonzero(differs.any(axis=0)):
        level = int(np.argmax(differs[:, frame]))
        near = scores(latents, codec.codebooks, level, int(frame), distance)
        if len(near) > 1:
            second, best = np.partition(near, -2)[-2:]
            margins.append(float(best - second))
    return min(margins, default=None)

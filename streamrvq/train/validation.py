"""How good a codec is on clips that it was not trained on.

Knows: which excerpts of a corpus are used (always the same ones), and the figures: mel and STFT distance, SI-SDR,
ESTOI, loudness, and how many entries of each codebook are used, and how evenly. Does not know: training.
"""

from __future__ import annotations

import math
from concurrent.futures import Executor
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..config import CodecConfig
from ..families import decoder_plan, encoder_plan
from ..nn import CodecModel
from .corpus import Corpus
from .fast import run_decoder, run_encoder
from .intelligibility import estoi
from .losses import Losses, si_sdr
from .spectra import MEL_WINDOWS


def missing(codec: CodecConfig) -> int:
    """How many samples fewer come out of a codec than went in. A symmetric decoder with odd strides lacks some."""
    samples = 64 * codec.hop_length
    return samples - decoder_plan(codec).outputs(encoder_plan(codec).outputs(samples))


def shortest(hop: int, missing: int = 0) -> int:
    """Samples of the shortest excerpt: eight whole hops, and more than half of the longest window of a loss.

    So many are left of it when the codec takes away the ``missing`` ones.
    """
    return max(8, -(-(max(MEL_WINDOWS) // 2 + 1 + missing) // hop)) * hop


def excerpts(corpus: Corpus, count: int, seconds: float, hop: int, missing: int = 0) -> list[Tensor]:
    """At most ``count`` excerpts, spread over the clips kind by kind, each ``[1, T]`` in whole hops, none twice.

    Each kind has the same share of ``count``. A kind with fewer clips gives each of them, and leaves the rest of its
    share free: with more of another kind in its place, the figures would be mostly of that one. Clips that are shorter
    than `shortest` give none.
    """
    least = shortest(hop, missing)
    kinds: dict[str, list[int]] = {}
    for i, clip in enumerate(corpus.clips):
        if clip.length >= least:
            kinds.setdefault(clip.kind, []).append(i)
    chosen: list[int] = []
    for n, kind in enumerate(sorted(kinds)):
        mine = kinds[kind]
        share = min(len(mine), count // len(kinds) + (n < count % len(kinds)))
        chosen += [mine[(2 * j + 1) * len(mine) // (2 * share)] for j in range(share)]
    found = []
    for i in chosen:
        clip = corpus.clips[i]
        length = min(clip.length, max(least, round(seconds * corpus.sample_rate))) // hop * hop
        found.append(torch.from_numpy(corpus.read(clip, (clip.length - length) // 2, length))[None])
    return found


def validate(
    model: CodecModel, clips: list[Tensor], losses: Losses, *, quantise: bool = True, levels: int | None = None,
    dtype: torch.dtype = torch.float32, workers: Executor | None = None,
) -> dict[str, Any]:  # fmt: skip
    """The figures of ``model``, as means over ``clips``.

    Args:
        quantise: False skips the quantiser, as before the codebooks are made.
        levels: how many levels to decode from; None: all.
        dtype: of the convolutions on a CPU. A GPU uses float32, as what is exported will.
        workers: threads that share the clips; None: only the caller's thread.

    Returns:
        ``mel``, ``stft``, ``compressed``, ``wave``, ``si_sdr`` (dB), ``estoi`` (of clips that are long enough; nan if
        none is), ``energy`` (log10 of decoded over original power). With ``quantise`` also ``used`` (share of entries)
        and ``entropy`` (bits), by level. Of numbers that are not finite the other means are not finite, either.
    """
    model.eval()
    device = next(model.parameters()).device
    dtype = torch.float32 if device.type == "cuda" else dtype

    @torch.no_grad()
    def measure(clip: Tensor) -> tuple[dict[str, float], Tensor | None]:
        x = clip.to(device)
        z, codes = run_encoder(model.encoder, x[:, None], dtype), None
        if quantise:
            z, codes, *_ = model.quantizer(z, levels)
        y = run_decoder(model.decoder, z, dtype)[:, 0]
        x = x[:, : y.shape[1]].contiguous()  # a symmetric decoder with odd strides gives fewer samples
        figures = losses(x, y) | {"si_sdr": si_sdr(x, y)}
        figures["energy"] = torch.log10((y.square().mean(1) + 1e-8) / (x.square().mean(1) + 1e-8))
        figures["estoi"] = estoi(x[0], y[0], model.config.sample_rate)[None]
        return {name: float(value[0]) for name, value in figures.items()}, codes

    measured = list(workers.map(measure, clips) if workers is not None else map(measure, clips))
    names = measured[0][0]
    result: dict[str, Any] = {
        name: _mean([figures[name] for figures, _ in measured if name != "estoi" or not math.isnan(figures[name])])
        for name in names
    }
    if quantise:
        codes = torch.cat([codes[0] for _, codes in measured if codes is not None], 1).cpu().numpy()
        size = model.config.codebook_size
        result |= usage(np.stack([np.bincount(level, minlength=size) for level in codes]))
    return result


def _mean(values: list[float]) -> float:
    """The mean; nan if there is none: 0 would be the best of distances, and the figure of speech that is lost."""
    if not values or not all(map(math.isfinite, values)):
        return sum(values) / len(values) if values else math.nan
    return round(math.fsum(values) / len(values), 5)


def usage(counts: npt.NDArray[np.int64]) -> dict[str, list[float]]:
    """``used`` (share of entries) and ``entropy`` (bits) by level, from the counts of the entries, ``[K, size]``."""
    p = counts / counts.sum(1, keepdims=True)
    bits = 0.0 - (p * np.log2(p, out=np.zeros_like(p), where=p > 0)).sum(1)  # and not -0.0
    return {
        "used": [round(float(share), 4) for share in (counts > 0).mean(1)],
        "entropy": [round(float(bit), 3) for bit in bits],
    }

"""How often Mimi's own streaming leaves its offline codes: transformers' and moshi's, a hop a call, and ours.

    python -m tools.their_streaming

Random spread weights of the released sizes, 14 s of real audio, 8 levels, float32, one thread. A float64 run judges
near-ties. moshi is left out where it is not installed (tools/reference.txt).

Knows: transformers' and moshi's calls. Does not know: how either streams.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from streamrvq.checking.near_ties import compare
from streamrvq.codec import Codec, load
from streamrvq.geometry import Distance
from streamrvq.resampling import resample_rows

from .ending import ended
from .modules_of_tests import TESTS, of_tests

moshi_names = of_tests("families.test_names").moshi_names
MissingReferenceError = of_tests("reference.official").MissingReferenceError
moshi_loaders = of_tests("reference.packages").moshi_loaders
official, save = of_tests("reference.spread").official, of_tests("reference.spread").save

AUDIO = TESTS / "data" / "audio"
HOP, HOPS, LEVELS = 1920, 175, 8


def audio() -> np.ndarray[Any, Any]:
    """float32 ``[HOP · HOPS]`` at 24 kHz: four seconds of each of four clips."""
    clips = [soundfile.read(path, dtype="float32")[0][44100 : 5 * 44100] for path in sorted(AUDIO.glob("*.ogg"))[:4]]
    samples: np.ndarray[Any, Any] = resample_rows(np.concatenate(clips)[None], 44100, 24000)[0]
    return samples[: HOP * HOPS]


def hops(samples: torch.Tensor) -> list[torch.Tensor]:
    """``[1, 1, n]`` hop by hop."""
    return [samples[..., start : start + HOP] for start in range(0, samples.shape[-1], HOP)]


def transformers_stream(model: Any, samples: torch.Tensor) -> Any:
    """Codes ``[K, T]`` of transformers' streaming."""
    keys, padding, parts = None, None, []
    for block in hops(samples):
        out = model.encode(
            block, num_quantizers=LEVELS, use_streaming=True, encoder_past_key_values=keys, padding_cache=padding
        )
        keys, padding = out.encoder_past_key_values, out.padding_cache
        parts.append(out.audio_codes[0].numpy())
    return np.concatenate(parts, axis=1)


def moshi_codes(model: Any, samples: torch.Tensor) -> dict[str, Any]:
    """Codes of moshi, offline and streaming; none where it is not installed."""
    try:
        mimi = moshi_loaders().get_mimi(None, num_codebooks=32).eval()
    except MissingReferenceError:
        return {}
    mimi.load_state_dict(moshi_names(model))
    mimi.set_num_codebooks(LEVELS)
    whole = mimi.encode(samples)[0].numpy()
    with mimi.streaming(1):
        parts = [mimi.encode(block) for block in hops(samples)]
    return {"moshi": whole, "moshi, streaming": torch.cat(parts, -1)[0].numpy()}


def our_stream(codec: Codec, samples: np.ndarray[Any, Any]) -> Any:
    """Codes of our stream, in blocks of 1000 samples."""
    stream = codec.stream(n_quantizers=LEVELS)
    parts = [stream.push(samples[start : start + 1000]) for start in range(0, len(samples), 1000)]
    return np.concatenate([*parts, stream.flush()], axis=1)


@torch.no_grad()
def main() -> None:
    torch.set_num_threads(1)
    model, samples = official("Mimi"), audio()
    with tempfile.TemporaryDirectory() as folder:
        save(model, Path(folder))
        ours, judge = load(folder, threads=1), load(folder, engine="torch", dtype="float64")
    latents = judge.encode(samples, n_quantizers=LEVELS, return_latents=True)[1]
    whole = torch.from_numpy(samples)[None, None]
    runs = {
        "transformers": model.encode(whole, num_quantizers=LEVELS).audio_codes[0].numpy(),
        "transformers, streaming": transformers_stream(model, whole),
        **moshi_codes(model, whole),
        "ours, streaming": our_stream(ours, samples),
    }
    print("| | beside | codes that differ | frames | near-ties | first frame |\n| --- | --- | --- | --- | --- | --- |")
    for name, codes in runs.items():
        for other in ("transformers", "moshi"):
            if other == name or other not in runs:
                continue
            found = compare(codes, runs[other], latents, judge.codebooks[:LEVELS], Distance.EUCLIDEAN)
            first = np.flatnonzero((codes != runs[other]).any(axis=0))
            print(
                f"| {name} | {other}, offline | {found.differing_codes} of {codes.size} | {found.differing_frames} | "
                f"{found.near_ties} | {first[0] if len(first) else '–'} |"
            )


if __name__ == "__main__":
    ended(main)

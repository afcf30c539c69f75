"""The official packages at full width: descript's dac.DAC and Hugging Face's DacModel, at 16, 24 and 44.1 kHz.

Knows: how to ask either for frames, latents, codes and samples. The weights are random, because no trained ones are
available here. They pass through each package's own file format, so that its reading is tested too. A differing code
must be a near-tie, which a float64 run judges where there is one.
"""

from __future__ import annotations

import gc
import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from streamrvq.checking.near_ties import compare
from streamrvq.codec import Codec
from streamrvq.config import PRESETS
from streamrvq.resampling import resample_rows
from streamrvq.weights import Weights, load_weights, save_weights, seeded
from tests.conftest import RealAudio
from tests.reference.official import load_official_dac

pytestmark = pytest.mark.heavy

SECONDS = 1.0


class Official(NamedTuple):
    """What an official model gave for one signal."""

    latents: Any  #: [K · codebook_dim, T]
    codes: Any  #: [K, T]
    decode: Callable[[Any], Any]  #: codes [K, T] → samples [n]


def descript(weights: Weights, folder: Path, pcm: Any) -> tuple[Weights, Official]:
    path = folder / "weights.pth"
    save_weights(weights, path)
    model = load_official_dac(path)
    with torch.inference_mode():
        x = model.preprocess(torch.from_numpy(pcm)[None, None], weights.config.sample_rate)
        _, codes, latents, _, _ = model.encode(x)

    def decode(codes: Any) -> Any:
        with torch.inference_mode():
            return model.decode(model.quantizer.from_codes(torch.from_numpy(codes)[None])[0])[0, 0].numpy()

    return load_weights(path), Official(latents[0].numpy(), codes[0].numpy(), decode)


def huggingface(weights: Weights, folder: Path, pcm: Any) -> tuple[Weights, Official]:
    path = folder / "model"
    save_weights(weights, path)
    model = importlib.import_module("transformers").DacModel.from_pretrained(path).eval()
    hop = weights.config.hop_length
    padded = np.pad(pcm, (0, -len(pcm) % hop))  # its feature extractor pads to whole hops
    with torch.inference_mode():
        out = model.encode(torch.from_numpy(padded)[None, None])

    def decode(codes: Any) -> Any:
        with torch.inference_mode():
            return model.decode(audio_codes=torch.from_numpy(codes)[None]).audio_values.reshape(-1).numpy()

    return load_weights(path), Official(out.projected_latents[0].numpy(), out.audio_codes[0].numpy(), decode)


@pytest.fixture(scope="module", params=["dac-16khz", "dac-24khz", "dac-44khz"])
def weights(request: pytest.FixtureRequest) -> Iterator[Weights]:
    yield seeded(PRESETS[request.param], name=request.param)
    gc.collect()  # half a gigabyte each


@pytest.mark.parametrize("package", [descript, huggingface])
def test_official_model(
    package: Callable[..., tuple[Weights, Official]], weights: Weights, tmp_path: Path, real_audio: RealAudio
) -> None:
    pcm = real_audio.excerpt(SECONDS, clip="guitar_01")
    pcm = resample_rows(pcm[None], 44100, weights.config.sample_rate)[0]
    read, official = package(weights, tmp_path, pcm)
    assert read.config.to_dict() | {"quantizer_dropout": 0} == weights.config.to_dict() | {"quantizer_dropout": 0}

    codec = Codec(read)
    codes, latents = codec.encode(pcm, return_latents=True)
    assert codes.shape == official.codes.shape == (codec.n_codebooks, -(-len(pcm) // codec.hop_length))
    assert len(np.unique(codes)) > 100  # spread, or equality would say little

    judge = latents  # of equal codes; what float64 gives says how near others were
    if (codes != official.codes).any():
        _, judge = Codec(read, dtype="float64").encode(pcm, return_latents=True)
    found = compare(codes, official.codes, judge, codec.codebooks)
    assert found.equal_but_for_near_ties, found
    assert found.differing_frames <= max(2, 1e-2 * found.frames), found

    # Where codes differ, the later levels quantise another residual.
    agree = (codes == official.codes).all(axis=0)
    difference = np.abs(latents - official.latents)[:, agree].max()
    assert difference <= 1e-4 * np.abs(latents).max(), difference

    ours, theirs = codec.decode(codes[:, :40]), official.decode(codes[:, :40])
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= 1e-4
    assert np.abs(ours).max() > 0.05  # not silence

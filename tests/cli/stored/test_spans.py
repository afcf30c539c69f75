"""A span that is decoded has the very samples of the whole, at any rate, and a signal is found by its name."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrvq import InputError
from streamrvq.cli.stored.signals import find_signal, signal_of, span_of
from streamrvq.cli.stored.spans import FRAMES, decoded, first_frame
from streamrvq.codec import Codec
from streamrvq.corpus import encode_corpus
from streamrvq.families import decoder_plan
from streamrvq.tokens import Signal, TokenFile
from tests.support.contract import NATIVE, codec_of, minute, noise
from tests.support.corpora import make_audio

SOURCE = 16000
#: The native engine promises bits, the other near-ties of float32 at most; in float64 nothing differs here.
ENGINE = ("float32", "native") if NATIVE else ("float64", "torch")


@cache
def stored(causal: bool, samples: int = 4001) -> tuple[Codec, Signal]:
    codec = codec_of(minute(causal=causal), *ENGINE)
    file = TokenFile(
        codes=codec.encode(noise(samples), sample_rate=SOURCE), codec="minute", codec_hash=codec.codec_hash,
        trained=False, sample_rate=codec.sample_rate, hop_length=codec.hop_length, source_rate=SOURCE,
        num_samples=samples,
    )  # fmt: skip
    return codec, signal_of("x.safetensors", file)


@cache
def whole(causal: bool, rate: int) -> np.ndarray:
    codec, signal = stored(causal)
    return np.concatenate(list(decoded(codec, signal, rate)))


@given(
    causal=st.booleans(), rate=st.sampled_from([8000, 44100, 48000, 44099]),
    span=st.tuples(st.floats(0, 0.26), st.floats(0, 0.26)).map(sorted),
)  # fmt: skip
def test_a_span_has_the_samples_of_the_whole(causal: bool, rate: int, span: list[float]) -> None:
    codec, signal = stored(causal)
    parts = list(decoded(codec, signal, rate, *span))
    pcm = np.concatenate([np.zeros(0, np.float32), *parts])
    first, last = (round(time * rate) for time in span)
    np.testing.assert_array_equal(pcm, whole(causal, rate)[first:last])


def test_decoding_begins_near_the_span() -> None:
    """Otherwise the property above holds of decoding everything."""
    codec, _ = stored(False)
    for rate in (8000, 44100, 48000):
        seconds = 3600.0
        frame = first_frame(codec, round(seconds * rate), rate)
        assert seconds - frame * codec.hop_length / codec.sample_rate < 0.1
    low, high = decoder_plan(codec.config).receptive_field
    assert low < 0 < high


def test_a_span_of_a_long_signal_goes_over_parts() -> None:
    codec, signal = stored(True)
    assert signal.frames > 3 * FRAMES
    assert len(list(decoded(codec, signal, 44100))) > 3


def test_the_whole_is_what_the_codec_decodes() -> None:
    codec, signal = stored(False)
    pcm = codec.decode(signal.read_frames(0, signal.frames))
    np.testing.assert_array_equal(whole(False, 44100), pcm[: signal.pcm_length])


@pytest.mark.parametrize(
    ("start", "stop", "words"),
    [
        (-1.0, None, "--from is -1"), (None, -0.5, "--to is -0.5"), (float("nan"), None, "--from is nan"),
        (2.0, None, "a.wav has 2.000 s: wanted less"), (math.inf, None, "--from is inf; a.wav has 2.000 s"),
        (1e308, None, "a.wav has 2.000 s: wanted less"), (None, math.nan, "--to is nan"),
        (1.5, 1.5, "wanted an end after"), (1.5, 1.0, "wanted an end after"),
    ],
)  # fmt: skip
def test_spans_that_are_none(start: float | None, stop: float | None, words: str) -> None:
    with pytest.raises(InputError, match=words):
        span_of(start, stop, 2.0, "a.wav")


def test_a_span_ends_with_the_signal() -> None:
    assert span_of(None, None, 2.0, "") == (0.0, 2.0)
    assert span_of(1.0, 9.0, 2.0, "") == (1.0, 2.0)
    assert span_of(None, None, 0.0, "") == (0.0, 0.0)
    for endless in (math.inf, 1e308):
        assert span_of(None, endless, 2.0, "") == (0.0, 2.0)
        assert span_of(1.0, endless, math.inf, "") == (1.0, endless)  # of a file that does not say its length
    assert span_of(1e308, None, math.inf, "") == (1e308, math.inf)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> Path:
    folder = tmp_path_factory.mktemp("shards")
    (folder / "other").mkdir()
    make_audio(folder / "in")
    (folder / "in" / "other").mkdir()
    (folder / "in" / "other" / "a.wav").write_bytes((folder / "in" / "a.wav").read_bytes())
    encode_corpus([folder / "in"], folder / "out", weights, workers=1, channels="each")
    return folder / "out"


@pytest.mark.parametrize(
    ("path", "channel", "ends"),
    [
        ("b.flac", None, "/in/b.flac"), ("sub/c.mp3", None, "/in/sub/c.mp3"), ("c.mp3", None, "/in/sub/c.mp3"),
        ("in/a.wav", None, "/in/a.wav"),
        ("other/a.wav", None, "/in/other/a.wav"), ("stereo.flac", 1, "/in/stereo.flac"),
    ],
)  # fmt: skip
def test_a_signal_is_found_by_the_end_of_its_path(shards: Path, path: str, channel: int | None, ends: str) -> None:
    signal = find_signal(str(shards), path, channel)
    assert signal.path.endswith(ends)
    assert channel in (None, signal.channel)
    assert find_signal(str(shards), signal.path, channel).path == signal.path


@pytest.mark.parametrize(
    ("path", "channel", "words"),
    [
        ("a.wav", None, "holds 2 signals 'a.wav': .*say which with --path NAME"),
        (None, None, "holds 17 signals.* and 13 more"),
        ("stereo.flac", None, "say which with --channel"), ("stereo.flac", 2, "no signal 'stereo.flac' of channel 2"),
        ("nonesuch.wav", None, "no signal 'nonesuch.wav'; it holds .* take one of these"), ("b.fla", None, "no signal"),
        (".wav", None, "no signal"),
    ],
)  # fmt: skip
def test_names_that_mean_no_signal(shards: Path, path: str | None, channel: int | None, words: str) -> None:
    with pytest.raises(InputError, match=words):
        find_signal(str(shards), path, channel)

"""Files that an earlier version wrote: weights, tokens, snapshots, a journal and shards are read as they were meant.

Knows: tests/data/formats and its README. The codes and samples there were computed by the native engine of version
0.1.0, so today's engine must give the same bits.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import soundfile

from streamrvq.codec import Codec, load
from streamrvq.streaming.snapshot import Snapshot
from streamrvq.tokens import open_tokens
from streamrvq.tokens.file import TokenFile, read_tokens
from streamrvq.tokens.journal import recover
from tests.support.contract import ENGINES
from tests.support.paths import ROOT

FORMATS = ROOT / "tests" / "data" / "formats"
HASH = "cee56b720e416b7299b7c9caf0b8e4c26390664b1803ab27beab5d30af0c4170"
PCM = soundfile.read(FORMATS / "signal.wav", dtype="float32")[0]
DECODED = safetensors.numpy.load_file(FORMATS / "decoded.safetensors")["pcm"]


@pytest.fixture(params=ENGINES)
def small(request: pytest.FixtureRequest) -> Codec:
    return load(FORMATS / "codec.safetensors", engine=request.param)


@pytest.fixture
def tokens() -> TokenFile:
    return read_tokens(FORMATS / "tokens.safetensors")


def same_samples(codec: Codec, came: np.ndarray, wanted: np.ndarray) -> None:
    if codec.engine.name == "native":
        np.testing.assert_array_equal(came, wanted)
    else:  # the same sums in another order
        np.testing.assert_allclose(came, wanted, rtol=0, atol=1e-5)


def test_weights_are_the_same_codec(small: Codec, tokens: TokenFile) -> None:
    assert small.codec_hash == HASH
    assert not small.trained
    np.testing.assert_array_equal(small.encode(PCM), tokens.codes)
    same_samples(small, small.decode(tokens.codes), DECODED)


def test_tokens_say_what_they_said(tokens: TokenFile) -> None:
    assert tokens.codes.shape == (3, 251)
    assert (tokens.codec, tokens.codec_hash, tokens.trained) == ("small", HASH, False)
    assert (tokens.sample_rate, tokens.hop_length, tokens.source_rate) == (8000, 8, 8000)
    assert (tokens.num_samples, tokens.tail, tokens.start, tokens.gaps) == (2003, "pad", 0, ((160, 80),))


@pytest.mark.parametrize("name", ["encoder", "decoder"])
def test_a_snapshot_is_written_as_it_was(name: str) -> None:
    data = (FORMATS / f"{name}.snapshot").read_bytes()
    assert Snapshot.from_bytes(data).to_bytes() == data


def test_an_encoder_stream_goes_on_to_the_next_code(small: Codec) -> None:
    stream = small.stream(snapshot=Snapshot.from_bytes((FORMATS / "encoder.snapshot").read_bytes()))
    assert (stream.frames_given, stream.samples_received, stream.n_quantizers) == (108, 1005, 2)
    rest = np.concatenate([stream.push(PCM[1005:1500]), stream.push(PCM[1500:]), stream.flush()], axis=1)
    wanted = small.encode(PCM, n_quantizers=2, tail="valid")
    np.testing.assert_array_equal(rest, wanted[:, 108:])


def test_a_decoder_stream_goes_on_to_the_next_sample(small: Codec, tokens: TokenFile) -> None:
    stream = small.decoder_stream(Snapshot.from_bytes((FORMATS / "decoder.snapshot").read_bytes()))
    assert stream.samples_given == 651
    rest = np.concatenate([stream.push(tokens.codes[:, 100:170]), stream.push(tokens.codes[:, 170:]), stream.flush()])
    same_samples(small, rest, DECODED[651:])


def test_a_journal_is_recovered(tmp_path: Path, tokens: TokenFile) -> None:
    journal = shutil.copy(FORMATS / "recording.safetensors.journal", tmp_path)
    recovered = recover(journal)
    np.testing.assert_array_equal(recovered.codes, tokens.codes[:, :100])
    assert (recovered.codec_hash, recovered.num_samples, recovered.gaps) == (HASH, 800, ((320, 16),))
    np.testing.assert_array_equal(read_tokens(tmp_path / "recording.safetensors").codes, recovered.codes)


def test_shards_are_read(tokens: TokenFile) -> None:
    (signal,) = open_tokens(FORMATS / "shards")
    assert (signal.path, signal.codec_hash, signal.num_samples) == ("/srv/sounds/signal.wav", HASH, 2003)
    np.testing.assert_array_equal(signal.read(), tokens.codes)

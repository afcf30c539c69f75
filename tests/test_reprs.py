"""What public objects say of themselves: one line with the facts, and nothing is read or computed for it."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import soundfile

import streamrvq
from streamrvq.codec import Codec
from streamrvq.corpus import encode_corpus
from streamrvq.tokens import CoarseFirst, DacFile, Delay, Flat, Parallel, TokenFile, Vocabulary, open_tokens
from tests.support.contract import noise


def test_streams_pools_and_snapshots(codec: Codec) -> None:
    stream = codec.stream(sample_rate=48000)
    stream.push(noise(3000))
    said = repr(stream)
    assert "3000 samples at 48000 Hz taken" in said
    assert f"{stream.frames_given} frames of 3 codebooks given" in said
    assert "encode" in repr(stream.snapshot())
    assert codec.codec_hash[:12] in repr(stream.snapshot())
    decoder = codec.decoder_stream()
    decoder.push(np.zeros((3, 5), np.int64))
    assert "5 frames taken" in repr(decoder)
    decoder.flush()
    assert "closed" in repr(decoder)
    pool = codec.pool(4)
    pool.open()
    assert "1 of 4 slots in use" in repr(pool)
    assert repr(codec.engine) == str(codec.engine) == codec.engine.description
    assert codec.engine.description in repr(codec)
    for item in (codec, stream, decoder, pool, stream.snapshot(), copy.copy(stream)):
        assert " object at " not in repr(item)
        assert repr(item).isprintable()
        assert len(repr(item)) < 250


@pytest.mark.parametrize("kind", [Flat, Parallel, Delay, CoarseFirst])
def test_patterns(kind: type[Flat]) -> None:
    pattern = kind(Vocabulary(3, 64), bos=True)
    assert repr(pattern) == f"<{kind.__name__}: 3 codebooks of 64, ids from {pattern.vocabulary.offset}, bos>"
    assert repr(pattern) in repr(pattern.encoder())
    assert repr(pattern) in repr(pattern.decoder())


def test_files_and_sets(tmp_path: Path, weights: Path, codec: Codec) -> None:
    soundfile.write(tmp_path / "a.wav", noise(900), 44100)
    tokens = TokenFile(codes=np.zeros((3, 9000), np.int64), codec="x\n", codec_hash="ab" * 32, trained=True,
                       sample_rate=44100, hop_length=8, source_rate=44100, num_samples=72000)  # fmt: skip
    assert repr(tokens) == "<TokenFile: 3 codebooks, 9000 frames, 1.63 s at 44100 Hz, x (abababababab)>"
    encode_corpus([tmp_path / "a.wav"], tmp_path / "out", weights, workers=1)
    opened = open_tokens(tmp_path / "out")
    assert repr(opened) == f"<TokenSet: 1 files, {tmp_path}/out/shard-00000-of-00001.parquet>"  # nothing was read
    assert len(opened) == 1
    assert "1 signals in 1 files" in repr(opened)
    assert "16000 Hz" in repr(DacFile(np.zeros((1, 3, 4), np.int64), 4, 9, -20.0, 16000))
    assert "44100 Hz, in real time" in repr(streamrvq.File(tmp_path / "a.wav"))
    assert "not entered" in repr(streamrvq.tokenize(streamrvq.File(tmp_path / "a.wav"), codec))
    assert "encode" in repr(streamrvq.connect("ws://localhost:1"))
    assert "default, new" in repr(streamrvq.Microphone())

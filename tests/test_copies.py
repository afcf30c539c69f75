"""Everything beside codecs and streams that may be copied or sent to another process: it works, or says what to do.

Knows: pickles in one process. Does not know: codecs (test_codec_pickle.py), streams (streaming/).
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import streamrvq
from streamrvq import errors
from streamrvq.audio.files import open_audio
from streamrvq.config import CodecConfig
from streamrvq.corpus.settings import Settings
from streamrvq.corpus.workers import Work
from streamrvq.errors import StreamRVQError
from streamrvq.live.items import END, Frames, Gap
from streamrvq.live.server.server import Server
from streamrvq.tokens import CoarseFirst, Delay, Flat, Parallel, TokenFile, Vocabulary, open_tokens, write_tokens
from streamrvq.tokens.journal import TokenJournal
from tests.support.contract import codec_of, minute
from tests.support.copying.ways import copies
from tests.support.paths import AUDIO


@copies
def test_values_stay_what_they_are(copied: Callable[[Any], Any]) -> None:
    assert copied(minute()) == minute()
    assert copied(CodecConfig()) == CodecConfig()
    assert copied(END) is END
    assert copied(Gap(1, 2, "lost")) == Gap(1, 2, "lost")
    frames = copied(Frames(3, 0.5, np.arange(6).reshape(2, 3)))
    assert (frames.index, frames.time, frames.codes.tolist()) == (3, 0.5, [[0, 1, 2], [3, 4, 5]])
    settings = Settings.make("causal-44khz", codec_of(minute()))
    assert copied(Work(Path("x"), settings, "d", 1)) == Work(Path("x"), settings, "d", 1)


@copies
@pytest.mark.parametrize("kind", [Flat, Parallel, Delay, CoarseFirst])
def test_patterns_and_what_they_make(copied: Callable[[Any], Any], kind: type[Any]) -> None:
    pattern, codes = kind(Vocabulary(3, 8), bos=True, eos=True), np.arange(21).reshape(3, 7) % 8
    ids = pattern.interleave(codes)
    np.testing.assert_array_equal(copied(pattern).interleave(codes), ids)
    encoder, decoder = pattern.encoder(), pattern.decoder()
    first, decoded = encoder.push(codes[:, :4]), decoder.push(ids[..., :5])
    others, again = (encoder, copied(encoder)), (decoder, copied(decoder))
    for other in others:
        rest = [other.push(codes[:, 4:]), other.flush()]
        np.testing.assert_array_equal(np.concatenate([first, *rest], axis=-1), ids)
    for back in again:
        np.testing.assert_array_equal(np.concatenate([decoded, back.push(ids[..., 5:])], axis=1), codes)


@copies
def test_signals_of_token_files(copied: Callable[[Any], Any], tmp_path: Path) -> None:
    codec, codes = codec_of(minute()), np.arange(12).reshape(3, 4)
    tokens = TokenFile(
        codes=codes, sample_rate=44100, hop_length=8, codec=codec.name, codec_hash=codec.codec_hash, trained=False,
        source_rate=44100, num_samples=32,
    )  # fmt: skip
    write_tokens(tmp_path / "a.safetensors", tokens)
    found = open_tokens(tmp_path)
    np.testing.assert_array_equal(copied(found)[0].read(), codes)
    np.testing.assert_array_equal(copied(found[0]).read_frames(1, 3), codes[:, 1:3])
    np.testing.assert_array_equal(copied(tokens).codes, codes)
    journal = TokenJournal(tmp_path / "b.safetensors", tokens)
    with pytest.raises(errors.TokensError, match="TokenJournal holds an open file and can be neither copied"):
        copied(journal)
    journal.discard()


@copies
def test_a_file_as_a_live_source(copied: Callable[[Any], Any]) -> None:
    """A copy makes passes of its own."""
    file = streamrvq.File(AUDIO / "mono_16khz.flac", realtime=False, block=1000)
    other = copied(file)
    assert other._open is not file._open

    async def read(source: Any) -> Any:
        return np.concatenate([block async for block in source])

    np.testing.assert_array_equal(asyncio.run(read(other)), asyncio.run(read(file)))


@copies
def test_what_belongs_to_a_process_says_so(copied: Callable[[Any], Any]) -> None:
    codec = codec_of(minute())
    with open_audio(AUDIO / "mono_16khz.flac") as audio:
        things = [
            audio, streamrvq.Microphone(), streamrvq.connect("ws://127.0.0.1:1"),
            Server(codec), streamrvq.tokenize(streamrvq.File(AUDIO / "mono_16khz.flac"), codec),
        ]  # fmt: skip
        for thing in things:
            with pytest.raises(StreamRVQError, match="can be neither copied nor pickled; "):
                copied(thing)


@copies
def test_errors(copied: Callable[[Any], Any]) -> None:
    """They come back from other processes as they were raised."""
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, StreamRVQError)]
    for kind in kinds:
        error = kind("a sentence")
        error.code = 4321  # type: ignore[attr-defined]
        came = copied(error)
        assert type(came) is kind
        assert str(came) == "a sentence"
        assert came.code == 4321

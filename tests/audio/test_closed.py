"""Readers and writers that were closed: one sentence for every format and at every moment, and never a crash.

A library that is asked for more of a file that it has closed may end the process. So a failure here may be the end of
the tests.
"""

from __future__ import annotations

import gc
import io
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamrvq.audio.byte_source import ByteSource
from streamrvq.audio.decoding import DecodingError
from streamrvq.audio.files import AudioReader, open_audio
from streamrvq.audio.opening import open_decoder, promised
from streamrvq.audio.writing import FORMATS, AudioWriter, write_audio
from streamrvq.errors import StreamBusyError, StreamClosedError
from tests.support.patience import PATIENCE
from tools.fuzzing.targets.audio import OnceOnly

RATE = 48_000
PCM = (0.3 * np.sin(np.arange(RATE) / 9)).astype(np.float32)
#: What may have happened before a reader is closed.
MOMENTS: dict[str, Callable[[AudioReader], Any]] = {
    "before the first block": lambda reader: None,
    "between blocks": lambda reader: reader.read(100),
    "with samples ahead": lambda reader: (reader.read(30_000), reader.read(1)),
    "at the end": lambda reader: reader.read(2 * RATE),
    "behind the end": lambda reader: (reader.read(2 * RATE), reader.read(1)),
}
suffixes = pytest.mark.parametrize("suffix", FORMATS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("closed")
    for suffix in FORMATS:
        write_audio(folder / f"a{suffix}", PCM, RATE)
    return folder


@suffixes
@pytest.mark.parametrize("kind", ["path", "object", "pipe"])
def test_a_closed_reader_says_so_in_every_format_at_every_moment(folder: Path, suffix: str, kind: str) -> None:
    path = folder / f"a{suffix}"
    for moment, before in MOMENTS.items():
        source: Any = {"path": path, "object": io.BytesIO(path.read_bytes()), "pipe": OnceOnly(path.read_bytes())}[kind]
        with open_audio(source) as reader:
            blocks = reader.blocks(1000)
            before(reader)
            known = reader.sample_rate, reader.channels, reader.frames, reader.position
        for _ in range(2):
            with pytest.raises(StreamClosedError, match=rf"closed after sample {known[-1]}; open it again$"):
                reader.read(10)
            with pytest.raises(StreamClosedError, match="open it again"):
                next(blocks)
            reader.close()
        assert (reader.sample_rate, reader.channels, reader.frames, reader.position) == known, moment


@suffixes
def test_nothing_is_left_of_reads(folder: Path, suffix: str) -> None:
    """A frame that something keeps has its variables, and with them the samples, until the collector comes."""
    gc.disable()
    try:
        with open_audio(folder / f"a{suffix}") as reader:
            for _ in range(3):
                reader.read(100)
        left = weakref.ref(reader)
        del reader
        assert left() is None
    finally:
        gc.enable()


@suffixes
def test_so_does_a_closed_decoder(folder: Path, suffix: str) -> None:
    """Whoever holds one: it neither ends the process nor looks like the end of the file."""
    for source in (ByteSource(folder / f"a{suffix}"), ByteSource(io.BytesIO((folder / f"a{suffix}").read_bytes()))):
        decoder = open_decoder(source, promised(source, False), None, False)
        decoder.close()
        for _ in range(2):
            with pytest.raises(DecodingError):
                decoder.read()
        source.close()


class Slow(io.RawIOBase):
    """A pipe whose reader waits inside, from some read on, until it is let go."""

    def __init__(self, data: bytes) -> None:
        self._rest, self.waits = OnceOnly(data, 4000), False
        self.inside, self.go = threading.Event(), threading.Event()

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if self.waits:
            self.inside.set()
            assert self.go.wait(PATIENCE)
        return self._rest.read(size)


@pytest.mark.parametrize("suffix", [".flac", ".ogg", ".mka"])
def test_a_reader_that_is_closed_while_another_thread_reads(folder: Path, suffix: str) -> None:
    source: Any = Slow((folder / f"a{suffix}").read_bytes())
    with open_audio(folder / f"a{suffix}") as whole:
        wanted = whole.read(2 * RATE)
    reader = open_audio(source)
    assert reader._source.pipe is not None, "it was put into a file first"
    source.waits = True
    with ThreadPoolExecutor(1) as pool:
        try:
            reading = pool.submit(reader.read, 2 * RATE)
            assert source.inside.wait(PATIENCE)
            with pytest.raises(StreamBusyError, match="two reads at once of a Slow; wanted one after another"):
                reader.read(10)
            reader.close()
            with pytest.raises(StreamClosedError, match="closed after sample 0"):
                reader.read(10)
        finally:
            source.go.set()
        np.testing.assert_array_equal(reading.result(), wanted)
    assert reader._decoder is not None
    with pytest.raises(DecodingError):  # it was closed when the read had ended
        reader._decoder.read()
    with pytest.raises(StreamClosedError, match=f"closed after sample {len(wanted)}"):
        reader.read(10)


@suffixes
@pytest.mark.parametrize("count", [10, 100_000])
def test_a_writer_takes_samples_only_while_it_is_open(tmp_path: Path, suffix: str, count: int) -> None:
    """A few would wait for more, and be lost."""
    path, more = tmp_path / f"a{suffix}", np.zeros(count, np.float32)
    writer = AudioWriter(path, RATE)
    with pytest.raises(StreamClosedError, match="which is not opened yet; write them in its `with` block"):
        writer.write(more)
    with writer:
        writer.write(PCM)
    written = path.read_bytes()
    for _ in range(2):
        with pytest.raises(StreamClosedError, match="which is closed already; write them in its `with` block"):
            writer.write(more)
        with pytest.raises(StreamClosedError, match="was entered before; make another one"):
            writer.__enter__()
    assert (path.read_bytes(), writer.count) == (written, len(PCM))

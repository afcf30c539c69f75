"""Files that an earlier version wrote: weights, tokens, snapshots, a journal and shards are read as they were meant.

Written anew, they are the same again. Of a safetensors file that means its header and its tensors, because the header's
entries have no fixed order; of everything else it means the bytes.

Knows: tests/data/formats and its README. The codes and samples there were computed by the native engine of version
0.1.0, so today's engine must give the same bits.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import safetensors.numpy
import soundfile

from streamrvq import __version__
from streamrvq.codec import Codec, load
from streamrvq.corpus.encoding import reading
from streamrvq.corpus.encoding.open import open_encoder
from streamrvq.corpus.record import Record
from streamrvq.corpus.settings import Settings
from streamrvq.corpus.sources import Source
from streamrvq.corpus.workers import Work, Writer
from streamrvq.errors import AudioFileError, CorpusError
from streamrvq.resampling import RESAMPLER
from streamrvq.streaming.snapshot import Snapshot
from streamrvq.tokens import open_tokens
from streamrvq.tokens.file import TokenFile, read_tokens, write_tokens
from streamrvq.tokens.journal import TokenJournal, recover
from tests.support.contract import ENGINES, needs_native
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


def parts_of(path: Path) -> tuple[Any, bytes]:
    """The header of a safetensors file, and the bytes of its tensors."""
    data = path.read_bytes()
    (size,) = struct.unpack_from("<Q", data)
    return json.loads(data[8 : 8 + size]), data[8 + size :]


def test_weights_are_written_as_they_were(tmp_path: Path) -> None:
    load(FORMATS / "codec.safetensors").save(tmp_path / "codec.safetensors")
    assert parts_of(tmp_path / "codec.safetensors") == parts_of(FORMATS / "codec.safetensors")


def test_tokens_are_written_as_they_were(tmp_path: Path, tokens: TokenFile) -> None:
    write_tokens(tmp_path / "tokens.safetensors", tokens)
    assert parts_of(tmp_path / "tokens.safetensors") == parts_of(FORMATS / "tokens.safetensors")


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


def test_a_journal_is_written_as_it_was(tmp_path: Path, tokens: TokenFile) -> None:
    """Frames, a gap, frames. Of the next record the old file has two bytes: there it was cut off."""
    empty = dataclasses.replace(tokens, codes=tokens.codes[:, :0], num_samples=0, gaps=())
    journal = TokenJournal(tmp_path / "recording.safetensors", empty)
    journal.frames(tokens.codes[:, :40])
    journal.gap(320, 16)
    journal.frames(tokens.codes[:, 40:100])
    journal.close()
    old = (FORMATS / "recording.safetensors.journal").read_bytes()
    assert (tmp_path / "recording.safetensors.journal").read_bytes() == old[:-2]


def test_shards_are_read(tokens: TokenFile) -> None:
    (signal,) = open_tokens(FORMATS / "shards")
    assert (signal.path, signal.codec_hash, signal.num_samples) == ("/srv/sounds/signal.wav", HASH, 2003)
    np.testing.assert_array_equal(signal.read(), tokens.codes)


@needs_native
def test_shards_are_written_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run's record, too. Parquet's bytes are pyarrow's, so another pyarrow must write only the same content."""
    (tmp_path / "broken.wav").write_bytes(b"no audio at all")
    here = {"/srv/sounds/broken.wav": tmp_path / "broken.wav", "/srv/sounds/signal.wav": FORMATS / "signal.wav"}
    open_audio = reading.open_audio

    def open_there(path: str, **channels: Any) -> Any:
        """The file as if it were in /srv/sounds."""
        try:
            return open_audio(here[path], **channels)
        except AudioFileError as error:
            raise AudioFileError(str(error).replace(str(here[path]), path)) from None

    monkeypatch.setattr(reading, "open_audio", open_there)
    codec = load(FORMATS / "codec.safetensors", engine="native")
    settings = Settings.make(FORMATS / "codec.safetensors", codec, segment_seconds=0.1)
    sources = [Source(name, name, path.stat().st_size) for name, path in here.items()]
    work = Work(tmp_path / "shards", settings, threads=1)
    encoder = open_encoder(codec, settings.n_quantizers, settings.tail)
    with Writer(work, encoder) as writer, Record(work.folder, settings, sources, "0.1.0", None) as record:
        (shard,) = record.shards
        record.failures(list(writer.write([shard], lambda progress: None)))
    old, new = FORMATS / "shards", tmp_path / "shards"
    for path in (old / "__run__").iterdir():
        written = (new / "__run__" / path.name).read_bytes()
        if path.name == "run.json":  # which also names the resampler now
            written = written.replace(f',\n  "resampler": "{RESAMPLER}"'.encode(), b"")
        assert written == path.read_bytes(), path.name
    before, after = (pq.ParquetFile(folder / shard.name) for folder in (old, new))
    assert after.read().equals(before.read())
    for key in (b"streamrvq", b"streamrvq.shard"):
        assert after.metadata.metadata[key] == before.metadata.metadata[key]
    # Only the footer is another: it holds the rows' checksums, which version 0.1.0 did not write.
    assert after.metadata.metadata.keys() - before.metadata.metadata.keys() == {b"streamrvq.crc32"}
    if after.metadata.created_by == before.metadata.created_by:
        assert before_footer(new / shard.name) == before_footer(old / shard.name)


@pytest.mark.parametrize("began", ["0.1.0", __version__, "0.0.9"])
def test_a_run_of_that_version_goes_on(tmp_path: Path, began: str) -> None:
    """And it keeps its name in the record, of which every shard has a digest."""
    codec = load(FORMATS / "codec.safetensors")
    settings, sources = Settings.make(FORMATS / "codec.safetensors", codec), [Source("a.wav", "/srv/a.wav", 100)]
    with Record(tmp_path / "run", settings, sources, began, None) as record:
        digest = record.shards[0].digest
    assert __version__ != "0.1.0"
    if began == "0.0.9":
        with pytest.raises(CorpusError, match=r"was begun with streamrvq '0\.0\.9', and this is '"):
            Record(tmp_path / "run", settings, sources, __version__, None)
        return
    sources.append(Source("b.wav", "/srv/b.wav", 100))
    with Record(tmp_path / "run", settings, sources, __version__, None) as record:
        assert [shard.digest == digest for shard in record.shards] == [True, False]
    assert json.loads((tmp_path / "run" / "__run__" / "run.json").read_text())["streamrvq"] == began


def before_footer(path: Path) -> bytes:
    data = path.read_bytes()
    (size,) = struct.unpack("<I4x", data[-8:])
    return data[: -8 - size]

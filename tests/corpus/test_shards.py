"""`streamrvq encode --shards`: the same tokens as offline and live, for every kind of file, however rows are cut."""

from __future__ import annotations

import asyncio
import itertools
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from streamrvq import CorpusError, ExtraError, File, Frames, InputError, tokenize
from streamrvq.audio.files import open_audio
from streamrvq.codec import Codec
from streamrvq.corpus import encode_corpus
from streamrvq.corpus.encode_sources import encode_sources
from streamrvq.corpus.encoding.open import open_encoder
from streamrvq.corpus.plan import LEAST, divide
from streamrvq.corpus.progress import Progress
from streamrvq.corpus.rows import Row
from streamrvq.corpus.settings import Settings
from streamrvq.corpus.sources import Source, find_sources
from tests.support.command import Run
from tests.support.contract import needs_native, noise
from tests.support.corpora import KINDS, failed_in, make_audio, rows_in, same_bytes, signals_in
from tests.support.paths import AUDIO


@pytest.fixture(scope="module")
def audio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_audio(tmp_path_factory.mktemp("audio"))


@needs_native
def test_bulk_is_offline_is_live(tmp_path: Path, audio: Path, weights: Path, codec: Codec) -> None:
    done = encode_corpus([audio, AUDIO / "mono_16khz.flac"], tmp_path / "out", weights, workers=1, channels="mean")
    assert (done.failed, done.sources, done.rows, done.written) == ((), len(KINDS) + 1, len(KINDS) + 1, done.shards)
    signals = signals_in(tmp_path / "out")
    assert {path for path, _ in signals} == {str(audio / name) for name in KINDS} | {str(AUDIO / "mono_16khz.flac")}

    async def live(path: str) -> np.ndarray:
        source = File(path, realtime=False, block=133, downmix=True)
        async with tokenize(source, codec) as tokens:
            frames = [item.codes async for item in tokens if isinstance(item, Frames)]
        return np.concatenate([np.zeros((codec.n_codebooks, 0), np.int64), *frames], axis=1)

    for (path, channel), codes in signals.items():
        with open_audio(path, downmix=True) as reader:
            mono, rate = np.concatenate([np.zeros(0, np.float32), *reader.blocks(1000)]), reader.sample_rate
        if not path.endswith((".mp3", ".ogg")):  # which libsndfile decodes to other last bits
            pcm = soundfile.read(path, dtype="float32", always_2d=True)[0]
            np.testing.assert_array_equal(mono, pcm.astype(np.float64).mean(axis=1).astype(np.float32), path)
        assert channel == -1
        np.testing.assert_array_equal(codes, codec.encode(mono, sample_rate=rate), path)
        np.testing.assert_array_equal(codes, asyncio.run(live(path)), path)
    assert done.frames == sum(codes.shape[1] for codes in signals.values())
    assert done.seconds == pytest.approx(sum(n / rate for rate, n, _ in KINDS.values()) + 3, abs=0.1)


def test_the_schema(tmp_path: Path, audio: Path, weights: Path, codec: Codec) -> None:
    encode_corpus([audio / "b.flac"], tmp_path / "out", weights, n_quantizers=2, tail="valid")
    (path,) = (tmp_path / "out").glob("*.parquet")
    schema = pq.read_schema(path)
    assert path.name == "shard-00000-of-00001.parquet"
    assert schema.field("codes").type == pa.list_(pa.uint16()) or str(schema.field("codes").type).endswith("uint16>")
    about = json.loads(schema.metadata[b"streamrvq"])
    assert about == {
        "format": "streamrvq.shard", "version": 1, "codec": codec.name, "codec_hash": codec.codec_hash,
        "trained": False, "sample_rate": 44100, "hop_length": 8, "n_codebooks": 3, "codebook_size": 64, "tail": "valid",
    }  # fmt: skip
    (row,) = rows_in(tmp_path / "out")
    codes = codec.encode(soundfile.read(audio / "b.flac", dtype="float32")[0], 16000, n_quantizers=2, tail="valid")
    assert (row.pop("codes") == codes).mean() > 0.99  # equal bit for bit on the native engine, as the test above shows
    assert row == {
        "path": str(audio / "b.flac"), "channel": -1, "segment": 0, "offset": 0, "num_samples": 3001,
        "source_rate": 16000, "start_frame": 0, "frames": codes.shape[1], "n_quantizers": 2, "sample_rate": 44100,
        "hop_length": 8, "codec_hash": codec.codec_hash,
    }  # fmt: skip


@given(segment=st.integers(1, 200), samples=st.integers(0, 1300), rate=st.sampled_from([44100, 16000, 8000, 96000]))
def test_rows_of_a_long_file_are_one_stream(
    tmp_path: Path, weights: Path, codec: Codec, segment: int, samples: int, rate: int
) -> None:
    pcm = noise(samples)[:samples]
    soundfile.write(tmp_path / "x.wav", pcm, rate, subtype="FLOAT")
    settings = Settings.make(weights, codec, segment_seconds=segment * 8 / 44100)
    reports: list[Progress] = []
    source = Source("x", str(tmp_path / "x.wav"), 1)
    encoder, rows = open_encoder(codec, None, "pad"), list[Row]()
    for _, held, error in encode_sources(encoder, [source], settings, tmp_path, reports.append):
        assert error is None
        rows += held.rows()
    whole = codec.encode(pcm, sample_rate=rate)
    joined = np.concatenate([row.codes for row in rows], axis=1)
    assert joined.shape == whole.shape
    assert (joined == whole).all() or codec.engine.name != "native"
    assert len(rows) == max(1, -(-whole.shape[1] // segment))
    assert [(row.segment, row.start_frame) for row in rows] == [(i, segment * i) for i in range(len(rows))]
    assert {row.codes.shape[1] for row in rows[:-1]} <= {segment}
    at = 0
    for row in rows:  # every sample in one row
        assert row.offset == at == min(samples, row.start_frame * 8 * rate // 44100)
        at += row.num_samples
    assert at == samples
    assert sum(report.seconds for report in reports) == pytest.approx(samples / rate)
    assert sum(report.size for report in reports) == pytest.approx(1.0)


def test_channels(tmp_path: Path, audio: Path, weights: Path, codec: Codec) -> None:
    both = [audio / "eight.wav", audio / "stereo.flac", audio / "a.wav"]
    done = encode_corpus(both, tmp_path / "one", weights, workers=1)
    assert done.rows == 1
    assert {Path(item.path).name for item in done.failed} == {"eight.wav", "stereo.flac"}
    errors = list(failed_in(tmp_path / "one").values())
    assert [error for error in errors if "channels" not in error or "--downmix" not in error] == []
    done = encode_corpus(both, tmp_path / "each", weights, workers=1, channels="each")
    signals = signals_in(tmp_path / "each")
    assert not done.failed
    assert done.rows == 8 + 2 + 1
    for path in both:
        pcm, rate = soundfile.read(path, dtype="float32", always_2d=True)
        for channel in range(pcm.shape[1]):
            codes = codec.encode(np.ascontiguousarray(pcm[:, channel]), sample_rate=rate)
            assert (signals[str(path), channel] == codes).mean() > 0.99
    assert done.seconds == pytest.approx(8 * 1000 / 48000 + 2 * 2000 / 44100 + 0.1)


def test_workers_do_not_matter(tmp_path: Path, audio: Path, weights: Path) -> None:
    for workers in (1, 2):
        done = encode_corpus(
            [audio], tmp_path / str(workers), weights, workers=workers, shard_bytes=9000, channels="mean"
        )
        assert done.shards >= 4
        assert done.written == done.shards
        assert done.encoded_seconds == pytest.approx(done.seconds)
    assert same_bytes(tmp_path / "1", tmp_path / "2")


def test_the_command(run: Run, tmp_path: Path, audio: Path, weights: Path) -> None:
    command = ["encode", audio, "--codec", weights, "--shards", tmp_path / "out", "--shard-mib", "0.02", "--workers", 1]
    done = run(*command)
    assert done.code == 2
    assert "6 rows of 6 files, 2 failed" in done.out
    assert len(done.err.splitlines()) == 2
    assert [line for line in done.err.splitlines() if "channels" not in line] == []
    again = run(*command, "--json")
    assert again.code == 2
    assert "there already" in again.err
    assert run(*command).out.rstrip().endswith("s of audio")  # none was encoded: no speed
    assert again.document["written"] == 0
    assert again.document["rows"] == 6
    assert len(again.document["failed"]) == 2
    retried = run(*command, "--json", "--retry-failed").document
    assert 0 < retried["written"] < retried["shards"]
    assert retried["rows"] == 6


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--shards", "OUT", "-o", "x"], "--shards goes without"),
        (["--shards", "OUT", "--rate", "8000"], "--shards goes without"),
        (["--shards", "OUT", "--downmix", "--each-channel"], "choose one"),
        (["--shards", "OUT", "--segment", "0"], "segments of 0.0 s"),
        (["--shards", "OUT", "--workers", "0"], "0 workers"),
        (["--shards", "OUT", "--threads", "0"], "0 threads"),
        (["--shards", "OUT", "--shard-mib", "0"], "shard of 0 bytes"),
        (["--shards", "OUT", "--n-quantizers", "9"], "from 1 to 3"),
        (["--shards", "WAV"], "the name of an audio file"),
        (["--shards", "CODEC"], "cannot write"),
        (["--shards", "OUT", "no*where"], "matches no file"),
        (["--workers", "2"], "go with --shards"),
        (["--retry-failed"], "go with --shards"),
    ],
)
def test_bad_settings_are_one_sentence(
    run: Run, tmp_path: Path, wav: Path, weights: Path, arguments: list[str], words: str
) -> None:
    places = {"OUT": str(tmp_path / "out"), "WAV": str(wav), "CODEC": str(weights)}
    assert words in run("encode", wav, "--codec", weights, *[places.get(a, a) for a in arguments]).sentence
    assert not list(tmp_path.glob("**/*.parquet"))


def test_a_run_goes_on_as_it_was_begun_or_not_at_all(run: Run, tmp_path: Path, audio: Path, weights: Path) -> None:
    out = tmp_path / "out"
    encode_corpus([audio / "a.wav", audio / "b.flac"], out, weights, workers=1)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}

    def refused(words: str, sources: list[Path], **settings: object) -> None:
        with pytest.raises(CorpusError, match=words):
            encode_corpus(sources, out, weights, workers=1, **settings)  # type: ignore[arg-type]
        assert before == {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}

    both = [audio / "a.wav", audio / "b.flac"]
    refused("begun with n_quantizers 3, and this is 2", both, n_quantizers=2)
    refused("begun with tail 'pad', and this is 'valid'", both, tail="valid")
    refused("begun with shard_bytes None", both, shard_bytes=100)
    refused("begun with pack False, and this is True", both, pack=True)
    refused("lacks 1 of them, such as .*a.wav", both[1:])
    refused("lacks 1 of them, such as .*a.wav", [both[1], audio / "e.wav"])
    (out / "shard-00000-of-00001.parquet").rename(tmp_path / "kept")
    (out / "shard-00000-of-00001.parquet").write_bytes((tmp_path / "kept").read_bytes()[:-9])
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    refused("no whole shard of this run", both)
    (out / "__run__" / "plan.jsonl").write_text("")
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    refused("is damaged", both)
    (out / "__run__" / "run.json").unlink()
    with pytest.raises(CorpusError, match="no record of a run"):
        encode_corpus(both, out, weights, workers=1)


def test_sources(tmp_path: Path, audio: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {str(audio / name) for name in KINDS}
    found = find_sources([audio, audio / "a.wav", str(audio / "**" / "*.mp3")])
    assert {source.path for source in found} == names
    assert len(found) == len(names)
    assert [source.file for source in found] == sorted(source.file for source in found)
    assert [source for source in found if source.size != Path(source.file).stat().st_size] == []
    assert found == find_sources([str(audio / "*.*"), audio / "sub", audio / "sub" / "c.mp3"])
    (tmp_path / "list.jsonl").write_text(
        '{"audio_filepath": "a.wav", "text": "one", "offset": 0}\n\n{"path": "/b.wav"}\n'
    )
    pq.write_table(pa.table({"id": [1], "file": ["sub/c.wav"]}), tmp_path / "list.parquet")
    listed = find_sources([tmp_path / "list.jsonl", tmp_path / "list.parquet"])
    assert listed == [Source("/b.wav", "/b.wav", 0), Source("a.wav", str(tmp_path / "a.wav"), 0, (("text", "one"),)),
                      Source("sub/c.wav", str(tmp_path / "sub" / "c.wav"), 0, (("id", 1),))]  # fmt: skip
    monkeypatch.chdir(audio)
    assert [source.path for source in find_sources(["./sub", "sub"])] == ["sub/c.mp3", "sub/d.ogg"]


def test_one_name_is_no_sequence_of_letters(
    tmp_path: Path, audio: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(audio)
    done = encode_corpus("a.wav", tmp_path / "text", weights, workers=1, devices="cpu")
    assert (done.sources, done.rows, done.failed) == (1, 1, ())
    assert find_sources(audio / "sub") == find_sources([audio / "sub"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"name": "a.wav"}', "has the columns name; wanted a file's path"),
        ('{"path": 3}', "has path 3"),
        ('{"path": "a.wav", "offset": 1.5}', "a piece of a.wav, from 1.5 on"),
        ("[1]", "line 1 of .* no JSON object"),
        ("{", "no manifest of JSON lines"),
        ("\xff", "no manifest of JSON lines"),
    ],
)
def test_bad_manifests(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(InputError, match=words):
        find_sources([path])
    (tmp_path / "x.parquet").write_bytes(text.encode())
    with pytest.raises(InputError, match="no Parquet file"):
        find_sources([tmp_path / "x.parquet"])
    pq.write_table(pa.table({"name": ["a"]}), tmp_path / "x.parquet")
    with pytest.raises(InputError, match="has the columns name"):
        find_sources([tmp_path / "x.parquet"])


@given(sizes=st.lists(st.integers(0, 50)), most=st.integers(1, 60))
def test_the_plan(sizes: list[int], most: int) -> None:
    sources = [Source(f"{i}", f"/{i}", size) for i, size in enumerate(sizes)]
    shards = divide(sources, most)
    assert [source for shard in shards for source in shard.sources] == sources
    assert [s for s in shards if not s.sources or (s.size > most and len(s.sources) > 1)] == []
    for one, other in itertools.pairwise(shards):  # none could take the next source
        assert one.size + other.sources[0].size > most
    assert len(divide(sources)) == (len(sources) > 0)
    assert len(divide([source._replace(size=LEAST) for source in sources])) == len(sources)


def test_without_pyarrow(tmp_path: Path, wav: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(ExtraError, match=r"pip install '\.\[corpus\]'"):
        encode_corpus([wav], tmp_path / "out", weights, workers=1)

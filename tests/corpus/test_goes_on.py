"""The same command goes on where a run stopped: with its folder among its sources, and with files that are gone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import soundfile

from streamrvq import CorpusError, InputError
from streamrvq.corpus import encode_corpus
from streamrvq.corpus.plan import Shard, divide
from streamrvq.corpus.shard import read_summary
from streamrvq.corpus.sources import Source, collect
from tests.support.command import Run
from tests.support.contract import noise
from tests.support.corpora import failed_in, rows_in


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    (folder := tmp_path / "in").mkdir()
    for number in range(2):
        soundfile.write(folder / f"{number}.wav", noise(500 + number, number), 44100)
    (folder / "notes.txt").write_text("x")
    return folder


@pytest.mark.parametrize("where", ["in/out", "in"])
@pytest.mark.parametrize("entry", ["in", "in/**", "in/*"])
def test_its_folder_lies_among_its_sources(
    run: Run, tmp_path: Path, audio: Path, weights: Path, where: str, entry: str
) -> None:
    bulk = ["encode", tmp_path / entry, "--codec", weights, "--shards", tmp_path / where, "--workers", 1, "--json"]
    first, again = run(*bulk), run(*bulk)
    assert (first.code, first.document["rows"], first.document["written"]) == (0, 2, 1)
    assert (again.code, again.document["rows"], again.document["written"]) == (0, 2, 0)
    for done in (first, again):  # of the run's own files nothing is said
        assert [Path(item["path"]).name for item in done.document["passed_over"]] == ["notes.txt"]


def test_what_another_run_wrote_is_no_manifest_for_a_glob(tmp_path: Path, audio: Path, weights: Path) -> None:
    encode_corpus([audio], audio / "old", weights, workers=1)
    (audio / "list.jsonl").write_text(json.dumps({"path": "1.wav", "text": "x"}))
    for entry, wavs in (("**", ["0.wav", "1.wav"]), ("**/*.[jp]*", ["1.wav"])):
        files, passed = collect([audio / entry])
        assert [Path(source.path).name for source in files] == wavs
        assert [source.columns for source in files if source.columns] == [(("text", "x"),)]
        assert {"shard-00000-of-00001.parquet", "plan.jsonl"} < {Path(item.path).name for item in passed}
        assert len({item.path for item in passed}) == len(passed)
    reasons = {Path(item.path).name: item.reason for item in passed}
    assert reasons["shard-00000-of-00001.parquet"] == "a shard of tokens"
    assert reasons["plan.jsonl"] == "the record of a run"
    with pytest.raises(InputError, match=r"1 file passed over: .*\(a shard of tokens\)"):
        collect([audio / "old" / "*.parquet"])


def test_what_failed_is_tried_again_unless_other_rows_would_be_lost(
    run: Run, tmp_path: Path, audio: Path, weights: Path
) -> None:
    (audio / "1.wav").write_bytes(b"no audio")
    (audio / "list.csv").write_text("path\n0.wav\n1.wav\n")
    bulk = ["encode", audio / "list.csv", "--codec", weights, "--shards", tmp_path / "out", "--workers", 1]
    assert run(*bulk).code == 2
    before = rows_in(tmp_path / "out")
    (audio / "0.wav").rename(audio / "away")
    soundfile.write(audio / "1.wav", noise(700), 44100)
    kept = run(*bulk, "--retry-failed")
    assert kept.code == 2
    assert "1 file gone or of another size than when encoded, such as 0.wav" in " ".join(kept.err.split())
    assert [row["path"] for row in rows_in(tmp_path / "out")] == [row["path"] for row in before] == ["0.wav"]
    assert list(failed_in(tmp_path / "out")) == ["1.wav"]
    (audio / "away").rename(audio / "0.wav")
    assert run(*bulk, "--retry-failed").code == 0
    assert [row["path"] for row in rows_in(tmp_path / "out")] == ["0.wav", "1.wav"]


def test_a_retry_loses_no_rows_of_a_file_that_cannot_be_read_any_more(
    tmp_path: Path, audio: Path, weights: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Such as one on a disk that fails, or whose copy is under way."""
    (audio / "1.wav").write_bytes(b"no audio")
    encode_corpus(audio, tmp_path / "out", weights, workers=1)
    before, whole = (tmp_path / "out" / "shard-00000-of-00001.parquet").read_bytes(), (audio / "0.wav").read_bytes()
    soundfile.write(audio / "1.wav", noise(700), 44100)
    (audio / "0.wav").write_bytes(whole[:100])
    kept = encode_corpus(audio, tmp_path / "out", weights, workers=1, retry_failed=True)
    assert (kept.rows, [Path(failure.path).name for failure in kept.failed]) == (1, ["1.wav"])
    assert (tmp_path / "out" / "shard-00000-of-00001.parquet").read_bytes() == before
    assert "0.wav, which cannot be read any more" in caplog.text
    assert not list((tmp_path / "out").glob(".shard-*"))
    (audio / "0.wav").write_bytes(whole)
    assert encode_corpus(audio, tmp_path / "out", weights, workers=1, retry_failed=True).rows == 2


def test_a_file_that_is_gone_may_have_a_name_like_a_glob(
    run: Run, tmp_path: Path, audio: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of what yt-dlp fetches. It is to be named beside its folder, and is no pattern then."""
    monkeypatch.chdir(tmp_path)
    gone = audio / "a [x1].wav"
    soundfile.write(gone, noise(700), 44100)
    bulk = ["encode", "in", "--codec", weights, "--shards", "out", "--workers", 1, "--json"]
    assert run(*bulk).document["rows"] == 3
    gone.unlink()
    soundfile.write(audio / "a x.wav", noise(700), 44100)  # which the pattern matches
    bulk.insert(1, "in/a [x1].wav")
    done = run(*bulk)
    assert (done.code, done.document["rows"], done.document["changed"]) == (0, 4, ["in/a [x1].wav"])
    with pytest.raises(InputError, match="matches no file"):
        collect(["in/b [x1].wav"], tmp_path / "out")


def test_what_a_killed_process_left_of_the_record_is_deleted(tmp_path: Path, audio: Path, weights: Path) -> None:
    encode_corpus([audio], tmp_path / "out", weights, workers=1)
    left = tmp_path / "out" / "__run__" / ".plan.jsonl.77.0123abcd.part"
    left.write_bytes(b"{")
    encode_corpus([audio], tmp_path / "out", weights, workers=1)
    assert not left.exists()


def test_the_longest_names_that_fail_can_be_read_again(tmp_path: Path, weights: Path) -> None:
    lines = [json.dumps({"path": "\U0001f600" * 30_000 + str(number)}) for number in range(8)]
    (tmp_path / "list.jsonl").write_text("\n".join(lines))
    for written in (1, 0):
        done = encode_corpus([tmp_path / "list.jsonl"], tmp_path / "out", weights, workers=1)
        assert (done.written, len(done.failed)) == (written, 8)
    path = tmp_path / "out" / "shard-00000-of-00001.parquet"
    with pytest.raises(CorpusError, match="a summary of"):  # the bound still is one
        read_summary(path, Shard(0, 1, (Source("a", "/a", 0),)))


def test_files_that_are_missing_do_not_all_go_into_one_shard() -> None:
    missing = [Source("é" * 30_000, f"/{number}", 0) for number in range(1200)]
    shards = divide(missing)
    assert [source for shard in shards for source in shard.sources] == missing
    assert max(sum(len(json.dumps(source.path)) for source in shard.sources) for shard in shards) < 80_000_000
    assert len(divide([Source(f"{number}.wav", f"/{number}.wav", 0) for number in range(2000)])) == 1


def test_two_dots_after_a_link_lead_from_where_it_leads(tmp_path: Path, weights: Path) -> None:
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real" / "deep")
    soundfile.write(tmp_path / "a.wav", noise(900), 44100)
    soundfile.write(tmp_path / "real" / "a.wav", noise(500), 44100)
    (tmp_path / "link" / "list.csv").write_text("path\n../a.wav\n")
    for entry in (tmp_path / "link" / "list.csv", f"{tmp_path}/link/../a.wav"):
        (source,) = collect(entry).files
        assert source.file == str(tmp_path / "real" / "a.wav")
    encode_corpus(entry, f"{tmp_path}/link/../out", weights, workers=1)
    assert [row["num_samples"] for row in rows_in(tmp_path / "real" / "out")] == [500]


def test_a_shard_that_somebody_deleted_in_the_middle_of_a_run(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"x/shard-00000-of-00001\.parquet is gone since it was written; leave"):
        read_summary(tmp_path / "x" / "shard-00000-of-00001.parquet", Shard(0, 1, ()))


def test_a_folder_and_a_manifest_that_were_missing_at_first(
    run: Run, tmp_path: Path, audio: Path, weights: Path
) -> None:
    late = [tmp_path / "more", tmp_path / "list.jsonl"]
    bulk = ["encode", audio, *late, "--codec", weights, "--shards", tmp_path / "out", "--workers", 1, "--json"]
    first = run(*bulk)
    assert (first.code, first.document["rows"]) == (2, 2)
    assert sorted(failed_in(tmp_path / "out")) == sorted(map(str, late))
    late[0].mkdir()
    soundfile.write(late[0] / "2.wav", noise(700), 44100)
    soundfile.write(tmp_path / "3.wav", noise(800), 44100)
    late[1].write_text('{"path": "3.wav"}')
    again = run(*bulk)
    assert (again.code, again.document["rows"], again.document["added"]) == (0, 4, 2)
    assert failed_in(tmp_path / "out") == {}
    assert run(*bulk, "--retry-failed").code == 0


def test_a_name_that_is_not_printable_is_printed_once(run: Run, tmp_path: Path, weights: Path) -> None:
    (tmp_path / "a\x1b  b.wav").write_bytes(b"no audio")
    done = run("encode", tmp_path / "a\x1b  b.wav", "--codec", weights, "--shards", tmp_path / "out", "--workers", 1)
    assert done.err.count(r"a\x1b b.wav") == 1

"""A run that grows: new sources get shards of their own, old bytes stay, and the rows are those of one run over all."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrvq import CorpusError, TokensError
from streamrvq.corpus import RunPlan, encode_corpus
from streamrvq.corpus.plan_file import Stage, stages_of
from streamrvq.tokens import open_tokens
from tests.support.command import Run
from tests.support.contract import needs_native, noise
from tests.support.corpora import KINDS, failed_in, make_audio, rows_in, same_bytes
from tests.support.paths import ROOT
from tests.support.patience import PATIENCE


@pytest.fixture(scope="module")
def audio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_audio(tmp_path_factory.mktemp("audio"))


def by_name(folder: Path) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Rows by path, channel and segment, codes as lists."""
    rows = {(row["path"], row["channel"], row["segment"]): row | {"codes": row["codes"].tolist()}
            for row in rows_in(folder)}  # fmt: skip
    assert len(rows) == len(rows_in(folder))
    return rows


@needs_native
@settings(max_examples=6)
@given(data=st.data())
def test_a_run_that_grew_has_the_rows_of_one_run(
    tmp_path_factory: pytest.TempPathFactory, audio: Path, weights: Path, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("grown")
    names = data.draw(st.permutations(sorted(KINDS)))
    cuts = sorted(data.draw(st.lists(st.integers(1, len(names) - 1), min_size=3, max_size=3, unique=True)))
    options: dict[str, Any] = {"workers": 1, "channels": data.draw(st.sampled_from(["one", "each"])),
                               "shard_bytes": data.draw(st.sampled_from([None, 9000])),
                               "pack": data.draw(st.booleans()), "segment_seconds": 0.05}  # fmt: skip
    before: dict[str, bytes] = {}
    for end in (*cuts, len(names)):
        done = encode_corpus([audio / name for name in names[:end]], folder / "out", weights, **options)
        now = {path.name: path.read_bytes() for path in (folder / "out").glob("*.parquet")}
        assert before.items() <= now.items()
        assert done.added == (end - cuts[cuts.index(end) - 1] if end in cuts[1:] else end - cuts[-1]) * bool(before)
        before = now
    again = encode_corpus([audio], folder / "out", weights, **options)
    assert (again.written, again.added) == (0, 0)
    whole = encode_corpus([audio], folder / "whole", weights, **options)
    assert by_name(folder / "out") == by_name(folder / "whole")
    assert failed_in(folder / "out") == failed_in(folder / "whole")
    assert (again.rows, again.frames, again.sources) == (whole.rows, whole.frames, whole.sources)
    read = {(signal.path, signal.channel): signal.read().tolist() for signal in open_tokens(folder / "out")}
    assert read == {(signal.path, signal.channel): signal.read().tolist() for signal in open_tokens(folder / "whole")}
    assert [json.loads(path.read_text())["version"] for path in (folder / "out").rglob("run.json")] == [2]


def test_what_older_versions_took_for_audio_is_passed_over(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder := tmp_path / "in").mkdir()
    soundfile.write(folder / "a.wav", noise(900), 44100)
    (folder / "._a.wav").write_bytes(b"\0\5\x16\7" + bytes(100))
    (folder / "gone.wav").symlink_to("nowhere")
    with monkeypatch.context() as older:
        older.setattr("streamrvq.audio.find.passed_over", lambda path: None)
        done = encode_corpus([folder], tmp_path / "out", weights, workers=1, shard_bytes=1)
    assert (done.rows, len(done.failed), done.passed_over) == (1, 2, ())
    soundfile.write(folder / "b.wav", noise(900), 44100)
    for retry in (False, True):
        done = encode_corpus([folder], tmp_path / "out", weights, workers=1, shard_bytes=1, retry_failed=retry)
        assert (done.rows, done.failed, done.changed, len(done.passed_over)) == (2, (), (), 2)
    assert failed_in(tmp_path / "out") == {}
    with pytest.raises(CorpusError, match=r"lacks 1 of them, such as .*a\.wav"):
        (folder / "a.wav").unlink()
        encode_corpus([folder], tmp_path / "out", weights, workers=1, shard_bytes=1)


def test_a_broken_run_grows_too(tmp_path: Path, audio: Path, weights: Path) -> None:
    files, out = sorted(path for path in audio.rglob("*.*")), tmp_path / "out"
    encode_corpus(files[:4], out, weights, workers=1, shard_bytes=1)
    for path in sorted(out.glob("*.parquet"))[1:3]:
        path.unlink()
    plans: list[RunPlan] = []
    done = encode_corpus(files, out, weights, workers=1, shard_bytes=1, on_plan=plans.append)
    assert (plans[0].shards, plans[0].shards_done, plans[0].added) == (len(files), 2, len(files) - 4)
    assert done.written == len(files) - 2
    assert sorted(path.name for path in out.glob("*.parquet")) == [
        f"shard-{number:05d}-of-{4 if number < 4 else len(files):05d}.parquet" for number in range(len(files))
    ]
    (out / "shard-00001-of-00004.parquet").rename(tmp_path / "kept.parquet")
    with pytest.raises(TokensError, match=f"holds {len(files) - 1} of {len(files)} shards"):
        open_tokens(out)
    shutil.copy(out / "shard-00005-of-00008.parquet", out / "shard-00005-of-00009.parquet")  # no shard in its place
    with pytest.raises(TokensError, match="of 9 shards"):
        open_tokens(out)


def test_a_failed_growth_leaves_the_run_as_it_was(tmp_path: Path, audio: Path, weights: Path) -> None:
    out, files = tmp_path / "out", [audio / "a.wav", audio / "b.flac"]
    encode_corpus(files, out, weights, workers=1)
    shard = out / "shard-00000-of-00001.parquet"
    data = shard.read_bytes()
    shard.write_bytes(data[:-9])
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with pytest.raises(CorpusError, match="no whole shard of this run"):
        encode_corpus([*files, audio / "e.wav"], out, weights, workers=1)
    with pytest.raises(CorpusError, match=r"lacks 1 of them, such as .*a\.wav"):
        encode_corpus([files[1], audio / "e.wav"], out, weights, workers=1)
    assert before == {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}


def test_lines_of_a_growth_that_was_killed_count_for_nothing(tmp_path: Path, audio: Path, weights: Path) -> None:
    """The plan is written before the record that counts its lines."""
    out, files = tmp_path / "out", [audio / "a.wav", audio / "b.flac", audio / "e.wav"]
    encode_corpus(files[:2], out, weights, workers=1)
    record = (out / "__run__" / "run.json").read_bytes()
    encode_corpus(files, out, weights, workers=1)
    (out / "__run__" / "run.json").write_bytes(record)
    (out / "shard-00001-of-00002.parquet").unlink()
    assert encode_corpus(files[:2], out, weights, workers=1).written == 0
    assert encode_corpus(files, out, weights, workers=1).added == 1


def test_sources_named_otherwise_or_changed(run: Run, tmp_path: Path, weights: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    for name in "ab":
        soundfile.write(f"in/{name}.wav", noise(500, ord(name)), 44100)
    encode_corpus(["in"], "out", weights, workers=1)
    with pytest.raises(CorpusError, match=r"begun with in/a\.wav, which is /.*a\.wav now; name it as it was"):
        encode_corpus([tmp_path / "in"], "out", weights, workers=1)
    rows = by_name(tmp_path / "out")
    soundfile.write("in/a.wav", noise(900), 44100)
    soundfile.write("in/c.wav", noise(900, 3), 44100)
    done = run("encode", "in", "--codec", weights, "--shards", "out", "--workers", 1)
    assert done.code == 0
    assert "1 file is new" in done.err
    assert "1 file gone or of another size than when encoded, such as in/a.wav: rows" in " ".join(done.err.split())
    now = by_name(tmp_path / "out")
    assert rows.items() <= now.items()
    assert len(now) == 3


def test_a_file_that_failed_and_was_mended_has_not_changed(run: Run, tmp_path: Path, weights: Path) -> None:
    (tmp_path / "in").mkdir()
    soundfile.write(tmp_path / "in/a.wav", noise(500), 44100)
    (tmp_path / "in/b.wav").write_bytes(b"")
    bulk = ["encode", tmp_path / "in", "--codec", weights, "--shards", tmp_path / "out", "--workers", 1]
    assert run(*bulk).code == 2
    soundfile.write(tmp_path / "in/b.wav", noise(700), 44100)
    assert "another size" not in run(*bulk).err
    mended = run(*bulk, "--retry-failed")
    assert (mended.code, len(by_name(tmp_path / "out"))) == (0, 2)
    assert "another size" not in mended.err
    assert "another size" not in run(*bulk).err  # than when it was encoded, whatever was planned
    soundfile.write(tmp_path / "in/b.wav", noise(900), 44100)
    assert "1 file gone or of another size than when encoded" in " ".join(run(*bulk).err.split())
    (tmp_path / "out/shard-00000-of-00001.parquet").unlink()
    assert run(*bulk).code == 0
    assert "another size" not in run(*bulk).err


@needs_native
def test_kills_while_it_grows(tmp_path: Path, weights: Path) -> None:
    """At random moments, from the first source to the third growth; then one run that ends it."""
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(12):
        soundfile.write(folder / f"{number:02d}.wav", noise(2000 * (number + 1), number), 44100)
    script = [
        sys.executable,
        ROOT / "tests/support/processes/killed_growth.py",
        folder,
        weights,
        tmp_path / "out",
        12,
        5,
    ]
    tried = subprocess.run([str(a) for a in script], capture_output=True, timeout=5 * PATIENCE, check=True)
    counts = json.loads(tried.stdout)
    assert counts["kills"] >= 6
    assert counts["halfway"] >= 1
    options: dict[str, Any] = {"workers": 1, "shard_bytes": 12_000}
    for end in (3, 6, 9, 12):
        encode_corpus(sorted(folder.iterdir())[:end], tmp_path / "unbroken", weights, **options)
    encode_corpus([folder], tmp_path / "whole", weights, **options)
    assert same_bytes(tmp_path / "out", tmp_path / "unbroken")
    assert by_name(tmp_path / "out") == by_name(tmp_path / "whole")
    assert not list((tmp_path / "out").glob(".*"))


def test_stages_that_cannot_be() -> None:
    whole = {"shards": 2, "sources": 3, "digest": "b"}
    assert stages_of(whole) == [Stage(2, 3, "b")]
    assert stages_of(whole | {"grown": [{"shards": 1, "sources": 2, "digest": "a"}]}) == [(1, 2, "a"), (2, 3, "b")]
    for wrong in (
        {"shards": 4}, {"shards": -1}, {"sources": True}, {"digest": 3}, {"grown": 5}, {"grown": [5]}, {"grown": [{}]},
        {"grown": [{"shards": 3, "sources": 3, "digest": ""}]}, {"grown": [{"shards": 1, "sources": 3, "digest": ""}]},
    ):  # fmt: skip
        with pytest.raises((ValueError, KeyError, TypeError)):
            stages_of(whole | wrong)

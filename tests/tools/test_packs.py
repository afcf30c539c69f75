"""Packs of a set, and results in parts: what travels to a borrowed machine and back."""

from __future__ import annotations

import csv
import io
import json
import tarfile
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import soundfile
from hypothesis import example, given
from hypothesis import strategies as st

from streamrvq.train import TrainConfig
from streamrvq.weights import save_weights
from tests.support.contract import minute, noise, weights_of
from tools import set_archive
from tools.corpus_build.manifest import write_table
from tools.training import delivery
from tools.training.delivery import DeliveryError, deliver, join
from tools.training.packs import PackError, pack
from tools.training.schedule import ENDLESS, changed, next_phase, speed_of

SHARES = {"speech": 0.5, "music": 0.5}
CODEC = minute((4, 4), causal=True, stem=4)


def write_set(folder: Path) -> Path:
    """Three times as much speech as music, two groups of each."""
    rows = []
    for i in range(28):
        kind, split = ("music" if i % 4 == 3 else "speech"), ("train" if i < 24 else "validation")
        path = f"{split}/{kind}_{i}.flac"
        (folder / split).mkdir(parents=True, exist_ok=True)
        pcm = np.stack([0.2 * noise(11025, seed=i)] * 2, 1).astype(np.float32)
        soundfile.write(folder / path, pcm, 44100)
        rows.append({"path": path, "kind": kind, "group": f"{kind}{i % 2}", "package": f"p{i % 2}",
                     "licence": "CC0-1.0", "seconds": "0.25"})  # fmt: skip
    (folder / "copyright").mkdir()
    for i in range(2):
        (folder / "copyright" / f"p{i}.txt").write_text(f"CC0-1.0 of {i}\n")
    with open(folder / "manifest.csv", "w", newline="") as table:
        writer = csv.DictWriter(table, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder


def content(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content(path)["manifest.csv"].decode())))


def test_packs_are_complete_even_and_the_same_each_time(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set")
    packs = pack(folder, tmp_path / "packs", 0.1, SHARES)
    assert len(packs) > 2
    assert all(path.stat().st_size <= 100_000 for path in packs)
    trained = [row["path"] for path in packs for row in rows_of(path) if row["split"] == "train"]
    assert len(trained) == len(set(trained)) == 24, "not each clip once"
    assert [any(row["split"] == "validation" for row in rows_of(path)) for path in packs] == [True] + [False] * (
        len(packs) - 1
    )
    for path in packs:
        members, rows = content(path), rows_of(path)
        for row in rows:
            pcm, rate = soundfile.read(io.BytesIO(members[row["path"]]), always_2d=True)
            assert pcm.shape == (11025, 1), "the length changed"
            assert rate == 44100
            assert f"copyright/{row['package']}.txt" in members, "a licence is missing"
        assert json.loads(members["pack.json"])["number"] == packs.index(path) + 1
    again = pack(folder, tmp_path / "again", 0.1, SHARES)
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in packs]
    assert pack(folder, tmp_path / "again", 0.1, SHARES, most=2)[1].read_bytes() == packs[1].read_bytes()


@given(
    sizes=st.lists(st.integers(0, 3000), max_size=30),
    cells=st.lists(st.tuples(st.text('aé,"\n', max_size=9), st.text("aé", max_size=300)), max_size=40),
)
@example(sizes=[512] * 15, cells=[])
def test_an_archive_is_as_large_as_was_reckoned(sizes: list[int], cells: list[tuple[str, str]]) -> None:
    """To the byte: a limit that is one lower is too low."""
    rows = [dict(zip("ab", cell, strict=True)) for cell in cells]
    with tempfile.TemporaryDirectory() as name:
        table, target = Path(name) / "table.csv", Path(name) / "a.tar"
        write_table(table, "ab", rows)
        set_archive.write(target, [("table.csv", table), *((str(i), bytes(size)) for i, size in enumerate(sizes))])
        assert [path.name for path in sorted(Path(name).iterdir())] == ["a.tar", "table.csv"]
        whole = target.stat().st_size
    for limit in (whole, whole - 1):
        room = set_archive.Room(limit, "ab")
        taken = [room.take([], row) for row in rows] + [room.take([size]) for size in sizes] + [room.take([])]
        assert all(taken) == (limit == whole)


def test_the_first_pack_has_the_shares_and_the_rest_is_even(tmp_path: Path) -> None:
    packs = pack(write_set(tmp_path / "set"), tmp_path / "packs", 0.13, SHARES)
    kinds = [[row["kind"] for row in rows_of(path) if row["split"] == "train"] for path in packs]
    assert abs(kinds[0].count("speech") - kinds[0].count("music")) <= 1
    assert "speech" in kinds[1]
    assert "music" in kinds[1], "the rest has no music left"


def test_what_cannot_be_packed_is_said(tmp_path: Path) -> None:
    with pytest.raises(PackError, match=r"cannot read .*manifest\.csv"):
        pack(tmp_path, tmp_path / "packs", 1, SHARES)
    with pytest.raises(PackError, match=r"0\.03 MB do not hold (validation|train)/"):
        pack(write_set(tmp_path / "set"), tmp_path / "packs", 0.03, SHARES)


def test_what_cannot_be_packed_leaves_the_older_packs(tmp_path: Path) -> None:
    made = pack(write_set(tmp_path / "set"), tmp_path / "packs", 0.5, SHARES)
    before = [path.read_bytes() for path in made]
    with pytest.raises(PackError, match="do not hold"):
        pack(tmp_path / "set", tmp_path / "packs", 0.03, SHARES)
    assert sorted((tmp_path / "packs").iterdir()) == made
    assert [path.read_bytes() for path in made] == before
    assert pack(tmp_path / "set", tmp_path / "packs", 0.5, SHARES, most=1) == made[:1]
    assert sorted((tmp_path / "packs").iterdir()) == made[:1]


def write_run(folder: Path, step: int) -> Path:
    """A run's folder with weights of ``step``, and a log that is further."""
    folder.mkdir(exist_ok=True)
    weights = weights_of(CODEC, seed=step)
    object.__setattr__(weights, "training", f"{step} steps, 1 s of audio")
    save_weights(weights, folder / "w.safetensors", half=True)
    rows = [
        {"event": "train", "step": i, "audio_seconds": float(i), "train_seconds": float(i)} for i in range(step + 3)
    ]
    (folder / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"half a li')
    return folder


@given(st.integers(3000, 60_000), st.integers(0, 40))
def test_a_result_is_whole_wherever_the_process_is_killed(
    tmp_path_factory: pytest.TempPathFactory, part_bytes: int, survived: int
) -> None:
    folder = tmp_path_factory.mktemp("run")
    run, out = write_run(folder / "run", 5), folder / "out"
    deliver(run, "w.safetensors", out, part_bytes)
    write_run(run, 9)
    calls = 0

    def killed(real):
        def call(path: Path, *arguments, **settings):
            nonlocal calls
            if path.parent == out:
                calls += 1
                if calls > survived:
                    if real is Path.write_bytes:
                        real(path, arguments[0][: len(arguments[0]) // 2])
                    raise KeyboardInterrupt
            return real(path, *arguments, **settings)

        return call

    with mock.patch.multiple(
        Path, write_bytes=killed(Path.write_bytes), write_text=killed(Path.write_text),
        replace=killed(Path.replace), unlink=killed(Path.unlink),
    ):  # fmt: skip
        try:
            deliver(run, "w.safetensors", out, part_bytes)
            whole = True
        except KeyboardInterrupt:
            whole = False
    step = join(out, folder / "joined")["step"]
    assert step == 9 if whole else step in (5, 9)
    rows = [json.loads(line) for line in (folder / "joined" / "log.jsonl").read_text().splitlines()]
    assert max(row["step"] for row in rows) == step, "the log is not that of the weights"
    if whole:
        assert {path.name for path in out.iterdir()} == {"list.json"} | {
            part["name"] for part in json.loads((out / "list.json").read_text())["parts"]
        }


def test_join_names_all_that_is_missing_or_damaged(tmp_path: Path) -> None:
    out = tmp_path / "out"
    deliver(write_run(tmp_path / "run", 5), "w.safetensors", out, 2000)
    (out / "g1-1.part").unlink()
    (out / "g1-2.part").write_bytes(b"half")
    with pytest.raises(DeliveryError, match=r"g1-1\.part is missing, g1-2\.part is damaged: 4 bytes came of 2000"):
        join(tmp_path, tmp_path / "joined")
    assert not (tmp_path / "joined").exists()
    with pytest.raises(DeliveryError, match=r"has 0 files list\.json"):
        join(tmp_path / "run", tmp_path / "joined")
    with pytest.raises(DeliveryError, match="holds something"):
        join(out, tmp_path / "run")
    whole = json.loads((out / "list.json").read_text())
    (part, *_) = whole["parts"]
    damaged = [whole | {"step": None}, whole | {"parts": [part | {"name": "../x"}]}, whole | {"parts": [1]}]
    texts = ['{"format": ', "[]", '{"format": "streamrvq.delivery", "version": 1}', *map(json.dumps, damaged)]
    for text in texts:
        (out / "list.json").write_text(text)
        with pytest.raises(DeliveryError, match=r"list\.json is damaged .*; wanted the list of a run's parts"):
            join(out, tmp_path / "joined")
    assert delivery.PART_BYTES == 16 << 20


def test_the_minutes_become_steps_and_the_rate_falls_to_their_end() -> None:
    config = changed(TrainConfig(CODEC), {"batch": 4, "loss": {"mel": 2.0}})
    assert (config.loss.mel, config.loss.compressed) == (2.0, 1.0)
    first = next_phase(config, [], None, 600, keep_rate=False)
    assert first.config.steps == ENDLESS
    assert first.seconds == 180
    rows = [{"event": "train", "step": 10 * i, "train_seconds": 30 + 2 * i} for i in range(1, 9)]
    assert speed_of(rows) == 5
    assert speed_of([]) is None
    rows += [{"event": "checkpoint", "step": 70, "train_seconds": 44}]  # killed after it: the log went on to 80
    fall = next_phase(config, rows, 5, 415, keep_rate=False)
    assert fall.config.steps == 70 + 0.95 * 400 * 5
    assert fall.config.decay_from == 70 / fall.config.steps
    assert fall.config.checkpoint_every == 150
    assert next_phase(config, rows, 5, 3, keep_rate=False).config.steps == 71
    stays = next_phase(config, rows, 5, 415, keep_rate=True)
    assert (stays.config.steps, stays.seconds) == (ENDLESS, 415)

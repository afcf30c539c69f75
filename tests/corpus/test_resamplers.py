"""Shards and records say which resampler made them, and no run mixes two."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import soundfile

from streamrvq import CorpusError
from streamrvq.codec import Codec
from streamrvq.corpus import RunSummary, encode_corpus
from streamrvq.corpus.settings import Settings
from streamrvq.resampling import FORMER_RESAMPLER, RESAMPLER
from streamrvq.tokens import open_tokens
from streamrvq.tokens.shards import Shard
from tests.support.contract import noise

KEY = b"streamrvq.resampler"


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    """Two files: a.wav at the codec's rate, b.wav at another. With small shards each has one of its own."""
    folder = tmp_path / "audio"
    folder.mkdir()
    soundfile.write(folder / "a.wav", noise(800), 44100)
    soundfile.write(folder / "b.wav", noise(800), 48000)
    return folder


Run = Callable[[], RunSummary]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def run(audio: Path, out: Path, weights: Path) -> Run:
    return lambda: encode_corpus([audio], out, weights, workers=1, shard_bytes=1)


def record_of(out: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((out / "__run__" / "run.json").read_text())
    return document


def rename(out: Path, name: object) -> None:
    """Change the record as if another resampler had begun the run. None: as version 0.1.0 wrote it, without a name."""
    document = record_of(out) | {"resampler": name}
    if name is None:
        del document["resampler"]
    (out / "__run__" / "run.json").write_text(json.dumps(document))


def renamed(shard: Path, name: str | None) -> None:
    """The same for a shard."""
    table = pq.read_table(shard)
    metadata = {key: value for key, value in pq.read_metadata(shard).metadata.items() if key != b"ARROW:schema"}
    metadata.pop(KEY, None)
    if name is not None:
        metadata[KEY] = name.encode()
    pq.write_table(table.replace_schema_metadata(metadata), shard)


def shards(out: Path) -> tuple[Path, Path]:
    at_rate, resampled = sorted(out.glob("*.parquet"))
    return at_rate, resampled


def test_a_shard_names_what_resampled_its_rows(run: Run, out: Path) -> None:
    run()
    at_rate, resampled = shards(out)
    assert pq.read_metadata(resampled).metadata[KEY].decode() == RESAMPLER
    assert Shard(resampled).resampler == RESAMPLER
    assert KEY not in pq.read_metadata(at_rate).metadata
    assert Shard(at_rate).resampler is None


def test_the_record_names_it(run: Run, out: Path) -> None:
    run()
    assert record_of(out)["resampler"] == RESAMPLER


@pytest.mark.parametrize("name", [None, FORMER_RESAMPLER, "fir64-9", ["x"], 7])
def test_a_run_begun_with_another_resampler_is_refused(run: Run, out: Path, name: object) -> None:
    run()
    shards(out)[0].unlink()
    rename(out, name)
    before = sorted(path.name for path in out.iterdir())
    with pytest.raises(CorpusError, match=r"begun with the resampler .*give a new folder") as refused:
        run()
    assert RESAMPLER in str(refused.value)
    assert sorted(path.name for path in out.iterdir()) == before


@pytest.mark.parametrize("name", [None, FORMER_RESAMPLER, "fir64-9"])
def test_a_shard_of_another_resampler_is_refused(run: Run, out: Path, name: str | None) -> None:
    run()
    renamed(shards(out)[1], name)
    with pytest.raises(CorpusError, match=f"the resampler {name or FORMER_RESAMPLER}, and shard-00001"):
        run()


@pytest.mark.parametrize("name", ["", "x" * 300])
def test_a_name_that_is_none_is_damage(run: Run, out: Path, name: str) -> None:
    run()
    renamed(shards(out)[1], name)
    with pytest.raises(CorpusError, match="that are no name"):
        run()


def test_a_run_that_resampled_nothing_goes_on(run: Run, out: Path) -> None:
    """What is there is the same for every resampler, and what is missing is made by this one."""
    run()
    shards(out)[1].unlink()
    rename(out, None)
    assert run().written == 1
    assert record_of(out)["resampler"] == RESAMPLER
    assert run().written == 0


def test_a_reader_takes_shards_of_any_resampler(run: Run, out: Path) -> None:
    run()
    renamed(shards(out)[1], None)
    assert Shard(shards(out)[1]).resampler == FORMER_RESAMPLER
    assert len(open_tokens(out)) == 2


def test_another_folder_is_what_the_message_says_it_is(run: Run, out: Path, tmp_path: Path) -> None:
    run()
    rename(out, FORMER_RESAMPLER)
    with pytest.raises(CorpusError, match="new folder"):
        run()
    shutil.move(out, tmp_path / "kept")
    assert run().written == 2


def test_a_worker_that_resamples_otherwise_writes_nothing(weights: Path, codec: Codec) -> None:
    settings = Settings.make(weights, codec)
    object.__setattr__(settings, "resampler", "fir64-9")
    with pytest.raises(CorpusError, match="install the same version there"):
        settings.load(1)

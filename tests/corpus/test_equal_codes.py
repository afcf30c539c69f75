"""A row of millions of equal codes, as one long muted recording gives it with long segments, is read again."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from streamrvq import CorpusError
from streamrvq.codec import Codec
from streamrvq.corpus.encode_sources import Encoded
from streamrvq.corpus.held_rows import HeldRows
from streamrvq.corpus.plan import Shard
from streamrvq.corpus.progress import Reports
from streamrvq.corpus.rows import Row
from streamrvq.corpus.settings import Settings
from streamrvq.corpus.shard import verified_summary, write_shard
from streamrvq.corpus.sources import Source
from streamrvq.tokens import open_tokens, schema

FRAMES = 1_500_000


def write(folder: Path, settings: Settings, frames: int) -> Path:
    """A shard of one signal of 3 levels, in one row."""
    source = Source("a.wav", str(folder / "a.wav"), 0)
    shard, held = Shard(0, 1, (source,)), HeldRows(folder)
    samples = frames * settings.hop_length
    held.add(Row("a.wav", -1, 0, 0, samples, settings.sample_rate, 0, np.full((3, frames), 7, np.uint16)))
    with held:
        write_shard(folder, shard, [Encoded(source, held, None)], settings, Reports(lambda progress: None))
    assert verified_summary(folder / shard.name, shard).frames == frames
    return folder / shard.name


@pytest.mark.parametrize("pack", [False, True])
def test_it_is_read_again(
    tmp_path: Path, weights: Path, codec: Codec, pack: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = dataclasses.replace(Settings.make(weights, codec), pack=pack)
    path = write(tmp_path, settings, FRAMES)
    assert path.stat().st_size < FRAMES // 10
    (signal,) = open_tokens(path)
    np.testing.assert_array_equal(np.unique(signal.read_frames(0, FRAMES)), [7])
    monkeypatch.setattr(schema, "filling", lambda codes, size: "")
    with pytest.raises(CorpusError, match="it is damaged"):
        write(tmp_path, settings, FRAMES)


def test_other_shards_have_no_filling(tmp_path: Path, weights: Path, codec: Codec) -> None:
    path = write(tmp_path, Settings.make(weights, codec), 1_000_000)
    assert schema.FILLING_KEY not in schema.parquet().read_metadata(path).metadata

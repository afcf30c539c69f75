"""A worker begins the files of its next shards before the present one is written: steps stay full, bytes stay the same.

Knows: the sizes of steps, which shards are asked for when, which worker gets which. Does not know: interrupts and kills
(test_interrupts.py, encoding/test_readers.py).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from streamrvq.codec import load
from streamrvq.corpus import encode_corpus, workers
from streamrvq.corpus.encoding.encoder import Encoder
from streamrvq.corpus.encoding.reading import ReadHere
from streamrvq.corpus.plan import Shard, divide
from streamrvq.corpus.processes import Worker, Workers
from streamrvq.corpus.progress import Progress
from streamrvq.corpus.settings import Settings
from streamrvq.corpus.sources import Source, find_sources
from streamrvq.corpus.workers import Work, Writer
from streamrvq.engine.native import NativeEngine
from tests.support.contract import needs_native, noise
from tests.support.corpora import same_bytes

#: Hops in a step of the wide engine; files of a shard, and hops of each: together less than half a step.
LIKED, FILES, HOPS = 512, 3, 64
SHARDS = 24
FILE_BYTES = 44 + 2 * HOPS * 8

pytestmark = needs_native


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[Source]:
    """Files for `SHARDS` shards, one of which is damaged."""
    folder = tmp_path_factory.mktemp("audio")
    for number in range(SHARDS * FILES):
        soundfile.write(folder / f"{number:03d}.wav", noise(HOPS * 8, number)[: HOPS * 8], 44100)
    (folder / "017.wav").write_bytes(bytes(FILE_BYTES))
    return find_sources([str(folder)])


class Run:
    """A writer in this process, with an engine that likes ``row_hops``. It notes the steps that are made."""

    def __init__(self, folder: Path, weights: Path, row_hops: int, patch: pytest.MonkeyPatch) -> None:
        folder.mkdir()
        patch.setattr(NativeEngine, "row_hops", row_hops)
        codec = load(weights, engine="native", threads=1)
        settings, self.steps = Settings.make(weights, codec), list[int]()
        step = codec.engine.encode_step

        def noted(pcm: Any, *others: Any) -> Any:
            self.steps.append(pcm.shape[0] * pcm.shape[1] // codec.hop_length)
            return step(pcm, *others)

        patch.setattr(codec.engine, "encode_step", noted)
        reading = ReadHere(max(1, row_hops // 32), codec.sample_rate, 1 << 12)
        self.writer = Writer(Work(folder, settings, threads=1), Encoder(codec, reading))

    def write(self, shards: Any) -> list[int]:
        return [summary.number for summary in self.writer.write(shards, lambda progress: None)]

    def share_in_full_steps(self) -> float:
        """Of all hops, those that were in steps of at least half the liked size."""
        return sum(size for size in self.steps if 2 * size >= LIKED) / sum(self.steps)


def test_steps_stay_full_from_shard_to_shard(
    tmp_path: Path, weights: Path, sources: list[Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    shards = divide(sources, FILES * FILE_BYTES)
    assert [len(shard.sources) for shard in shards] == [FILES] * SHARDS
    assert FILES * HOPS < LIKED / 2
    alone, ahead = (Run(tmp_path / name, weights, LIKED, monkeypatch) for name in ("alone", "ahead"))
    for shard in shards:
        assert alone.write([shard]) == [shard.number]
    assert ahead.write(shards) == list(range(SHARDS))
    assert same_bytes(tmp_path / "alone", tmp_path / "ahead")
    assert alone.share_in_full_steps() == 0
    assert ahead.share_in_full_steps() >= 0.9
    assert len(ahead.steps) < len(alone.steps) / 2


class Asked:
    """Shards that are given when they are asked for; ``not_yet`` says how often there is none yet."""

    def __init__(self, shards: Sequence[Shard], not_yet: Sequence[int] = ()) -> None:
        self.left, self._not_yet = deque(shards), iter(not_yet)
        self.unwritten, self.most = 0, 0

    def __iter__(self) -> Iterator[Shard | None]:
        while self.left:
            if self.unwritten:
                yield from [None] * next(self._not_yet, 0)
            self.unwritten += 1
            self.most = max(self.most, self.unwritten)
            yield self.left.popleft()

    def written_by(self, writer: Writer) -> list[int]:
        numbers = []
        for summary in writer.write(self, lambda progress: None):
            self.unwritten -= 1
            numbers.append(summary.number)
        return numbers


@pytest.mark.parametrize(("row_hops", "shards_ahead", "most"), [(32, 99, 1), (LIKED, 2, 3), (LIKED, 0.5, 2)])
def test_how_far_a_worker_is_ahead(
    tmp_path: Path, weights: Path, sources: list[Source], monkeypatch: pytest.MonkeyPatch,
    row_hops: int, shards_ahead: float, most: int,
) -> None:  # fmt: skip
    """An engine that encodes one file at a time has one shard at a time. Others are ahead by so many bytes."""
    shards = divide(sources, FILES * FILE_BYTES)
    monkeypatch.setattr(workers, "LARGEST", shards_ahead * shards[0].size)
    asked = Asked(shards)
    assert asked.written_by(Run(tmp_path / "out", weights, row_hops, monkeypatch).writer) == list(range(SHARDS))
    assert asked.most == most


def test_a_worker_goes_on_while_the_next_shard_does_not_come(
    tmp_path: Path, weights: Path, sources: list[Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    shards = divide(sources, FILES * FILE_BYTES)
    at_once, late = (Run(tmp_path / name, weights, LIKED, monkeypatch) for name in ("at_once", "late"))
    at_once.write(shards)
    assert Asked(shards, [0, 3, 1, 10**4, 0, 0, 2] * 4).written_by(late.writer) == list(range(SHARDS))
    assert same_bytes(tmp_path / "at_once", tmp_path / "late")


@pytest.mark.parametrize("after", [1, 30, 75, 110, 140])
def test_what_is_cut_off_is_written_again(
    tmp_path: Path, weights: Path, sources: list[Source], monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """Nothing is left of the shard that was being written, nor of those that were begun after it."""
    settings: dict[str, Any] = {"engine": "native", "workers": 1, "shard_bytes": FILES * FILE_BYTES, "readers": 0}
    paths, reports = [source.path for source in sources], 0

    def report(progress: Progress) -> None:
        nonlocal reports
        reports += 1
        if reports == after:
            raise KeyboardInterrupt

    alone = encode_corpus(paths, tmp_path / "whole", weights, **settings)
    monkeypatch.setattr(NativeEngine, "row_hops", LIKED)
    with pytest.raises(KeyboardInterrupt):
        encode_corpus(paths, tmp_path / "cut", weights, on_progress=report, **settings)
    assert not list((tmp_path / "cut").glob(".*"))
    done = len(list((tmp_path / "cut").glob("*.parquet")))
    again = encode_corpus(paths, tmp_path / "cut", weights, **settings)
    assert (again.written, again.failed) == (SHARDS - done, alone.failed)
    assert again.written > 0
    assert same_bytes(tmp_path / "whole", tmp_path / "cut")


def test_processes_that_read_ahead_give_the_same_bytes(tmp_path: Path, weights: Path, sources: list[Source]) -> None:
    """With readers, workers ask for shards before those that they have are written."""
    paths, settings = [source.path for source in sources], {"engine": "native", "shard_bytes": FILES * FILE_BYTES}
    alone = encode_corpus(paths, tmp_path / "alone", weights, workers=1, readers=0, **settings)  # type: ignore[arg-type]
    ahead = encode_corpus(paths, tmp_path / "ahead", weights, workers=2, readers=1, **settings)  # type: ignore[arg-type]
    assert same_bytes(tmp_path / "alone", tmp_path / "ahead")
    assert ahead.failed == alone.failed
    assert ahead.encoded_seconds == pytest.approx(alone.encoded_seconds)


@given(count=st.integers(1, 4), shards=st.integers(0, 30), data=st.data())
def test_workers_share_the_shards(count: int, shards: int, data: st.DataObject) -> None:
    """In order, each once. Nobody waits while shards are left, nobody has two while others have to go without."""
    workers = Workers(Work(Path(), None, 1), count)  # type: ignore[arg-type]
    left, given = deque(divide([Source(str(n), str(n), 1) for n in range(shards)], 1)), list[int]()

    def give(worker: Worker, shard: Shard) -> None:
        worker.asks = False
        assert not worker.shards or len(left) >= sum(not other.shards for other in workers._workers)
        worker.shards.append(shard)
        given.append(shard.number)
        assert len(worker.shards) <= max(2, (len(left) + 1) // count)

    workers._give = give  # type: ignore[method-assign]
    while True:
        can_write = [worker for worker in workers._workers if worker.shards]
        can_ask = [worker for worker in workers._workers if not worker.asks]
        if not can_write and not (left and can_ask):
            break
        worker = data.draw(st.sampled_from(can_write + can_ask))
        if worker in can_write and (worker not in can_ask or data.draw(st.booleans())):
            worker.shards.popleft()
        else:
            worker.asks = True
        workers.share_out(left)
        assert not left or all(worker.shards for worker in workers._workers if worker.asks)
    assert given == list(range(shards))
    workers.end(lambda: True)

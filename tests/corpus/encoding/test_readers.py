"""Processes that read ahead: what they give, and that none is left, whoever ends first."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from streamrvq.audio.files import AudioReader
from streamrvq.codec import Codec
from streamrvq.corpus import encode_corpus
from streamrvq.corpus.encoding import readers
from streamrvq.corpus.encoding.encoder import Coded, Encoder
from streamrvq.corpus.encoding.readers import Readers
from streamrvq.corpus.encoding.reading import Block, Closed, Done, Event, Failed, Opened, Task, read_source
from streamrvq.errors import CorpusError
from streamrvq.weights import save_weights
from tests.support.command import process
from tests.support.contract import QUICK, codec_of, minute, noise, tiny, weights_of
from tests.support.corpora import KINDS, make_audio, rows_in, silence
from tests.support.patience import PATIENCE
from tests.support.processes.children import is_there, needs_proc, until, workers_of

RATE, BLOCK = 44100, 1000
FILES, SECONDS = 2, 12 * 3600
SHORT_SECONDS = 60  #: of a run that goes on to its end; longer where it is there before it is interrupted


def events_of(reading: Readers, tasks: list[Task]) -> list[list[Event]]:
    """All events of each file; blocks are copied, for their memory is used again."""
    came: list[list[Event]] = [[] for _ in tasks]
    left, following = len(tasks), 0
    while left:
        while following < len(tasks) and reading.free:
            reading.begin(following, tasks[following])
            following += 1
        for number, event in reading.events(lambda number: True, PATIENCE):
            came[number].append(Block(event.pcm.copy(), event.position) if isinstance(event, Block) else event)
            left -= isinstance(event, (Done, Failed))
    return came


def joined(events: list[Event]) -> list[Any]:
    """Events with neighbouring blocks as one list of samples."""
    found: list[Any] = []
    for event in events:
        if not isinstance(event, Block):
            found.append(str(event.error) if isinstance(event, Failed) else event)
        elif found and isinstance(found[-1], list):
            found[-1] += event.pcm.tolist()
        else:
            found.append(event.pcm.tolist())
    return found


@pytest.fixture
def reading() -> Iterator[Readers]:
    opened = Readers(2, RATE, BLOCK)
    yield opened
    opened.close()


def test_they_give_what_is_read_here(tmp_path: Path, reading: Readers) -> None:
    """Blocks may be cut otherwise, at the ends of the ring: they are larger than it when they are resampled."""
    make_audio(tmp_path)
    (tmp_path / "bad.wav").write_text("no audio")
    tasks = [Task(str(tmp_path / name), "each") for name in [*KINDS, "bad.wav", "gone.wav"]]
    for task, came in zip(tasks, events_of(reading, tasks), strict=True):
        try:
            wanted: list[Event] = list(read_source(task, RATE, BLOCK))
        except OSError as error:
            wanted = [Failed(error)]
        assert joined(came) == joined(wanted), task


def test_no_more_is_read_than_there_is_room_for(tmp_path: Path, reading: Readers) -> None:
    soundfile.write(tmp_path / "long.wav", noise(100 * BLOCK), RATE)
    reading.begin(0, Task(str(tmp_path / "long.wav"), "one"))
    came: list[Event] = []

    def wanted(number: int) -> bool:
        return not any(isinstance(event, Block) for event in came)

    while wanted(0):
        came += [event for _, event in reading.events(wanted, PATIENCE)]
    (reader,) = reading._readers
    until("all that has room", lambda: reader.pipe.poll())
    assert list(reading.events(wanted, 0.0)) == []
    assert len(reader.ring) == readers.BLOCKS_AHEAD * BLOCK


@needs_proc
def test_a_reader_that_is_killed(tmp_path: Path, reading: Readers) -> None:
    soundfile.write(tmp_path / "long.wav", noise(100 * BLOCK), RATE)
    reading.begin(0, Task(str(tmp_path / "long.wav"), "one"))
    list(reading.events(lambda number: True, PATIENCE))
    os.kill(reading._readers[0].process.pid or 0, signal.SIGKILL)
    with pytest.raises(CorpusError, match=r"process that reads audio files died .*run the same command again"):
        while True:
            list(reading.events(lambda number: True, PATIENCE))


def test_what_no_file_is_to_blame_for_ends_the_reading(reading: Readers) -> None:
    reading.begin(0, Task((1, 2), "one"))  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="a worker process failed: TypeError"):
        while True:
            list(reading.events(lambda number: True, PATIENCE))


@pytest.mark.parametrize("items", [1, 3, 30])
def test_an_encoder_that_was_left_begins_again(tmp_path: Path, items: int) -> None:
    codec: Codec = codec_of(minute(), *QUICK)
    for number in range(4):
        soundfile.write(tmp_path / f"{number}.wav", noise(20_000, number), RATE)
    tasks = [(number, Task(str(tmp_path / f"{number}.wav"), "one")) for number in range(4)]
    with Encoder(codec, Readers(2, RATE, BLOCK)) as encoder:
        run = encoder.run(tasks)
        for _ in range(items):
            next(run)
        run.close()
        parts: dict[int, list[Any]] = {number: [] for number, _ in tasks}
        for number, item in encoder.run(tasks):
            if isinstance(item, Coded):
                parts[number].append(item.codes)
    for number, codes in parts.items():
        pcm, _ = soundfile.read(tmp_path / f"{number}.wav", dtype="float32")
        np.testing.assert_array_equal(np.concatenate(codes, axis=1), codec.encode(pcm))


def test_events_of_a_signal_are_in_order(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "two.wav", np.stack([noise(3000), noise(3000, 1)], axis=1), RATE)
    kinds = [type(event) for event in read_source(Task(str(tmp_path / "two.wav"), "each"), RATE, BLOCK)]
    assert kinds == [*[Opened, Block, Block, Block, Closed] * 2, Done]


def test_a_file_that_is_given_up_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed, close = list[str](), AudioReader.close

    def noted(self: AudioReader) -> None:
        closed.append(str(self.path))
        close(self)

    monkeypatch.setattr(AudioReader, "close", noted)
    soundfile.write(tmp_path / "a.wav", noise(3000), RATE)
    events = read_source(Task(str(tmp_path / "a.wav"), "one"), RATE, BLOCK)
    next(events)
    events.close()
    assert closed == [str(tmp_path / "a.wav")]


# ------------------------------------------------------------------------------------------------------ whole commands


@pytest.fixture(scope="module")
def bulk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A codec, and files of silence that are long enough to be interrupted. They take no place."""
    return bulk_of(tmp_path_factory.mktemp("bulk"), SECONDS)


def bulk_of(folder: Path, seconds: int) -> Path:
    folder.mkdir(exist_ok=True)
    save_weights(weights_of(tiny(causal=True)), folder / "tiny.safetensors")
    (folder / "in").mkdir()
    for number in range(FILES):
        silence(folder / "in" / f"{number}.wav", seconds, RATE)
    return folder


def begun(bulk: Path, out: Path, workers: int) -> tuple[subprocess.Popen[bytes], list[int]]:
    """A command that writes shards, and all processes that it has started: workers, and readers of each. An empty
    list: it has ended already.
    """
    run = process("encode", bulk / "in", "--codec", bulk / "tiny.safetensors", "--shards", out, "--shard-mib", 0.1,
                  "--workers", workers, "--readers", 1, start_new_session=True)  # fmt: skip

    def started() -> list[int]:
        parents = [run.pid] if workers == 1 else workers_of(run.pid)
        found = [reader for parent in parents for reader in workers_of(parent)]
        return found + (parents if workers > 1 else []) if len(found) == workers else []

    until("readers", lambda: started() or run.poll() is not None)
    until("unfinished shards", lambda: len(list(out.glob(".shard-*.part"))) == workers or run.poll() is not None)
    return run, started()


@needs_proc
@pytest.mark.parametrize(
    ("workers", "number", "all_of_them"),  # any two of them in all ways
    [(1, signal.SIGINT, True), (1, signal.SIGTERM, False), (2, signal.SIGINT, False), (2, signal.SIGTERM, True)],
)
def test_an_interrupt_leaves_no_reader(
    tmp_path: Path, bulk: Path, workers: int, number: signal.Signals, all_of_them: bool
) -> None:
    assert interrupted(tmp_path / "out", bulk, workers, number, all_of_them)


def interrupted(out_folder: Path, bulk: Path, workers: int, number: signal.Signals, all_of_them: bool) -> bool:
    """Interrupt a run. False: it had written all shards already."""
    run, processes = begun(bulk, out_folder, workers)
    if all_of_them:
        os.killpg(run.pid, number)
    else:
        run.send_signal(number)
    out, err = run.communicate(timeout=PATIENCE)
    until("the end of all processes", lambda: not any(map(is_there, processes)))
    assert not list(out_folder.glob(".shard-*.part"))
    if len(list(out_folder.glob("*.parquet"))) == FILES:
        return False
    assert (run.returncode, out, err) == (128 + number, b"", b"")
    return True


@needs_proc
def test_an_interrupted_run_goes_on(tmp_path: Path) -> None:
    for seconds in (SHORT_SECONDS << more for more in range(10)):
        bulk, out = bulk_of(tmp_path / str(seconds), seconds), tmp_path / f"out-{seconds}"
        if not interrupted(out, bulk, 1, signal.SIGINT, False):
            continue
        done = len(list(out.glob("*.parquet")))
        again = encode_corpus([bulk / "in"], out, bulk / "tiny.safetensors", workers=1, readers=2,
                              shard_bytes=int(0.1 * 2**20))  # fmt: skip
        assert again.written == FILES - done > 0
        assert sum(row["num_samples"] for row in rows_in(out)) == FILES * seconds * RATE
        return
    pytest.fail("no run was interrupted before its end")


@needs_proc
@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_command_takes_its_readers_along(tmp_path: Path, bulk: Path, workers: int) -> None:
    run, processes = begun(bulk, tmp_path / "out", workers)
    assert processes
    run.kill()
    run.communicate(timeout=PATIENCE)
    until("the end of all processes", lambda: not any(map(is_there, processes)))


@needs_proc
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_reader_that_is_lost(tmp_path: Path, bulk: Path, number: int) -> None:
    run, (reader,) = begun(bulk, tmp_path / "out", 1)
    os.kill(reader, number)
    if number == signal.SIGSTOP:  # nothing ends, until somebody ends it
        run.send_signal(signal.SIGINT)
    out, err = run.communicate(timeout=PATIENCE)
    assert out == b""
    if number == signal.SIGKILL:
        assert (run.returncode, b"process that reads audio files died" in err) == (2, True)
    else:
        assert (run.returncode, err) == (130, b"")
    assert not is_there(reader)
    assert not list((tmp_path / "out").glob(".shard-*.part"))

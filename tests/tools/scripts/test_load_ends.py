"""tools/load: what its server leaves behind, and figures of --throughput that no error would betray."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.contract import codec_of, minute
from tools.load_test.__main__ import main
from tools.load_test.cores import Cores
from tools.load_test.errors import LoadError
from tools.load_test.modes import throughput
from tools.load_test.servers.bare_engine import audio_per_second
from tools.load_test.servers.process import ServerProcess
from tools.load_test.settings import Settings
from tools.load_test.usage import Usage

#: A server that says where it is, and waits.
SERVER = """import json, time; print(json.dumps({"url": "", "port": 1}), flush=True); time.sleep(1000)"""


async def run(server: str, error: BaseException | None) -> None:
    settings = Settings(server=(sys.executable, "-S", "-c", server))
    async with ServerProcess(settings, Cores()):
        if error is not None:
            raise error


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("error", [None, asyncio.CancelledError()], ids=["end", "^C"])
def test_no_log_is_left_where_nothing_went_wrong(error: BaseException | None, temporary: Path) -> None:
    if error is None:
        asyncio.run(run(SERVER, None))
    else:
        with pytest.raises(type(error)):
            asyncio.run(run(SERVER, error))
    assert list(temporary.iterdir()) == []


def test_the_log_of_a_run_that_failed_is_kept_and_named(temporary: Path) -> None:
    with pytest.raises(LoadError, match="a stream broke; the server's log: ") as failed:
        asyncio.run(run(SERVER, LoadError("a stream broke")))
    (folder,) = temporary.iterdir()
    assert str(failed.value).endswith(str(folder / "server.log"))
    assert (folder / "server.log").is_file()


def test_a_server_that_does_not_start_leaves_nothing(temporary: Path) -> None:
    with pytest.raises(LoadError, match="the server did not start: no port"):
        asyncio.run(run("raise SystemExit('no port')", None))
    assert list(temporary.iterdir()) == []


def test_the_loads_cores_are_of_the_time_in_which_they_were_used(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Turns last until the server has renewed its figures, which is longer than they were asked for."""

    def one_core(pid: int) -> Usage:
        now = time.perf_counter()
        return Usage(now, now, 0, 0)

    monkeypatch.setattr(throughput, "usage", one_core)
    monkeypatch.setattr(throughput, "_TURNS", 1)
    main(["--null", "--throughput", "--streams", "2", "--seconds", "0.2", "--json"])
    assert json.loads(capsys.readouterr().out)["load_cores"] == 1


@pytest.mark.parametrize(("hop", "hops"), [(512, 16), (1920, 8), (12_000, 1)])
def test_a_message_holds_as_many_hops_as_it_can(hop: int, hops: int) -> None:
    class Stopped(Exception):
        pass

    def within(doing: object) -> None:
        raise Stopped

    experiment: Any = argparse.Namespace(
        rate=24_000, codec=argparse.Namespace(sample_rate=24_000, hop_length=hop), within=within,
        settings=argparse.Namespace(block=None), audio=argparse.Namespace(longest=48_000),
    )  # fmt: skip
    with pytest.raises(Stopped):
        throughput.throughput_report(experiment)
    assert experiment.block == hops * hop


def test_the_bare_engine_has_all_samples_of_its_steps() -> None:
    """Steps of more hops than the audio has at once were counted whole, and computed in part."""
    codec, fed = codec_of(minute(), "float32"), list[int]()

    class Pool:
        def __init__(self, pool: Any) -> None:
            self._pool = pool

        def __getattr__(self, name: str) -> Any:
            return getattr(self._pool, name)

        def feed_checked(self, stream: Any, block: Any) -> None:
            fed.append(len(block))
            self._pool.feed_checked(stream, block)

    most = 3 * codec.hop_length
    short: Any = argparse.Namespace(
        longest=most, offset=lambda row: 0, samples=lambda start, count: np.zeros(min(count, most), np.int16)
    )
    opening: Any = argparse.Namespace(
        pool=lambda rows, max_hops: Pool(codec.pool(rows, max_hops=max_hops)), hop_length=codec.hop_length,
        sample_rate=codec.sample_rate,
    )  # fmt: skip
    audio_per_second(opening, short, 2, 4, 0.0)
    assert set(fed) == {4 * codec.hop_length}

"""The same job on a Ray cluster of two nodes: the same bytes, though a worker is killed in the middle of it."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import socket
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile

from streamrvq import CorpusError, ExtraError
from streamrvq.codec import Codec
from streamrvq.corpus import Progress, RunPlan, encode_corpus
from streamrvq.corpus import cluster as cluster_module
from streamrvq.corpus.plan import Shard
from streamrvq.corpus.settings import Settings
from streamrvq.corpus.shard import read_summary
from streamrvq.corpus.sources import Source
from streamrvq.corpus.workers import Work
from tests.support.command import Run, process
from tests.support.contract import needs_native, noise
from tests.support.corpora import failed_in, same_bytes, silence
from tests.support.patience import PATIENCE
from tests.support.processes.children import needs_proc, until

#: What the processes of this test's cluster find in their environment.
MARK = ("STREAMRVQ_TEST_CLUSTER", str(os.getpid()))


@pytest.fixture(scope="module")
def audio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 files and a bad one, which comes early."""
    folder = tmp_path_factory.mktemp("audio")
    for i in range(24):
        soundfile.write(folder / f"{i:02d}.wav", noise(40_000 - 100 * i, i), 44100)
    (folder / "00.wav").write_bytes((folder / "00.wav").read_bytes()[:70_000])
    return folder


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of two nodes of one core each."""
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        patch.setenv(*MARK)
        warnings.simplefilter("ignore")  # Ray's own
        from ray.cluster_utils import Cluster

        small = {"num_cpus": 1, "object_store_memory": 80_000_000}
        nodes = Cluster(initialize_head=True, head_node_args={**small, "include_dashboard": False})
        nodes.add_node(**small)
        try:
            yield nodes.address
        finally:
            nodes.shutdown()


class Killer:
    """Kills a worker of this cluster (`MARK` tells which), once, when the first shards are reported."""

    def __init__(self) -> None:
        self.killed = 0

    def __call__(self, progress: Progress) -> None:
        if self.killed:
            return
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                name, ours = (entry / "cmdline").read_bytes(), (entry / "environ").read_bytes()
            except OSError:  # it has ended
                continue
            if name.startswith(b"ray::MapWorker(MapBatches(Worker))") and "=".join(MARK).encode() in ours.split(b"\0"):
                self.killed = int(entry.name)
        assert self.killed, "no worker was found"
        os.kill(self.killed, signal.SIGKILL)


@needs_native
@needs_proc
@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_two_nodes_give_what_one_machine_gives(tmp_path: Path, audio: Path, weights: Path, cluster: str) -> None:
    settings = {"shard_bytes": 250_000, "workers": 2}
    here = encode_corpus([audio], tmp_path / "here", weights, shard_bytes=250_000, workers=1)
    killer, plans = Killer(), list[RunPlan]()
    there = encode_corpus(
        [audio],
        tmp_path / "there",
        weights,
        ray=cluster,
        on_plan=plans.append,
        on_progress=killer,
        **settings,  # type: ignore[arg-type]
    )
    assert [plan.shards for plan in plans] == [there.shards]
    assert killer.killed
    assert there.written == there.shards == here.shards >= 6
    assert (there.rows, there.frames, there.seconds, there.failed) == (
        here.rows,
        here.frames,
        here.seconds,
        here.failed,
    )
    assert same_bytes(tmp_path / "here", tmp_path / "there")
    assert list(failed_in(tmp_path / "there"))
    assert not list((tmp_path / "there").glob(".*"))
    missing = sorted((tmp_path / "there").glob("*.parquet"))[2]
    missing.unlink()
    with pytest.raises(CorpusError, match="neither a preset nor a file"):  # in the worker, as an error of ours
        shutil.copy(weights, tmp_path / "gone.safetensors")
        gone = tmp_path / "gone.safetensors"
        encode_corpus([audio], tmp_path / "there", gone, ray=cluster, on_plan=lambda _: gone.unlink(), **settings)  # type: ignore[arg-type]
    again = encode_corpus([audio], tmp_path / "there", weights, ray=cluster, **settings)  # type: ignore[arg-type]
    assert again.written == 1
    assert same_bytes(tmp_path / "here", tmp_path / "there")


def test_a_shard_counts_when_it_is_seen_here(
    tmp_path: Path, wav: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node may have a folder of its own at the path of the run's."""
    encode_corpus([wav], tmp_path / "out", weights, workers=1)
    (path,) = (tmp_path / "out").glob("*.parquet")
    source = Source(str(wav), str(wav), wav.stat().st_size)
    record = json.loads((tmp_path / "out" / "__run__" / "run.json").read_text())
    shard = Shard(0, 1, (source,), record["digest"])
    summary = read_summary(path, shard)
    path.rename(tmp_path / "late")
    reports = list[Progress]()

    def come(progress: Progress) -> None:
        reports.append(progress)
        (tmp_path / "late").rename(path)

    cluster_module._wait_for(path.parent, shard, summary, "there", come)
    assert reports == [Progress(0, 0)]
    monkeypatch.setattr(cluster_module, "_SEEN_WITHIN", -1.0)
    cluster_module._wait_for(path.parent, shard, summary, "there", come)
    with pytest.raises(CorpusError, match=r"was written on the node there, and is not in .*out here"):  # an older one
        cluster_module._wait_for(path.parent, shard, dataclasses.replace(summary, rows=2), "there", come)
    path.unlink()
    with pytest.raises(CorpusError, match=r"was written on the node there, and is not in .*out here"):
        cluster_module._wait_for(path.parent, shard, summary, "there", come)


def test_a_node_with_another_version_is_refused(tmp_path: Path, wav: Path, weights: Path, codec: Codec) -> None:
    source = Source(str(wav), str(wav), wav.stat().st_size)
    work = Work(tmp_path, Settings.make(weights, codec), 1)
    shard = json.dumps(dataclasses.asdict(Shard(0, 1, (source,), "digest")))
    given = cluster_module.Worker(work, "0.0.7")({"shard": [shard]})
    assert given["summary"] == [""]
    assert "and 0.0.7 where the run was begun; other versions may write other rows" in given["error"][0]
    assert not list(tmp_path.glob("*.parquet"))


def test_what_ray_raises_is_told_in_a_sentence() -> None:
    """As for a node on which streamrvq is not installed."""
    ray = pytest.importorskip("ray")

    class Results:
        def iter_rows(self) -> Iterator[dict[str, object]]:
            yield {"number": 0}
            raise ray.exceptions.RaySystemError("\x1b[36mit died\x1b[39m\nat\nNo module named 'streamrvq'")

    rows = cluster_module._rows(ray, Results(), "here:1")
    assert next(rows) == {"number": 0}
    with pytest.raises(CorpusError, match=r"at here:1 could .* it died … No module named 'streamrvq'\); wanted"):
        next(rows)


@needs_proc
def test_termination_ends_it_as_any_run(tmp_path: Path, weights: Path, cluster: str) -> None:
    """Ray has a handler of its own, which prints a trace and ends with the code 15."""
    silence(tmp_path / "long.wav", 12 * 3600, 44100)
    out = tmp_path / "out"
    run = process("encode", tmp_path / "long.wav", "--codec", weights, "--shards", out, "--ray", cluster)
    until("an unfinished shard", lambda: list(out.glob(".shard-*.part")))
    run.send_signal(signal.SIGTERM)
    _, err = run.communicate(timeout=PATIENCE)
    assert run.returncode == 143
    assert b"SIGTERM received" not in err


@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_no_cluster(run: Run, tmp_path: Path, wav: Path, weights: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        command = ["encode", wav, "--codec", weights, "--shards", tmp_path / "out", "--ray", address]
        assert f"no Ray cluster can be reached at {address}" in run(*command).sentence


def test_without_ray(run: Run, tmp_path: Path, wav: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ExtraError, match=r"pip install '\.\[ray\]'"):
        encode_corpus([wav], tmp_path / "out", weights, ray="auto")
    sentence = run("encode", wav, "--codec", weights, "--shards", tmp_path / "o", "--ray", "auto").sentence
    assert sentence.endswith("install it: pip install '.[ray]' in streamrvq's checkout")
    assert "go with --shards" in run("encode", wav, "--codec", weights, "--ray", "auto").sentence


@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_a_device_wants_a_gpu_of_the_cluster(tmp_path: Path, wav: Path, weights: Path, cluster: str) -> None:
    with pytest.raises(CorpusError, match=r"has 0 GPUs and .* cores; a worker with a device wants 1 and 3"):
        encode_corpus([wav], tmp_path / "out", weights, devices=["cuda"], readers=2, ray=cluster)


@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_a_worker_fits_on_a_node(tmp_path: Path, wav: Path, weights: Path, cluster: str) -> None:
    """Two cores are there, but on two nodes; and three are not there at all. Ray would wait for either."""
    for threads in (2, 3):
        with pytest.raises(CorpusError, match=f"has 2 cores; a worker wants {threads} on one node"):
            encode_corpus([wav], tmp_path / "out", weights, threads=threads, ray=cluster)

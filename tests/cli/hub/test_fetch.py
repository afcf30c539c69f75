"""``streamrvq fetch`` and what ``info`` says of a name, against a Hub on loopback."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from huggingface_hub import constants

from streamrvq.weights import load_weights, seeded
from tests.support.command import Run
from tests.support.hub.repository import NAME, SMALL, files_of
from tests.support.hub.server import Hub, served, turned_to
from tests.support.paths import ROOT
from tests.support.patience import PATIENCE


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    files = files_of(seeded(SMALL, name="small"), tmp_path)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with served({NAME: [files]}) as hub:
        turned_to(hub, tmp_path / "home", monkeypatch)
        yield hub


def test_one_line_in_a_pipe(run: Run, hub: Hub) -> None:
    done = run("fetch", NAME)
    folder = Path(constants.HF_HUB_CACHE, "models--descript--dac_44khz", "snapshots", hub.commit(NAME))
    size = sum((folder / name).stat().st_size for name in ("README.md", "config.json", "model.safetensors"))
    assert (done.code, done.err) == (0, "")
    assert done.out == (
        f"{NAME}: {size / 1e6:.1f} MB in {folder}, commit {hub.commit(NAME)}, licence mit, "
        f"codec {load_weights(NAME).codec_hash[:12]}\n"
    )
    found = run("fetch", NAME, "--revision", "v0", "--json").document
    assert found == {
        "repository": NAME, "commit": hub.commit(NAME), "folder": str(folder), "bytes": size, "licence": "mit",
        "codec_hash": load_weights(NAME).codec_hash, "unchecked": [],
    }  # fmt: skip


def test_into_a_folder(run: Run, hub: Hub) -> None:
    """Which is loaded as any folder is, and can be carried elsewhere: it holds files, not links."""
    hub.repos[NAME][0]["README.md"] = b""
    assert (
        f" MB in dac, commit {hub.commit(NAME)}, no licence named by its card, codec "
        in run("fetch", NAME, "--to", "dac").out
    )
    assert sorted(os.listdir("dac")) == ["README.md", "config.json", "model.safetensors"]
    assert not any(path.is_symlink() for path in Path("dac").iterdir())
    assert load_weights("dac").codec_hash == load_weights(NAME).codec_hash
    assert run("fetch", NAME, "--to", "dac").code == 0
    assert (
        "cannot be put into no/folder: No such file or directory; wanted a folder with room"
        in run("fetch", NAME, "--to", "no/folder").sentence
    )


def test_info_of_a_name(run: Run, hub: Hub) -> None:
    facts = run("info", NAME, "--json").document
    assert facts["codec"] == NAME
    assert {name: facts["from"][name] for name in ("repository", "commit", "licence")} == {
        "repository": NAME, "commit": hub.commit(NAME), "licence": "mit",
    }  # fmt: skip
    told = " ".join(run("info", NAME).out.replace(": ", " ").split())  # a table, or a list where it is narrow
    assert f"from {NAME} on the Hugging Face Hub commit {hub.commit(NAME)} files" in told
    assert "licence mit " in told
    assert run("info", "--json").document["from"] is None


@pytest.mark.parametrize("words, said", [
    (["a"], "'a' is no name on the Hugging Face Hub; wanted owner/name"),
    (["a/b@v0", "--revision", "v1"], "'a/b@v0@v1' has no revision after its @"),
    ([NAME, "--revision", "../v0"], "has no revision after its @; wanted a branch, a tag or a commit"),
    (["descript/none"], "descript/none is neither a folder here nor a model that http://127.0.0.1:"),
], ids=["name", "two", "path", "missing"])  # fmt: skip
def test_what_cannot_be_fetched(run: Run, hub: Hub, words: list[str], said: str) -> None:
    assert said in run("fetch", *words).sentence


def test_a_server_that_is_away(run: Run, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is there is named, and still loaded."""
    assert run("fetch", NAME).code == 0
    hub.status = 503
    done = run("fetch", NAME)
    remark, error = done.err.splitlines()
    assert remark == f"streamrvq: the cache has {NAME}@{hub.commit(NAME)}, and {NAME} is loaded from there"
    assert f"{NAME} was not sent: {hub.url} answered HTTP 503" in error
    assert run("info", NAME).code == 0
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert f"no server is asked for {NAME}; the cache {constants.HF_HUB_CACHE} has {NAME}@" in run("fetch", NAME).err


def test_a_cache_that_is_damaged_hides_no_refusal(run: Run, hub: Hub) -> None:
    assert run("fetch", NAME).code == 0
    Path(constants.HF_HUB_CACHE, "models--descript--dac_44khz", "refs", "main").write_bytes(b"\xff")
    hub.status = 503
    assert f"{NAME} was not sent: {hub.url} answered HTTP 503" in run("fetch", NAME).sentence
    assert f"what the cache has of {NAME} cannot be read" in run("info", NAME).sentence


def test_progress_on_a_terminal(hub: Hub, tmp_path: Path) -> None:
    hub.repos[NAME][0]["README.md"] = b"x" * 30_000
    ours, theirs = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TQDM"))} | {
        "PYTHONPATH": str(ROOT), "HF_HOME": str(tmp_path / "other"), "HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1",
        "COLUMNS": "80", "TERM": "xterm",
    }  # fmt: skip
    words = [sys.executable, "-m", "streamrvq", "fetch", NAME]
    termios.tcsetwinsize(theirs, (24, 80))
    shown = b""
    with (
        os.fdopen(ours, "rb", 0) as screen,
        subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=theirs) as fetching,
    ):
        os.close(theirs)
        with suppress(OSError):  # as Linux ends a terminal
            while piece := screen.read(1 << 16):
                shown += piece
        assert fetching.stdout is not None
        assert fetching.stdout.read().startswith(f"{NAME}: ".encode())
        assert fetching.wait(PATIENCE) == 0
    assert b"model.safetensors: 100%" in shown

"""What the Hub refuses, what it has instead, and what comes broken: one sentence each, and the cache as it was."""

from __future__ import annotations

import errno
import json
import shutil
import socket
import traceback
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest
from huggingface_hub import constants

from streamrvq import HubError
from streamrvq.weights import load_weights
from streamrvq.weights.hub import cached, fetch, parsed
from streamrvq.weights.hub.listing import TENSORS
from tests.support.hub.repository import NAME
from tests.support.hub.server import TOKEN, Hub

KINDS = ("dac", "encodec", "mimi")
#: What a sentence may not have: words of the library to programmers, more than one line.
LIBRARY = ("force_download", "local_files_only", "repo_type", "Traceback", "\n", "Client Error", "Request ID")


def sentence(name: str = NAME) -> str:
    """What loading says."""
    with pytest.raises(HubError) as said:
        load_weights(name)
    text = str(said.value)
    assert [word for word in LIBRARY if word in text] == []
    assert "httpx" not in "".join(traceback.format_exception(said.value))
    return text


def blobs() -> list[Path]:
    """What the cache holds of files, whole or in part."""
    return [path for path in Path(constants.HF_HUB_CACHE).glob("*/blobs/*") if path.is_file()]


# --- what is refused


def test_gated(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.gated.add(NAME)
    assert sentence() == (
        f"{NAME} is gated: {hub.url} answered HTTP 401; wanted a token of an account that may read it: accept its "
        f"terms at {hub.url}/{NAME}, then run 'hf auth login' or set HF_TOKEN"
    )
    assert blobs() == []
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert load_weights(NAME).name == NAME


def test_missing_or_private(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.private.add(NAME)
    for name in (NAME, "descript/dac_48khz"):
        assert sentence(name) == (
            f"{name} is neither a folder here nor a model that {hub.url} shows (HTTP 401); wanted a name that is "
            "there: check the spelling, and for a private model run 'hf auth login' or set HF_TOKEN"
        )
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert load_weights(NAME).name == NAME


def test_no_such_revision(hub: Hub) -> None:
    assert sentence(f"{NAME}@v9") == (
        f"{NAME} has no revision v9 ({hub.url} answered HTTP 404); wanted a branch, a tag or a commit of it: leave it "
        "out for the newest of main"
    )


@pytest.mark.parametrize("status, words", [
    (403, "answered HTTP 403; wanted a token that may read it"),
    (429, "too many requests; wait a while, or set HF_TOKEN"),
    (503, "answered HTTP 503; wanted its files: try again later, or check HF_ENDPOINT"), (404, "HTTP 404"),
], ids=str)  # fmt: skip
def test_other_answers(hub: Hub, status: int, words: str) -> None:
    hub.status = status
    assert words in sentence()
    assert hub.url in sentence()


def test_the_server_is_no_hub(hub: Hub) -> None:
    """Such as the page of a proxy that wants a login."""
    hub.status = 200
    assert sentence().startswith(f"{NAME} cannot be fetched: {hub.url} does not answer as the Hub does (")


def test_no_server(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:  # a port that nobody else gets, and that does not listen
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setattr(constants, "ENDPOINT", url)
        said = sentence()
    assert said.startswith(f"{NAME} cannot be fetched from {url} (ConnectError: [Errno 111] Connection refused)")
    assert said.endswith(
        f"check the network, proxies and HF_ENDPOINT; or, where there is a network, run 'streamrvq fetch {NAME} --to "
        f"dac_44khz' (or 'hf download {NAME} --local-dir dac_44khz'), copy that folder here and give its path; or copy "
        "the cache, and set HF_HOME to where it is"
    )


def test_offline_without_a_cache(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert sentence(f"{NAME}@v0") == (
        f"{NAME}@v0 is no file or folder here and not in the cache {constants.HF_HUB_CACHE}, and HF_HUB_OFFLINE is "
        f"set; wanted config.json and model.safetensors: where there is a network, run 'streamrvq fetch {NAME}@v0 --to "
        f"dac_44khz' (or 'hf download {NAME} --revision v0 --local-dir dac_44khz'), copy that folder here and give its "
        "path; or copy the cache, and set HF_HOME to where it is"
    )
    assert hub.asked == []


# --- what is there instead


def test_only_a_pickle(hub: Hub) -> None:
    del hub.repos[NAME][1][TENSORS]
    assert sentence() == (
        f"{NAME} has a pickle (pytorch_model.bin) and no model.safetensors; wanted safetensors, for a pickle can run "
        "code: where you trust it, load it with its own package, call save_pretrained(FOLDER), and give that folder"
    )
    assert blobs() == []


@pytest.mark.parametrize("files, words", [
    ({"config.json": b"{}", "model.safetensors.index.json": b"{}"},
     "has tensors in several files and no model.safetensors"),
    ({"weights.pth": b""},
     "has a pickle (weights.pth) and no config.json and no model.safetensors; wanted safetensors"),
    ({"tokenizer.json": b"{}"}, "has other files (tokenizer.json) and no config.json and no model.safetensors; wanted"),
    ({}, "has no files and no config.json"),
    ({"config.json": b'{"model_type": "bert"}', TENSORS: b"x" * 9999},
     'has model_type \'bert\'; wanted one of "dac", "encodec", "mimi"'),
    ({"config.json": b"[" * 9999, TENSORS: b""}, "has model_type None; wanted"),
    ({"config.json": b" " * (1 << 20) + b"{}", TENSORS: b""},
     "config.json of descript/dac_44khz has 1048578 bytes; wanted"),
], ids=["split", "pth", "tokenizer", "empty", "bert", "hostile", "long"])  # fmt: skip
def test_another_kind_of_model(hub: Hub, files: dict[str, bytes], words: str) -> None:
    """Nothing of its tensors is fetched."""
    hub.repos[NAME][1] = files
    assert words in sentence()
    assert not any(TENSORS in request for request in hub.asked)


def test_larger_than_the_disk(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    assert f"bytes, and {constants.HF_HUB_CACHE} has 1000 free; wanted " in sentence()
    assert not any(TENSORS in request for request in hub.asked)


# --- what comes broken


def test_a_connection_that_breaks_goes_on_where_it_was(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """At the end of the last whole piece, of which the library writes 10 MiB at a time."""
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    right = hub.repos[NAME][1]
    hub.cut, hub.breaks = 3000, 1
    assert len(right[TENSORS]) > 6000
    load_weights(NAME)
    assert hub.ranges == ["bytes=3000-"]
    found = cached(parsed(NAME))
    assert found is not None
    assert (found.folder / TENSORS).read_bytes() == right[TENSORS]
    assert capfd.readouterr().err == ""


def test_a_connection_that_breaks_for_good(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    hub.cut, hub.breaks = 0, 1000
    hub.repos[NAME][1]["README.md"] = b""
    said = sentence()
    assert said.startswith(f"{NAME} cannot be fetched from {hub.url} (")
    assert blobs() == []
    hub.breaks = 0
    assert load_weights(NAME).name == NAME


@pytest.mark.parametrize("lie, words", [
    (lambda data: data[:-1] + bytes([data[-1] ^ 1]), "came with SHA-256 "),
    (lambda data: data[:-1], "came incomplete: Consistency check failed: file should be of size "),
    (lambda data: data + b"x", "came incomplete: Consistency check failed: file should be of size "),
], ids=["bit", "short", "long"])  # fmt: skip
def test_other_bytes_than_stated(hub: Hub, lie: Callable[[bytes], bytes], words: str) -> None:
    """The wrong file does not stay, and what was in the cache is still what is loaded."""
    before = hub.repos[NAME].pop()
    old = load_weights(NAME)
    hub.repos[NAME].append(before)
    hub.lies[TENSORS] = lie(before[TENSORS])
    with pytest.raises(HubError) as said:
        fetch(parsed(NAME), KINDS)
    assert words in str(said.value)
    assert "\n" not in str(said.value)
    assert load_weights(NAME).codec_hash == old.codec_hash
    assert len([path for path in blobs() if path.stat().st_size > 2000]) == 1
    hub.lies.clear()
    assert fetch(parsed(NAME), KINDS).commit == hub.commit(NAME)
    assert load_weights(NAME).codec_hash != old.codec_hash


def test_a_small_file_with_other_bytes(hub: Hub) -> None:
    right = hub.repos[NAME][1]["config.json"]
    hub.lies["config.json"] = right.replace(b"dac", b"DAC")
    assert f"config.json of {NAME} came with git hash " in sentence()
    assert blobs() == []


def test_a_damaged_cache_is_fetched_anew(hub: Hub) -> None:
    load_weights(NAME)
    found = cached(parsed(NAME))
    assert found is not None
    path = (found.folder / TENSORS).resolve()
    right = path.read_bytes()
    path.write_bytes(right[:-1] + bytes([right[-1] ^ 1]))
    fetch(parsed(NAME), KINDS)
    assert (found.folder / TENSORS).read_bytes() == right


def test_a_mirror_without_hashes(hub: Hub) -> None:
    hub.hashes = False
    snapshot = fetch(parsed(NAME), KINDS)
    assert snapshot.unchecked == ("config.json", TENSORS, "README.md")


def test_a_commit_that_moves_meanwhile(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files are all of one commit: the newest."""
    newest = hub.repos[NAME].pop()
    real = huggingface_hub.hf_hub_download

    def moving(repo: str, file: str, **settings: object) -> str:
        if file == TENSORS and len(hub.repos[NAME]) == 1:
            hub.repos[NAME].append(newest)
        return real(repo, file, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", moving)
    snapshot = fetch(parsed(NAME), KINDS)
    assert snapshot.commit == hub.commit(NAME, 1)
    assert (snapshot.folder / TENSORS).read_bytes() == newest[TENSORS]


def test_a_cache_that_cannot_be_written(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device", "/cache/x")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", full)
    assert sentence() == (
        f"{NAME} cannot be kept here: No space left on device: /cache/x; wanted a writable folder with room for it: "
        "check it, or set HF_HOME to another"
    )


@pytest.mark.parametrize("offline", [False, True])
def test_a_cache_that_is_damaged(hub: Hub, monkeypatch: pytest.MonkeyPatch, offline: bool) -> None:
    load_weights(NAME)
    kept = Path(constants.HF_HUB_CACHE, "models--descript--dac_44khz")
    (kept / "refs" / "main").write_bytes(b"\xff\xfe")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    said = sentence()
    assert said.startswith(f"what the cache has of {NAME} cannot be read (UnicodeDecodeError: ")
    assert said.endswith(f"; wanted the files of huggingface_hub: remove {kept}, and fetch it again")
    with pytest.raises(HubError) as fetched:
        fetch(parsed(NAME), KINDS)
    assert str(fetched.value) == said
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    shutil.rmtree(kept)
    assert load_weights(NAME).name == NAME


def test_a_cache_that_may_not_be_read(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object, **__: object) -> str:
        raise PermissionError(errno.EACCES, "Permission denied", "/cache/refs/main")

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", forbidden)
    assert sentence() == (
        f"what the cache has of {NAME} cannot be read (Permission denied: /cache/refs/main); wanted files that may be "
        "read: check their rights, or set HF_HOME to another folder"
    )


def test_tensors_of_another_configuration(hub: Hub) -> None:
    """As for any folder: they are read by the same door."""
    files = hub.repos[NAME][1]
    files["config.json"] = json.dumps(json.loads(files["config.json"]) | {"n_codebooks": 4}).encode()
    with pytest.raises(ValueError, match=r"lacks quantizer\.quantizers\.3.* wanted every tensor of the configuration"):
        load_weights(NAME)

"""Codecs by their names on the Hub: fetched once, then from the cache; by commit in other processes."""

from __future__ import annotations

import json
import logging
import os
import pickle
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
from huggingface_hub import constants

from streamrvq import HubError, load
from streamrvq.corpus.settings import Settings
from streamrvq.errors import WeightsError
from streamrvq.weights import load_weights
from streamrvq.weights.hub import cached, copied, parsed, snapshot
from tests.support.contract import noise
from tests.support.hub.repository import NAME
from tests.support.hub.server import Files, Hub
from tests.support.paths import ROOT
from tests.support.patience import PATIENCE


def hash_of(files: Files, folder: Path) -> str:
    """The codec hash of a repository's files in a folder."""
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return load_weights(folder).codec_hash


def test_a_name_is_fetched_once(hub: Hub, tmp_path: Path) -> None:
    codec = load(NAME)
    assert codec.codec_hash == hash_of(hub.repos[NAME][1], tmp_path / "saved")
    assert (codec.name, codec.trained, codec.source) == (NAME, False, f"{NAME}@{hub.commit(NAME)}")
    assert not [request for request in hub.asked if "pytorch_model" in request or "gitattributes" in request]
    folder = Path(constants.HF_HUB_CACHE, "models--descript--dac_44khz", "snapshots", hub.commit(NAME))
    assert sorted(os.listdir(folder)) == ["README.md", "config.json", "model.safetensors"]
    hub.asked.clear()
    assert load(NAME).codec_hash == codec.codec_hash
    assert load(f"{NAME}@main").codec_hash == codec.codec_hash
    assert hub.asked == []


def test_a_revision(hub: Hub, tmp_path: Path) -> None:
    old = hash_of(hub.repos[NAME][0], tmp_path / "old")
    assert load_weights(f"{NAME}@v0").codec_hash == old
    assert load_weights(NAME).codec_hash != old
    hub.asked.clear()
    assert load_weights(f"{NAME}@{hub.commit(NAME, 0)}").codec_hash == old
    assert hub.asked == []


def test_a_newer_commit_does_not_change_what_is_loaded(hub: Hub) -> None:
    newer = hub.repos[NAME].pop()
    first = load_weights(NAME)
    hub.repos[NAME].append(newer)
    assert load_weights(NAME).codec_hash == first.codec_hash


def test_a_folder_of_that_name_wins(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "descript").mkdir()
    old = hash_of(hub.repos[NAME][0], tmp_path / NAME)
    assert load_weights(NAME).codec_hash == old
    assert hub.asked == []
    assert load_weights(f"{NAME}@main").codec_hash != old


def test_other_processes_load_the_same_commit(hub: Hub) -> None:
    """A pickle, and the settings that the workers of a bulk run are sent."""
    codec = load(NAME)
    hub.repos[NAME].append(hub.repos[NAME][0])
    huggingface_hub.hf_hub_download(NAME, "config.json")  # now the cache's main is another, without its tensors
    hub.asked.clear()
    back = pickle.loads(pickle.dumps(codec))
    assert (back.codec_hash, back.source) == (codec.codec_hash, codec.source)
    settings = Settings.make(NAME, codec)
    assert settings.codec == codec.source
    assert settings.load(1).codec_hash == codec.codec_hash
    assert hub.asked == []


def test_offline_with_a_cache(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched = load_weights(NAME)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub.asked.clear()
    assert load_weights(NAME).codec_hash == fetched.codec_hash
    with pytest.raises(
        HubError, match=r"v0 is no file or folder here and not in the cache .*HF_HUB_OFFLINE is set; wanted"
    ):
        load_weights(f"{NAME}@v0")
    assert hub.asked == []


def test_the_environment(hub: Hub, tmp_path: Path) -> None:
    """``HF_ENDPOINT``, ``HF_HOME`` and ``HF_HUB_OFFLINE``, as huggingface_hub reads them when it is imported."""
    code = f"import json, streamrvq; c = streamrvq.load({NAME!r}); print(json.dumps([c.codec_hash, c.source]))"
    fresh = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TRANSFORMERS_"))}
    fresh |= {"PYTHONPATH": str(ROOT), "HF_HOME": str(tmp_path / "other"), "HF_HUB_DISABLE_XET": "1"}

    def run(**environment: str) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-W", "error", "-c", code]
        return subprocess.run(words, env=fresh | environment, capture_output=True, text=True, timeout=PATIENCE)

    lacking = run(HF_HUB_OFFLINE="1")
    assert lacking.returncode == 1
    assert f"HubError: {NAME} is no file or folder here and not in the cache {tmp_path}/other/hub" in lacking.stderr
    first = run(HF_ENDPOINT=hub.url)
    assert (first.returncode, first.stderr) == (0, ""), first
    again = run(HF_HUB_OFFLINE="1")
    assert json.loads(again.stdout) == json.loads(first.stdout)
    assert json.loads(first.stdout)[1] == f"{NAME}@{hub.commit(NAME)}"


def test_the_codec_computes(hub: Hub, tmp_path: Path) -> None:
    hash_of(hub.repos[NAME][1], tmp_path / "saved")
    pcm = noise(1000)
    np.testing.assert_array_equal(load(NAME).encode(pcm), load(tmp_path / "saved").encode(pcm))


def test_the_library_is_missing(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError) as said:
        load(NAME)
    assert str(said.value).startswith(f"{NAME} is no file or folder here; names on the Hub need huggingface_hub, ")
    assert str(said.value).endswith("install it: pip install '.[hub]' in streamrvq's checkout")


@pytest.mark.parametrize("card, licence", [
    (b"---\nlicense: mit\n---\n", "mit"), (b"---\nlicense: other\nlicense_name: mine\n---\n", "mine"),
    (b"# A codec\n", None),
    (b"---\n[1]\n---\n", None), (b"---\nlicense: [a, b]\n---\n", None), (b"\xff\xfe", None), (None, None),
    (b"---\nlicense: &a [*a]\n---\n", None), (b"---\nlicense: !!python/object:os.system x\n---\n", None),
], ids=range(9))  # fmt: skip
def test_the_licence(hub: Hub, card: bytes | None, licence: str | None) -> None:
    del hub.repos[NAME][1]["README.md"]
    if card is not None:
        hub.repos[NAME][1]["README.md"] = card
    load_weights(NAME)
    found = cached(parsed(NAME))
    assert found is not None
    assert found.licence == licence


def test_two_that_load_at_once_leave_the_librarys_log_as_it_was(hub: Hub) -> None:
    shown = list[str]()
    log, handler = logging.getLogger("huggingface_hub.file_download"), logging.Handler()
    handler.emit = lambda record: shown.append(record.getMessage())  # type: ignore[method-assign]
    first, second = (snapshot._in_words(parsed(NAME), huggingface_hub) for _ in range(2))
    logging.getLogger("huggingface_hub").addHandler(handler)
    try:
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        log.warning("unseen")
        second.__exit__(None, None, None)
        log.warning("seen")
    finally:
        logging.getLogger("huggingface_hub").removeHandler(handler)
    assert shown == ["seen"]


class Killed(BaseException):
    pass


@pytest.mark.parametrize("last", range(3))
def test_a_folder_that_is_half_copied_is_no_codecs(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: int
) -> None:
    """Also where an older codec was there, whose configuration the newer tensors would fit."""
    load_weights(NAME)
    found = cached(parsed(NAME))
    assert found is not None
    hash_of(hub.repos[NAME][0], tmp_path / "here")
    rename, done = os.replace, list[object]()

    def killed(old: str, new: str) -> None:
        if len(done) == last:
            raise Killed
        rename(old, new)
        done.append(new)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(os, "replace", killed)
        copied(found, tmp_path / "here")
    with pytest.raises(WeightsError, match=r"cannot read .*config\.json"):
        load_weights(tmp_path / "here")
    assert load_weights(copied(found, tmp_path / "here")).codec_hash == load_weights(NAME).codec_hash

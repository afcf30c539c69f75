"""Files of the cache that differ from what the server states: they are fetched anew, or stay as they were."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from huggingface_hub import constants

from streamrvq import HubError
from streamrvq.weights import load_weights
from streamrvq.weights.hub import cached, fetch, parsed
from streamrvq.weights.hub.listing import TENSORS
from tests.support.hub.repository import NAME
from tests.support.hub.server import Hub

KINDS = ("dac", "encodec", "mimi")


def files() -> dict[Path, bytes]:
    """The cache's files, as a reader of its snapshots sees them, and its blobs."""
    cache = Path(constants.HF_HUB_CACHE, f"models--{NAME.replace('/', '--')}")
    return {path: path.read_bytes() for kind in ("snapshots", "blobs") for path in cache.glob(f"{kind}/**/*")
            if path.is_file()}  # fmt: skip


def tensors(linked: bool) -> Path:
    """Those of a fetched codec; ``linked``: as a link, or as a copy of the cache has them that follows links."""
    load_weights(NAME)
    found = cached(parsed(NAME))
    assert found is not None
    if not linked:
        cache = found.folder.parents[1]
        shutil.copytree(cache, cache.with_name("copy"), symlinks=False)
        shutil.rmtree(cache)
        cache.with_name("copy").rename(cache)
        shutil.rmtree(cache / "blobs")
    assert (found.folder / TENSORS).is_symlink() == linked
    return found.folder / TENSORS


@pytest.mark.parametrize("linked", [True, False])
def test_a_damaged_file_is_fetched_anew(hub: Hub, linked: bool) -> None:
    path = tensors(linked)
    right = path.read_bytes()
    path.write_bytes(right[:-100])
    fetch(parsed(NAME), KINDS)
    assert path.read_bytes() == right
    assert not [path for path in files() if "aside" in path.name]


@pytest.mark.parametrize("linked", [True, False])
def test_a_server_that_states_other_hashes_costs_nothing(hub: Hub, linked: bool) -> None:
    path = tensors(linked)
    before = files()
    hub.claims[TENSORS] = path.read_bytes()[:-1] + b"x"
    with pytest.raises(HubError, match=r"came with SHA-256 .* was stated, where the cache had another; wanted the"):
        fetch(parsed(NAME), KINDS)
    assert files() == before
    assert path.is_symlink() == linked
    hub.claims.clear()
    assert fetch(parsed(NAME), KINDS).commit == hub.commit(NAME)


@pytest.mark.parametrize("linked", [True, False])
def test_a_connection_that_breaks_meanwhile(hub: Hub, linked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    path = tensors(linked)
    path.write_bytes(path.read_bytes()[:-100])
    before = files()
    hub.cut, hub.breaks = 3000, 1000
    with pytest.raises(HubError):
        fetch(parsed(NAME), KINDS)
    assert {name: data for name, data in files().items() if name in before} == before


def test_a_request_for_changes_is_a_revision(hub: Hub) -> None:
    """Its slashes are part of URLs and of paths in the cache."""
    old = load_weights(f"{NAME}@v0")
    hub.asked.clear()
    assert load_weights(f"{NAME}@refs/pr/0").codec_hash == old.codec_hash
    assert hub.asked != []
    hub.asked.clear()
    assert load_weights(f"{NAME}@refs/pr/0").source == old.source
    assert hub.asked == []

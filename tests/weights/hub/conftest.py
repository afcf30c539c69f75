"""What the tests of the Hub share: a server on loopback with a small codec, and a cache of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from streamrvq.weights import seeded
from tests.support.hub.repository import NAME, SMALL, files_of
from tests.support.hub.server import Files, Hub, served, turned_to


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> list[Files]:
    """Two commits of a small codec, with other weights in each."""
    return [files_of(seeded(SMALL, seed, name="small"), tmp_path_factory.mktemp("repository")) for seed in (0, 1)]


@pytest.fixture
def hub(repository: list[Files], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A Hub that has it as ``descript/dac_44khz``, and this process turned to it, with an empty cache."""
    monkeypatch.chdir(tmp_path)
    with served({NAME: [dict(files) for files in repository]}) as hub:
        turned_to(hub, tmp_path / "home", monkeypatch)
        yield hub

"""Debian packages by name, ready to be built from: fetched and unpacked once, below one folder.

Knows: where they are kept. Does not know: what is taken from them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from . import debs
from .build import Package
from .sources import Source


def default_cache() -> Path:
    """STREAMRVQ_CACHE or ~/.cache/streamrvq, and corpus in it."""
    return Path(os.environ.get("STREAMRVQ_CACHE") or Path.home() / ".cache" / "streamrvq") / "corpus"


def packages_of(
    sources: Iterable[Source], cache: Path, say: Callable[[str], None] = lambda line: print(line, flush=True)
) -> dict[str, Package]:
    """The packages of ``sources``. Raises `CorpusError` where they cannot be had, saying what to do."""
    names = sorted({source.package for source in sources})
    debs.fetch(cache / "debs", names)
    found = {}
    for name in names:
        deb = debs.find_deb(cache / "debs", name)
        assert deb is not None  # `fetch` has seen to it
        say(f"unpacking {deb.name}")
        debs.unpack(deb, cache / "unpacked" / name)
        found[name] = Package(cache / "unpacked" / name, debs.version(deb), debs.sha256(deb))
    return found

"""Debian packages by name, ready to build from: downloaded and unpacked once, below one folder.

Knows: where they are kept. Does not know: what is used of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from . import debs
from .build import Package
from .sources import Source


def default_cache() -> Path:
    """The folder ``corpus`` in $STREAMRVQ_CACHE, or in ~/.cache/streamrvq; of a user without a home in build."""
    if given := os.environ.get("STREAMRVQ_CACHE"):
        return Path(given) / "corpus"
    try:
        return Path.home() / ".cache" / "streamrvq" / "corpus"
    except RuntimeError:
        return Path("build") / "corpus"


def packages_of(
    sources: Iterable[Source], cache: Path, say: Callable[[str], None] = lambda line: print(line, flush=True)
) -> dict[str, Package]:
    """The packages of ``sources``. Raises `CorpusError`, which says what to do, if they are not available."""
    return packages_named({source.package for source in sources}, cache, say)


def packages_named(
    names: Iterable[str], cache: Path, say: Callable[[str], None] = lambda line: print(line, flush=True)
) -> dict[str, Package]:
    """As `packages_of`, by the packages' names."""
    names = sorted(names)
    debs.fetch(cache / "debs", names)
    found = {}
    for name in names:
        deb = debs.find_deb(cache / "debs", name)
        assert deb is not None  # `fetch` made sure of it
        say(f"unpacking {deb.name}")
        debs.unpack(deb, cache / "unpacked" / name)
        found[name] = Package(cache / "unpacked" / name, debs.version(deb), debs.sha256(deb))
    return found

"""A slice of the suite where torch cannot be imported: what the package promises without it.

    python tests/support/environments/without_torch.py [ARGUMENTS OF PYTEST]

It takes what pyproject.toml installs, the extra [corpus], pytest, pytest-asyncio and Hypothesis. If torch is installed,
its import is refused. A test of these files that needs torch is skipped.

Knows: which files are in the slice. Does not know: what they test.
"""

from __future__ import annotations

import importlib.abc
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SLICE = (
    "cli/test_files.py",
    "corpus/test_shards.py",
    "engine/test_devices.py",
    "engine/test_native.py",
    "live/client/test_resume.py",
    "live/test_tokenize.py",
    "streaming/test_rate_snapshots.py",
    "streaming/test_snapshot.py",
    "test_codec.py",
    "test_old_files.py",
    "tokens/test_file.py",
    "weights/test_layouts.py",
)


class Refusal(importlib.abc.MetaPathFinder):
    """Finds that there is no torch."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: object = None) -> None:
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


if __name__ == "__main__":
    sys.meta_path.insert(0, Refusal())
    files = [str(ROOT / "tests" / name) for name in SLICE]
    raise SystemExit(pytest.main([*files, f"--rootdir={ROOT}", "-m", "not heavy", *sys.argv[1:]]))

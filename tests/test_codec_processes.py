"""A codec in other processes: every start method, both engines, the usual pools, and torch's DataLoader.

Knows: that a codec is an argument like any other. Does not know: how it travels (test_codec_pickle.py).
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from streamrvq.codec import Codec
from tests.support.contract import BUILT, tiny, weights_of
from tests.support.copying import codec_in_processes
from tests.support.paths import ROOT
from tests.support.patience import PATIENCE


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_codec_computes_in_other_processes(method: str, tmp_path: Path) -> None:
    Codec(weights_of(tiny(causal=True))).save(tmp_path / "codec.safetensors")
    command = [sys.executable, str(codec_in_processes.__file__), method, "codec.safetensors", *BUILT]
    done = subprocess.run(
        command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        timeout=2 * PATIENCE,
    )  # fmt: skip
    assert done.stdout == "ok\n", done.stderr
    assert done.returncode == 0, done.stderr

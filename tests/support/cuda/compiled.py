"""The kernels as NVRTC compiles them, and what ptxas says of them: made once for the same sources, kept in build/.

Knows: cuda.core's cache on disk, and its keys. Does not know: what the tests look for.
"""

from __future__ import annotations

import hashlib
import io
import os
from importlib.metadata import distributions
from typing import Any
from unittest import mock

from streamrvq.engine.cuda import compile as compiling
from streamrvq.engine.cuda.driver import core
from tests.support.cuda.making import alone
from tests.support.paths import ROOT

SAID = ROOT / "build" / "ptxas-of-tests"
CACHE = ROOT / "build" / "nvrtc-of-tests"  #: an XDG_CACHE_HOME


def key_of(architecture: str, part: compiling.Part, verbose: bool) -> Any:
    """As `compiling.compile_part` makes it."""
    return core().utils.make_program_cache_key(
        code=(compiling.KERNELS / compiling.SOURCE).read_text(encoding="utf-8"), code_type="c++", target_type="cubin",
        options=compiling.options(architecture, part, verbose), extra_digest=compiling._digest(compiling.KERNELS),
    )  # fmt: skip


def said(architecture: str, part: compiling.Part) -> str:
    """What ptxas says of a part; kept for the next run of the same sources, options, and NVRTC, to its last digit.

    The cubin is put where a process whose XDG_CACHE_HOME is `CACHE` looks for it: ptxas makes the same of the sources
    when it says nothing.
    """
    packages = sorted(f"{found.name} {found.version}" for found in distributions() if "nvrtc" in found.name)
    key = key_of(architecture, part, verbose=True) + repr(packages).encode()
    kept = SAID / f"{hashlib.sha256(key).hexdigest()[:16]}.txt"
    with alone(kept) as mine:
        if mine:
            cubin = compiling.compile_part(architecture, part, log=(log := io.StringIO()))
            CACHE.mkdir(parents=True, exist_ok=True)
            with mock.patch.dict(os.environ, XDG_CACHE_HOME=str(CACHE)):
                core().utils.FileStreamProgramCache()[key_of(architecture, part, verbose=False)] = cubin
            fresh = SAID / f"{kept.stem}.{os.getpid()}"
            fresh.write_text(log.getvalue(), encoding="utf-8")
            fresh.replace(kept)
    return kept.read_text(encoding="utf-8")

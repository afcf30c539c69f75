"""The kernels as machine code: NVRTC with the options that keep the CPU's bits, and cuda.core's cache on disk.

Knows: compilers' options, architectures, the folder kernels/. Does not know: what a kernel computes, GPUs, drivers. A
cubin is compiled without either, so that tests look at all architectures on any machine.

No option here may be left to a default. `-fmad=false`: a product and a sum are fused where the source says so (fmaf),
and nowhere else. `-ftz=false`: denormals stay. `-prec-div` and `-prec-sqrt`: IEEE division and roots.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...errors import EngineError
from .driver import INSTALL, core, first_line

KERNELS = Path(__file__).parent / "kernels"
SOURCE = "kernels.cu"
OLDEST = (8, 0)  #: compute capability: `cp.async` is as old as that
_CACHE_BYTES = 256 << 20  #: of cuda.core's cache, which other programs share


@dataclasses.dataclass(frozen=True)
class Part:
    """Kernels that are compiled together."""

    macro: str  #: kernels.cu leaves out what is not of this part where the macro is defined
    optimisation: int  #: level of ptxas, 0 to 3


#: ptxas orders the main loop of a convolution anew at levels above 1, and registers of one bank meet in it.
PARTS = (
    Part("ONLY_LARGE_TILES", 1), Part("ONLY_SMALL_TILES", 3), Part("ONLY_OTHERS", 3), Part("ONLY_LARGE_MORE", 1),
    Part("ONLY_SMALL_MORE", 3),
)  # fmt: skip


def options(architecture: str, part: Part, verbose: bool = False, folder: Path = KERNELS) -> Any:
    """cuda.core's ``ProgramOptions``: an architecture (``"sm_90"``), a part; ``verbose``: ptxas reports registers."""
    return core().ProgramOptions(
        name=SOURCE,
        arch=architecture,
        std="c++17",
        ftz=False,
        prec_div=True,
        prec_sqrt=True,
        fma=False,
        device_as_default_execution_space=True,  # lambdas within a kernel
        define_macro=[part.macro],
        include_path=str(folder),
        ptxas_options=[f"-O{part.optimisation}", *(["-v"] if verbose else [])],
    )


def architecture(capability: tuple[int, int], known: Sequence[int]) -> str:
    """What to compile for, such as ``"sm_90"``: code runs on its own minor version and on later ones of the same major.

    Args:
        capability: the GPU's, such as (9, 0).
        known: architectures that NVRTC compiles for, such as 80, 86, 90.

    Raises:
        EngineError: a GPU that is too old for the kernels, or too new for NVRTC.
    """
    if capability < OLDEST:
        raise EngineError(
            f"the GPU's compute capability is {capability[0]}.{capability[1]}; the kernels need "
            f"{OLDEST[0]}.{OLDEST[1]} or later (Ampere, 2020): use engine='native'"
        )
    wanted = 10 * capability[0] + capability[1]
    fitting = [number for number in known if number // 10 == capability[0] and number <= wanted]
    if not fitting:
        raise EngineError(
            f"the GPU is of compute capability {capability[0]}.{capability[1]}, and NVRTC here knows "
            f"{', '.join(f'{number // 10}.{number % 10}' for number in known)}; update it: "
            "pip install --upgrade nvidia-cuda-nvrtc"
        )
    return f"sm_{max(fitting)}"


def known_architectures() -> list[int]:
    """What NVRTC compiles for, such as 90 for ``"sm_90"``.

    Raises:
        EngineError: there is no NVRTC.
    """
    core()
    from cuda.bindings import nvrtc

    try:
        code, numbers = nvrtc.nvrtcGetSupportedArchs()
    except Exception as error:  # of the bindings, in as many kinds as there are ways to miss a library
        raise EngineError(f"the cuda engine needs NVRTC, and {first_line(error)}; {INSTALL}") from error
    if int(code):
        raise EngineError(f"NVRTC did not tell what it compiles for: error {int(code)}; reinstall it: {INSTALL}")
    return [int(number) for number in numbers]


def check_driver(version: int) -> None:
    """Refuse a driver that cannot load what NVRTC makes: it must not be of an older major version (12.4 is 12040).

    Raises:
        EngineError: it is.
    """
    from cuda.bindings import nvrtc

    _, major, minor = nvrtc.nvrtcVersion()
    if version // 1000 < major:
        raise EngineError(
            f"NVIDIA's driver here is of CUDA {version // 1000}.{version % 1000 // 10}, and NVRTC of {major}.{minor}: "
            f"update the driver, or pip install 'cuda-core[cu{version // 1000}]'"
        )


def compile_part(architecture: str, part: Part, folder: Path = KERNELS, anew: bool = False, log: Any = None) -> bytes:
    """The cubin of one part, out of the cache on disk where it was made before.

    Args:
        anew: compile it even if the cache has it, and keep that instead: what is there may be damaged.
        log: a text file for what ptxas says of registers and memory (not cached).

    Raises:
        EngineError: NVRTC refused the source, or is not there.
    """
    code = (folder / SOURCE).read_text(encoding="utf-8")
    chosen = options(architecture, part, log is not None, folder)
    cache, key = None, b""
    if log is None:
        key = core().utils.make_program_cache_key(
            code=code, code_type="c++", options=chosen, target_type="cubin", extra_digest=_digest(folder)
        )
        try:
            cache = core().utils.FileStreamProgramCache(max_size_bytes=_CACHE_BYTES)
            if not anew and (known := cache.get(key)) is not None:
                return bytes(known)
        except OSError:  # a home that cannot be written: seconds at every start, and no more
            cache = None
    try:
        cubin: bytes = core().Program(code, "c++", chosen).compile("cubin", logs=log).code
    except Exception as error:  # NVRTCError, or of the bindings
        raise EngineError(
            f"NVRTC did not compile the kernels for {architecture}: {error}; this is a bug in streamrvq, or in NVRTC: "
            "please report it, and use engine='native'"
        ) from error
    if cache is not None:
        with contextlib.suppress(OSError):  # a full disk
            cache[key] = cubin
    return cubin


def _digest(folder: Path) -> bytes:
    """Of all sources: an #include is in no other key."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix in (".cu", ".cuh", ".inc"):
            content = path.read_bytes()
            digest.update(f"{path.name} {len(content)}\n".encode())
            digest.update(content)
    return digest.digest()

"""The GPU, its driver and its clocks, the versions that are in use, and how long the kernels take to compile.

Knows: nvidia-smi, versions. Does not know: kernels.
"""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
import time

from streamrvq.engine.cuda import compile as compiling

from .context import Context

ASKED = "name,driver_version,clocks.sm,clocks.max.sm,clocks.mem,power.draw,power.limit,temperature.gpu,memory.total"
PACKAGES = ("numpy", "torch", "transformers", "cuda-core", "cuda-bindings", "nvidia-cuda-nvrtc")


def smi() -> str:
    """A line of nvidia-smi, or why there is none."""
    try:
        command = ["nvidia-smi", f"--query-gpu={ASKED}", "--format=csv,noheader"]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()
    except (OSError, subprocess.SubprocessError) as error:
        return f"no nvidia-smi: {error}"


def card(context: Context) -> None:
    """What there is. The first opening compiles, the second reads the cache."""
    context.say(f"{ASKED}\n{smi()}", smi=smi())
    versions = {name: version(name) for name in PACKAGES}
    context.say(f"Python {platform.python_version()}, {versions}", versions=versions)
    seconds = []
    for _ in range(2):
        begin = time.perf_counter()
        device = context.open()
        seconds.append(time.perf_counter() - begin)
    context.say(
        f"{device.name}: {device.multiprocessors} multiprocessors, {device.free_memory / 1e9:.1f} GB free, "
        f"{getattr(device, 'shared_memory', 0)} bytes of shared memory a block; opened in {seconds[0]:.1f} s with "
        f"NVRTC ({len(compiling.PARTS)} parts), then in {seconds[1]:.2f} s",
        name=device.name, seconds=seconds, multiprocessors=device.multiprocessors,
    )  # fmt: skip


def version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "none"

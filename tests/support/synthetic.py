"""Synthetic sounds, Debian packages and archives for the tests of tools/corpus."""

import io
import lzma
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import soundfile


def tone(seconds: float, rate: int = 44100, seed: int = 0, channels: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    wave = 0.4 * np.sin(np.arange(round(seconds * rate)) * 0.03 * (1 + seed % 7))
    return (wave[:, None] + 0.05 * rng.standard_normal((len(wave), channels))).astype(np.float32).squeeze()


def sound(seconds: float, rate: int = 44100, seed: int = 0, channels: int = 1) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, tone(seconds, rate, seed, channels), rate, format="WAV", subtype="PCM_16")
    return file.getvalue()


def make_deb(path: Path, files: dict[str, bytes]) -> Path:
    """A package as dpkg-deb would make it, without what is not read here."""
    tar_file = io.BytesIO()
    with tarfile.open(fileobj=tar_file, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(f"./{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    data = b"!<arch>\n"
    members = {
        "debian-binary": b"2.0",
        "control.tar.xz": b"x",
        "data.tar.xz": lzma.compress(tar_file.getvalue(), preset=0),
    }
    for name, content in members.items():
        data += b"%-16s%-12d%-6d%-6d%-8s%-10d`\n" % (name.encode(), 0, 0, 0, b"100644", len(content))
        data += content + b"\n" * (len(content) % 2)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def zipped(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()

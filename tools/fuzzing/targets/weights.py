"""Files of weights, in all three layouts."""

from __future__ import annotations

import io
import zipfile
from functools import lru_cache
from pathlib import Path

from streamrvq.weights import load_weights, save_weights

from ..small import weights
from ..target import Target, scratch, written


def _safetensors(data: bytes) -> None:
    load_weights(written("weights.safetensors", data))


def _saved(name: str) -> Path:
    path = scratch(name)
    save_weights(weights(), path)
    return path


def _safetensors_seeds() -> list[bytes]:
    return [_saved("seed.safetensors").read_bytes()]


def _pth(data: bytes) -> None:
    load_weights(written("weights.pth", data))


@lru_cache(maxsize=1)
def _pth_seeds() -> list[bytes]:
    return [_saved("seed.pth").read_bytes()]


def pth_with(pickle: bytes) -> bytes:
    """A .pth of the small codec, whole and with right checksums, but with another pickle."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(_pth_seeds()[0])) as old, zipfile.ZipFile(out, "w") as new:
        for member in old.infolist():
            inside = pickle if member.filename.endswith("data.pkl") else old.read(member)
            new.writestr(member.filename, inside)
    return out.getvalue()


def pth_pickle() -> bytes:
    """The pickle of the small codec's .pth."""
    with zipfile.ZipFile(io.BytesIO(_pth_seeds()[0])) as archive:
        return next(archive.read(name) for name in archive.namelist() if name.endswith("data.pkl"))


def _folder(config: bytes | None = None, tensors: bytes | None = None) -> Path:
    folder = scratch("huggingface")
    if not folder.is_dir():
        _saved("huggingface")
        for name in ("config.json", "model.safetensors"):
            (folder / f"right-{name}").write_bytes((folder / name).read_bytes())
    for name, data in (("config.json", config), ("model.safetensors", tensors)):
        (folder / name).write_bytes((folder / f"right-{name}").read_bytes() if data is None else data)
    return folder


TARGETS = (
    Target("weights", "weights: .safetensors", _safetensors, _safetensors_seeds),
    Target("pth", "weights of descript's: .pth", _pth, _pth_seeds),
    Target("pth-pickle", "the pickle in a .pth", lambda data: _pth(pth_with(data)), lambda: [pth_pickle()]),
    Target(
        "hf-config", "config.json in a Hugging Face folder",
        lambda data: load_weights(_folder(config=data)), lambda: [(_folder() / "config.json").read_bytes()],
    ),
    Target(
        "hf-tensors", "model.safetensors in a Hugging Face folder",
        lambda data: load_weights(_folder(tensors=data)), lambda: [(_folder() / "model.safetensors").read_bytes()],
    ),
)  # fmt: skip

"""Loading and saving weights in any layout: the two functions that the rest of the package uses.

Knows: presets, and which layout a name stands for. Does not know: what is in a layout, how the Hub is asked.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Literal, get_args

from ..audio.find import audio_suffixes
from ..config import PRESETS
from ..errors import WeightsError
from ..families import FAMILIES
from ..system.foreign_data import foreign_data, shown
from . import descript, folder, hub, huggingface, store
from .seeded import seeded
from .value import Weights

Layout = Literal["streamrvq", "descript", "huggingface"]
#: How a source begins that asks for random weights in the shape of the preset after it.
_SEEDED = "seeded:"
_WANTED = "a preset's name, owner/name on the Hub, a file or a folder"
_DATA = Path(__file__).parent / "data"
#: Of files, and the layout that each stands for.
SUFFIXES: dict[str, Layout] = {".safetensors": "streamrvq", ".pth": "descript", ".pt": "descript"}


def load_weights(source: str | os.PathLike[str]) -> Weights:
    """Load a preset by name, or a file or folder of any layout.

    Args:
        source: a preset's name; a .safetensors file of ours; a .pth of descript; a Hugging Face folder; or a
            model's name on the Hugging Face Hub, ``owner/name`` or ``owner/name@revision``, which is fetched unless the
            cache has it. The presets in `hub.RELEASED` are such names. A preset that has no trained weights anywhere is
            `seeded`, with ``trained`` False, and so is what begins with ``seeded:``.

    Raises:
        WeightsError: it is none of these, cannot be read, or does not fit together. The message says what to do.
        HubError: a name on the Hub that is not there, not open to you, or cannot be fetched.
        ExtraError: it is a .pth, and torch is not installed; or a name on the Hub, and huggingface_hub is not.
    """
    _check_given(source, _WANTED)
    if isinstance(source, str) and source.startswith(_SEEDED):
        return _stand_in(source)
    if isinstance(source, str) and source in PRESETS and source not in hub.RELEASED:
        packaged = _DATA / f"{source}.safetensors"
        weights = store.read(packaged) if packaged.is_file() else seeded(PRESETS[source], name=source)
        return weights.loaded_from(source)
    name = hub.name_of(source)
    if name is not None:
        found = hub.folder_of(name, tuple(FAMILIES))
        weights = _read(source, found.folder)
        # Pinned: whoever reads them again gets the same commit, without asking for it.
        return dataclasses.replace(weights, name=name.spelled).loaded_from(found.pinned)
    # Absolute: whoever reads them again may be in another folder.
    return _read(source, Path(source)).loaded_from(os.path.abspath(source))


def with_weights(source: str | os.PathLike[str], weights: str | None) -> str | os.PathLike[str]:
    """``source``; with ``weights`` "seeded" the source of random weights in a preset's shape.

    Raises:
        WeightsError: any other ``weights``.
    """
    if weights is None:
        return source
    if weights != "seeded":
        raise WeightsError(f"weights is {shown(weights)}; wanted 'seeded' for random ones, or None for the real ones")
    _check_given(source, _WANTED)
    named = os.fspath(source)
    return named if named.startswith(_SEEDED) else f"{_SEEDED}{named}"


def _check_given(name: object, wanted: str) -> None:
    """Refuse what is no name, such as None or "" of a variable that is not set. A path would take "" for this folder.

    Raises:
        WeightsError: it is none; ``wanted`` says what is one.
    """
    if not isinstance(name, (str, os.PathLike)):
        raise WeightsError(f"{shown(name)} was given for weights; wanted {wanted}")
    if not os.fspath(name):
        raise WeightsError(f"an empty name was given for weights; wanted {wanted}, such as . for this one")


def _stand_in(source: str) -> Weights:
    """The seeded weights of a source that asks for them."""
    preset = source.removeprefix(_SEEDED)
    if preset not in PRESETS:
        raise WeightsError(
            f"seeded weights were asked for of {shown(preset)}, which is no preset; wanted one of {', '.join(PRESETS)}"
        )
    return seeded(PRESETS[preset], name=preset).loaded_from(source)


def load_again(source: str, codec_hash: str) -> Weights:
    """The weights that were loaded from `Weights.source` before, in this process or in another.

    Raises:
        WeightsError: they are gone, or others are there now.
    """
    try:
        weights = load_weights(source)
    except WeightsError as error:
        raise WeightsError(
            f"the weights of a codec that was loaded from {source} cannot be read again: {error}"
        ) from None
    if weights.codec_hash != codec_hash:
        raise WeightsError(
            f"{source} has changed since it was loaded: its codec hash is {weights.codec_hash[:12]}… and was "
            f"{codec_hash[:12]}…; load it again, or put the file back"
        )
    return weights


def _read(source: str | os.PathLike[str], path: Path) -> Weights:
    named = os.fspath(source)
    with foreign_data(WeightsError, named, "wanted weights of a codec: fetch or save them again"):
        is_folder = os.path.isdir(path)  # unlike Path's, it takes a name that is too long
        if is_folder and any(os.path.lexists(path / name) for name in ("config.json", "model.safetensors")):
            return folder.read(path)
        layout = SUFFIXES.get(path.suffix.lower())
        if is_folder or layout is None or not os.path.isfile(path):
            what = "is no file of weights" if os.path.exists(path) else "is neither a preset nor a file"
            if is_folder:
                what = "is a folder without a codec's config.json"
            elif os.path.exists(path) and path.suffix.lower() in audio_suffixes():
                what = "is an audio file, and no codec"
            raise WeightsError(
                f"{named!r} {what}; wanted one of the presets {', '.join(PRESETS)}, "
                "a .safetensors or .pth file, a Hugging Face folder, or owner/name on the Hub: check the name"
            )
        return store.read(path) if layout == "streamrvq" else descript.read(path)


def save_weights(
    weights: Weights, path: str | os.PathLike[str], layout: Layout | None = None, half: bool = False
) -> None:
    """Write ``weights`` so that `load_weights` can read them.

    Args:
        weights: what to write.
        path: a file, or for ``huggingface`` a folder, which is created. An older one is replaced.
        layout: None: from ``path``. .safetensors → "streamrvq"; .pth or .pt → "descript"; a name without a suffix, or
            an existing folder → "huggingface".
        half: store float16. Only for the layout "streamrvq", and only if no value changes.

    Raises:
        WeightsError: the path shows no layout, the layout cannot hold these weights, or writing failed.
        ExtraError: the layout is "descript", and torch is not installed.
    """
    _check_given(path, "the path of a file or a folder")
    path = Path(path)
    if layout is None:
        is_folder = os.path.isdir(path) or not path.suffix
        layout = "huggingface" if is_folder else SUFFIXES.get(path.suffix.lower())
    if layout not in get_args(Layout):
        raise WeightsError(
            f"{path} with layout {shown(layout)} tells no layout; wanted a name in .safetensors or .pth, or a folder: "
            f"rename it, or give one of {', '.join(get_args(Layout))}"
        )
    if half and layout != "streamrvq":
        raise WeightsError(f"half was asked for in layout {layout}; only .safetensors has it: leave half out")
    if layout == "streamrvq":
        store.save(weights, path, half)
    elif layout == "descript":
        descript.save(weights, path)
    else:
        huggingface.save(weights, path)

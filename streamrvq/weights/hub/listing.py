"""What a model's repository has, and what of it is fetched: text and tensors, never code or pickles.

Knows: names of files. Does not know: how they are fetched, what is in them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from ...config import LIMITS
from ...errors import HubError
from ...system.foreign_data import one_line, shown

CONFIG, TENSORS, CARD = "config.json", "model.safetensors", "README.md"
_PICKLES = (".bin", ".pth", ".pt", ".ckpt", ".th", ".pkl", ".pickle")
#: Bytes of each at most: those of tensors that are all float64, and a header beside them.
_MOST = {CONFIG: LIMITS["json"], TENSORS: 8 * LIMITS["weights"] + (4 << 20), CARD: 1 << 20}


@dataclasses.dataclass(frozen=True)
class Listed:
    """A file of a repository.

    Attributes:
        name: within the repository.
        size: in bytes; None: the server does not say.
        sha256: of a large file, which is stored apart; None: of a small one, or unknown.
        blob: git's name for a small one, the SHA-1 of a head and its bytes; None: unknown.
    """

    name: str
    size: int | None
    sha256: str | None
    blob: str | None


def listed(siblings: Iterable[Any]) -> dict[str, Listed]:
    """The files that a server lists, as huggingface_hub gives them, under their names."""
    files = {}
    for found in siblings:
        sha256 = getattr(found.lfs, "sha256", None)
        size = found.size if isinstance(found.size, int) else None
        blob = None if sha256 else found.blob_id  # of a large file this is git's name for a pointer to it
        files[found.rfilename] = Listed(found.rfilename, size, sha256, blob)
    return files


def wanted(repo: str, files: dict[str, Listed]) -> list[Listed]:
    """The files to fetch, the configuration first: it decides whether the others are.

    Raises:
        HubError: one that is needed is missing or too large. The message says what there is instead.
    """
    lacking = [name for name in (CONFIG, TENSORS) if name not in files]
    if lacking:
        raise HubError(f"{repo} has {_instead(files)} and no {' and no '.join(lacking)}; {_remedy(files)}")
    chosen = [files[name] for name in (CONFIG, TENSORS, CARD) if name in files]
    for file in chosen:
        if file.size is not None and file.size > _MOST[file.name]:
            if file.name == CARD:
                return chosen[:-1]
            raise HubError(
                f"{file.name} of {repo} has {file.size} bytes; wanted at most {_MOST[file.name]}: it is no codec's"
            )
    return chosen


def _instead(files: dict[str, Listed]) -> str:
    pickles = [name for name in files if name.lower().endswith(_PICKLES)]
    if any(name.startswith(TENSORS) for name in files if name != TENSORS):
        return "tensors in several files"
    if pickles and TENSORS not in files:
        return f"a pickle ({one_line(pickles[0], 60)})"
    others = sorted(files)[:3]
    return f"other files ({one_line(', '.join(others), 80)})" if others else "no files"


def _remedy(files: dict[str, Listed]) -> str:
    if TENSORS not in files and any(name.lower().endswith(_PICKLES) for name in files):
        return (
            "wanted safetensors, for a pickle can run code: where you trust it, load it with its own package, call "
            "save_pretrained(FOLDER), and give that folder"
        )
    return "wanted a model as transformers saves it: check the name, or ask for another revision"


def check_kind(repo: str, values: object, kinds: tuple[str, ...]) -> None:
    """Refuse a configuration of another kind of model before its tensors are fetched.

    Args:
        repo: where it is from.
        values: what its config.json holds.
        kinds: the ``model_type`` of all that can be read.

    Raises:
        HubError: it is of none of them.
    """
    came = values.get("model_type") if isinstance(values, dict) else None
    if came not in kinds:
        names = ", ".join(f'"{kind}"' for kind in kinds)
        raise HubError(f"{repo} has model_type {shown(came)}; wanted one of {names}: no other can be read")

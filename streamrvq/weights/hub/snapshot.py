"""A name on the Hub as a folder here: from huggingface_hub's cache, or fetched into it.

What is in the cache is used as it is and nobody is asked, so that a name means the same weights until `fetch` is
called. All files are of one commit. Their sizes and hashes are compared with what the server states, before the cache
calls that commit the newest.

Knows: huggingface_hub, its cache, ``HF_HUB_OFFLINE``. Does not know: what is in the files.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from ...errors import ExtraError, HubError, StreamRVQError
from ...system.foreign_data import foreign_data, one_line, shown
from ...system.optional import need
from .aside import aside, remove
from .checksums import differs
from .listing import CARD, CONFIG, TENSORS, Listed, check_kind, listed, wanted
from .names import COMMIT, HubName
from .refusals import offline, refused, sought, token_unusable

_ASK = 15.0  #: seconds that the server may take to say what it has
_ROUNDS = 3  #: times that a branch may move while it is fetched
_SPARE = 64 << 20  #: bytes that stay free on the disk


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """One commit of a model in the cache.

    Attributes:
        name: what was asked for.
        commit: 40 hex digits.
        folder: with config.json and model.safetensors, perhaps as links.
        size: of its files, in bytes.
        licence: of the weights, as the model's card names it; None: it names none, or there is no card.
        unchecked: files for which the server stated no hash: only their sizes were compared.
    """

    name: HubName
    commit: str
    folder: Path
    size: int
    licence: str | None
    unchecked: tuple[str, ...] = ()

    @property
    def pinned(self) -> str:
        """The name of this commit: with it, others load the same weights, whatever ``main`` is by then."""
        return f"{self.name.spelled}@{self.commit}"


def cached(name: HubName) -> Snapshot | None:
    """What the cache has of ``name``, if that is all that is needed. No server is asked.

    Raises:
        HubError: the cache is damaged, or may not be read.
        ExtraError: huggingface_hub is not installed.
    """
    hub = _library(name)
    what = f"what the cache has of {name}"
    cache = need("huggingface_hub.constants", "hub", "names on the Hub need").HF_HUB_CACHE
    kept = os.path.join(cache, f"models--{name.repo.replace('/', '--')}")
    try:
        with foreign_data(HubError, what, f"wanted the files of huggingface_hub: remove {kept}, and fetch it again"):
            return _found(name, hub)
    except OSError as error:
        at = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else kept
        raise HubError(
            f"{what} cannot be read ({one_line(error.strerror or error)}: {one_line(at, 1000)}); wanted files that may "
            "be read: check their rights, or set HF_HOME to another folder"
        ) from None


def _found(name: HubName, hub: Any) -> Snapshot | None:
    """`cached`, in the words of whoever raises."""
    paths = [
        hub.try_to_load_from_cache(name.repo, file, revision=name.revision or "main") for file in (CONFIG, TENSORS)
    ]
    if not all(isinstance(path, str) for path in paths):
        return None
    folder = Path(paths[0]).parent
    return _snapshot(name, folder, [file for file in (CONFIG, TENSORS, CARD) if os.path.isfile(folder / file)])


def folder_of(name: HubName, kinds: tuple[str, ...]) -> Snapshot:
    """The cache's snapshot of ``name``, fetched if it is not there. Raises as `fetch`."""
    return cached(name) or fetch(name, kinds)


def fetch(name: HubName, kinds: tuple[str, ...]) -> Snapshot:
    """Ask the server for ``name``, and fetch what the cache lacks. On a terminal huggingface_hub shows bars.

    A connection that breaks is made again, and goes on where it was.

    Args:
        name: on the server that ``HF_ENDPOINT`` names.
        kinds: the ``model_type`` of all that can be read; others are refused before their tensors are fetched.

    Raises:
        HubError: the server refuses the name, lacks it, has other files, cannot be reached, or sent something else than
            it stated; or the cache cannot be written. What the cache had before, it has after.
        ExtraError: huggingface_hub is not installed.
    """
    hub = _library(name)
    with _in_words(name, hub):
        for _ in range(_ROUNDS):
            snapshot = _round(name, kinds, hub)
            if snapshot is not None:
                return snapshot
    raise HubError(f"{name} moved to another commit {_ROUNDS} times while it was fetched; wanted it to stay: try again")


def _library(name: HubName) -> Any:
    """The module huggingface_hub."""
    try:
        need("huggingface_hub.constants", "hub", "names on the Hub need")  # which reads the environment
        return need("huggingface_hub", "hub", "names on the Hub need")
    except ValueError as error:
        raise HubError(
            f"{sought(name)}; huggingface_hub cannot read its settings ({one_line(error, 120)}); wanted whole seconds "
            "in HF_HUB_ETAG_TIMEOUT and HF_HUB_DOWNLOAD_TIMEOUT: check the variables that begin with HF_"
        ) from None
    except ExtraError as error:
        raise ExtraError(f"{sought(name)}; {error}") from None


def _round(name: HubName, kinds: tuple[str, ...], hub: Any) -> Snapshot | None:
    """`fetch`; None if the branch moved meanwhile."""
    info = hub.HfApi(library_name="streamrvq").model_info(
        name.repo, revision=name.revision, files_metadata=True, timeout=_ASK
    )
    if not isinstance(info.sha, str) or not COMMIT.fullmatch(info.sha):
        raise HubError(
            f"{hub.constants.ENDPOINT} states {shown(info.sha)} as the commit of {name}; wanted 40 hex digits: check "
            "HF_ENDPOINT"
        )
    files = wanted(name.repo, listed(info.siblings or ()))
    unchecked = []
    for file in files:
        if file.name == TENSORS:
            _check_room(name, file, info.sha, hub)
        path, is_checked = _fetched(name, file, info.sha, hub)
        if not is_checked:
            unchecked.append(file.name)
        if file.name == CONFIG:
            check_kind(name.repo, _json(path), kinds)
    # Only now the branch's commit is noted, so that what the cache had is whole until then.
    noted = Path(hub.hf_hub_download(name.repo, CONFIG, revision=name.revision, library_name="streamrvq")).parent
    if noted.name != info.sha:
        return None
    return _snapshot(name, noted, [file.name for file in files], tuple(unchecked))


def _fetched(name: HubName, file: Listed, commit: str, hub: Any) -> tuple[Path, bool]:
    """A file in the cache, and whether its hash was compared. One that differs from what is stated is fetched anew."""
    had = isinstance(hub.try_to_load_from_cache(name.repo, file.name, revision=commit), str)
    path, why, is_checked = _compared(name, file, commit, hub)
    if why is None:
        return path, is_checked
    with aside(path) if had else nullcontext():
        path, why, is_checked = _compared(name, file, commit, hub, again=True)
        if why is None:
            return path, is_checked
        remove(path)
        raise HubError(
            f"{file.name} of {name} came with {why}, {'where the cache had another' if had else 'twice'}; wanted the "
            f"bytes that {hub.constants.ENDPOINT} states: check proxies and mirrors on the way, and fetch it again"
        )


def _compared(name: HubName, file: Listed, commit: str, hub: Any, again: bool = False) -> tuple[Path, str | None, bool]:
    """A file in the cache, and what `differs` says of it."""
    path = hub.hf_hub_download(name.repo, file.name, revision=commit, force_download=again, library_name="streamrvq")
    return Path(path), *differs(Path(path), file)


def _check_room(name: HubName, file: Listed, commit: str, hub: Any) -> None:
    cache = Path(hub.constants.HF_HUB_CACHE)
    if file.size is None or isinstance(hub.try_to_load_from_cache(name.repo, file.name, revision=commit), str):
        return
    there = next(path for path in (cache, *cache.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free
    if free < file.size + _SPARE:
        raise HubError(
            f"{file.name} of {name} has {file.size} bytes, and {there} has {free} free; wanted "
            f"{file.size + _SPARE}: make room, or set HF_HOME to another disk"
        )


@contextmanager
def _in_words(name: HubName, hub: Any) -> Iterator[None]:
    """Whatever huggingface_hub raises inside becomes a `HubError`, and its own remarks are kept off stderr."""

    def is_shown(record: logging.LogRecord) -> bool:
        return record.levelno >= logging.CRITICAL or record.name.partition(".")[0] != "huggingface_hub"

    # A filter of this call alone: of two that load at once, neither undoes what the other did.
    handlers = [*logging.getLogger("huggingface_hub").handlers, *logging.getLogger().handlers]
    try:
        for handler in handlers:
            handler.addFilter(is_shown)
        yield
    except StreamRVQError:
        raise
    except Exception as error:
        errors = need("huggingface_hub.errors", "hub", "fetching needs")
        if isinstance(error, errors.OfflineModeIsEnabled):
            had = cached(name)
            raise offline(name, str(hub.constants.HF_HUB_CACHE), None if had is None else had.pinned) from None
        if isinstance(error, UnicodeError):
            cached(name)  # which says so where it is the cache that cannot be read
            if not _is_token_plain(hub):
                raise token_unusable(name, str(hub.constants.HF_TOKEN_PATH)) from None
        raise refused(name, error, hub.constants.ENDPOINT, errors) from None
    finally:
        for handler in handlers:
            handler.removeFilter(is_shown)


def _is_token_plain(hub: Any) -> bool:
    """Whether the token can be sent; True if there is none."""
    try:
        token = hub.get_token()
    except UnicodeError:
        return False
    return token is None or str(token).isascii()


def _json(path: Path) -> Any:
    with suppress(ValueError, RecursionError, OSError):
        return json.loads(path.read_bytes())
    return None


def _snapshot(name: HubName, folder: Path, files: list[str], unchecked: tuple[str, ...] = ()) -> Snapshot:
    size = sum((folder / file).stat().st_size for file in files)
    return Snapshot(name, folder.name, folder, size, licence_of(folder), unchecked)


def licence_of(folder: Path) -> str | None:
    """The licence that a model's card names in its head, in one line; None: there is none, or it names none."""
    if not os.path.isfile(folder / CARD):
        return None
    try:
        head = need("huggingface_hub.repocard", "hub", "cards need").metadata_load(folder / CARD)
    except Exception:  # whatever a card holds, the weights can be read
        return None
    given = (head or {}).get("license_name") or (head or {}).get("license")
    return one_line(given, 80) if isinstance(given, str) and given else None

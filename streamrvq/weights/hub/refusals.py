"""What goes wrong between here and the Hub, each in a sentence: what came, what was wanted, what to do.

Knows: the exceptions of huggingface_hub by name, HTTP's status codes. Does not know: how anything is fetched.
"""

from __future__ import annotations

import errno
import os
from typing import Any

from ...errors import HubError
from ...system.foreign_data import one_line
from .names import HubName

_OF_THE_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EIO}


def elsewhere(name: HubName) -> str:
    """How to fetch on another machine what cannot be fetched on this one."""
    folder = name.repo.partition("/")[2]
    return (
        f"where there is a network, run 'streamrvq fetch {name} --to {folder}' (or 'hf download {name.repo}"
        f"{f' --revision {name.revision}' if name.revision else ''} --local-dir {folder}'), copy that folder here and "
        "give its path; or copy the cache, and set HF_HOME to where it is"
        + (f"; 'seeded:{name.short}' are random weights of its shape" if name.short else "")
    )


def sought(name: HubName) -> str:
    """What was given and is no path, to begin a sentence with."""
    return f"{name} is {name.repo} on the Hugging Face Hub" if name.short else f"{name} is no file or folder here"


def offline(name: HubName, cache: str, has: str | None) -> HubError:
    """The environment forbids to ask. ``has`` is what the cache has of ``name``; None: nothing."""
    older = os.environ.get("TRANSFORMERS_OFFLINE") and not os.environ.get("HF_HUB_OFFLINE")
    variable = "TRANSFORMERS_OFFLINE" if older else "HF_HUB_OFFLINE"
    if has is not None:
        return HubError(
            f"{variable} is set, so that no server is asked for {name}; the cache {cache} has {has}, which is "
            "loaded: to look for newer weights, unset it"
        )
    return HubError(
        f"{sought(name)} and not in the cache {cache}, and {variable} is set; wanted config.json and "
        f"model.safetensors: {elsewhere(name)}"
    )


def token_unusable(name: HubName, path: str) -> HubError:
    """The token is none that could be sent. ``path`` is where huggingface_hub keeps one."""
    return HubError(
        f"{name.repo} cannot be asked for: the token, of HF_TOKEN or in {path}, has characters that no token has; "
        "wanted letters, digits and _: set it again, or run 'hf auth login'"
    )


def refused(name: HubName, error: Exception, endpoint: str, errors: Any) -> HubError:
    """The error for what huggingface_hub raised.

    Args:
        name: what was asked for.
        error: what it raised.
        endpoint: the server's address.
        errors: the module ``huggingface_hub.errors``.
    """
    repo, status, endpoint = name.repo, _status(error), endpoint or "an empty HF_ENDPOINT"
    answered = f"{endpoint} answered HTTP {status}" if status else endpoint
    revision = name.revision or "main"
    if isinstance(error, errors.GatedRepoError):
        return HubError(
            f"{repo} is gated: {answered}; wanted a token of an account that may read it: accept its terms at "
            f"{endpoint}/{repo}, then run 'hf auth login' or set HF_TOKEN"
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return HubError(
            f"{repo} is neither a folder here nor a model that {endpoint} shows (HTTP {status}); wanted a name that "
            "is there: check the spelling, and for a private model run 'hf auth login' or set HF_TOKEN"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return HubError(
            f"{repo} has no revision {one_line(revision)} ({answered}); wanted a branch, a tag or a commit of it: "
            "leave it out for the newest of main"
        )
    if isinstance(error, errors.RemoteEntryNotFoundError):
        return HubError(
            f"{repo} lists a file that {answered} for; wanted all that it lists: try again, or ask its owner"
        )
    if status in (401, 403):
        return HubError(
            f"{repo} was refused: {answered}; wanted a token that may read it: run 'hf auth login', or check HF_TOKEN"
        )
    if status == 429:
        return HubError(f"{repo} was refused: {answered}, too many requests; wait a while, or set HF_TOKEN")
    if status:
        return HubError(f"{repo} was not sent: {answered}; wanted its files: try again later, or check HF_ENDPOINT")
    if isinstance(error, OSError) and error.errno in _OF_THE_DISK:
        where = f": {os.fsdecode(error.filename)}" if isinstance(error.filename, (str, bytes)) else ""
        return HubError(
            f"{repo} cannot be kept here: {error.strerror or error}{where}; wanted a writable folder with room for it: "
            "check it, or set HF_HOME to another"
        )
    if "onsistency check failed" in str(error):
        return HubError(
            f"{repo} came incomplete: {one_line(str(error).partition('.')[0])}; wanted the size that {endpoint} "
            "states: fetch it again, and check proxies and mirrors on the way"
        )
    if isinstance(error, (LookupError, TypeError, ValueError, AttributeError)):
        return HubError(
            f"{repo} cannot be fetched: {endpoint} does not answer as the Hub does ({one_line(_reason(error), 120)}); "
            "wanted a server that does: check HF_ENDPOINT, and proxies that want a login"
        )
    return HubError(
        f"{repo} cannot be fetched from {endpoint} ({one_line(_reason(error), 160)}); wanted a server of the Hub "
        f"there: check the network, proxies and HF_ENDPOINT; or, {elsewhere(name)}"
    )


def _status(error: BaseException) -> int:
    """The HTTP status that an error is about; 0: none came."""
    seen: list[BaseException] = []
    at: BaseException | None = error
    while at is not None and at not in seen:
        status = getattr(getattr(at, "response", None), "status_code", 0)
        if isinstance(status, int) and status:
            return status
        seen.append(at)
        at = at.__cause__
    return 0


def _reason(error: BaseException) -> str:
    """The innermost cause in words: the outer ones tell of huggingface_hub's arguments."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__

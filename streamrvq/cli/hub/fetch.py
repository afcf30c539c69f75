"""``streamrvq fetch``: a codec's weights from the Hugging Face Hub, into the cache or a folder.

Knows: options and the line that says what came. Does not know: how anything is fetched (weights/hub/).
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from ...errors import HubError
from ...families import FAMILIES
from ...weights import load_weights
from ...weights.hub import Snapshot, cached, copied, parsed
from ...weights.hub import fetch as fetched
from ..common import JsonOption, note, out, print_json


def fetch(
    name: Annotated[str, typer.Argument(help="owner/name or owner/name@revision, such as descript/dac_44khz.")],
    revision: Annotated[
        str | None, typer.Option("--revision", help="A branch, a tag or a commit. Default: the newest of main.")
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option("--to", help="Also copy it into this folder, for a machine without a network. It can be loaded."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Fetch a codec's weights from the Hugging Face Hub, or what is newer there; loading asks no server after that."""
    wanted = parsed(name if revision is None else f"{name}@{revision}")
    try:
        snapshot = fetched(wanted, tuple(FAMILIES))
    except HubError:
        had = None
        with suppress(HubError):  # of the cache: what came first is told
            had = cached(wanted)
        if had is not None:
            note(f"the cache has {had.pinned}, and {wanted} is loaded from there")
        raise
    weights = load_weights(snapshot.pinned)  # reads it all, so that nobody finds out elsewhere that it cannot be
    folder = snapshot.folder if to is None else copied(snapshot, to)
    if json:
        print_json({
            **origin(snapshot), "folder": str(folder), "codec_hash": weights.codec_hash,
            "unchecked": list(snapshot.unchecked),
        })  # fmt: skip
        return
    licence = f"licence {snapshot.licence}" if snapshot.licence else "no licence named by its card"
    out().print(
        f"{wanted}: {snapshot.size / 1e6:.1f} MB in {folder}, commit {snapshot.commit}, {licence}, "
        f"codec {weights.codec_hash[:12]}",
        soft_wrap=True,
    )
    if snapshot.unchecked:
        note(f"the server stated no hash of {', '.join(snapshot.unchecked)}: only sizes were compared")


def origin(snapshot: Snapshot) -> dict[str, Any]:
    """A snapshot's facts under plain names."""
    return {
        "repository": snapshot.name.repo, "commit": snapshot.commit, "folder": str(snapshot.folder),
        "bytes": snapshot.size, "licence": snapshot.licence,
    }  # fmt: skip

"""A run's results in a folder from which few files of limited size come back, even when the process is killed.

The folder holds ``list.json`` and the parts that it names. Newer results are other files, and become the folder's
results at the moment when a new list replaces the old one. Parts that the list does not name do not count.

Two generations lie there for that moment: twice the weights of 23 MB in float16, in four parts.

Knows: parts, checksums, and which files of a run are results. Does not know: training, where the folder goes.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import tarfile
from pathlib import Path
from typing import Any

from .record import BESIDE, EARLIER, log

FORMAT, VERSION = "streamrvq.delivery", 1
LIST = "list.json"
PART_BYTES = 16 << 20
_PART = re.compile(r"g(\d+)-\d+\.part")
_SMALL = ("config.json", BESIDE, EARLIER)


class DeliveryError(Exception):
    """Parts are missing or damaged."""


def newest(weights: Path) -> int | None:
    """The step of a file of weights; None if there is none yet."""
    if not weights.is_file():
        return None
    with weights.open("rb") as file:
        size = file.read(8)
        return _step(size + file.read(int.from_bytes(size, "little")))


def deliver(run: Path, name: str, out: Path, part_bytes: int = PART_BYTES) -> int:
    """Put the weights ``run/name`` and the log up to their step into ``out``. Returns the step."""
    data = (run / name).read_bytes()
    step = _step(data)
    # Steps that the weights do not have yet are not their record's.
    rows = [row for row in log(run) if row["step"] <= step]
    members = {name: data, "log.jsonl": "".join(json.dumps(row) + "\n" for row in rows).encode()}
    members |= {small: (run / small).read_bytes() for small in _SMALL if (run / small).is_file()}
    bundle = io.BytesIO()
    with tarfile.open(fileobj=bundle, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for member, content in members.items():
            info = tarfile.TarInfo(member)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    _write(bundle.getvalue(), step, out, part_bytes)
    return step


def _step(data: bytes) -> int:
    """The step in the header of a .safetensors file, which the trainer writes whole or not at all."""
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return int(header["__metadata__"]["training"].split()[0])


def _write(bundle: bytes, step: int, out: Path, part_bytes: int) -> None:
    out.mkdir(parents=True, exist_ok=True)
    old = [path for path in out.iterdir() if _PART.fullmatch(path.name)]
    generation = 1 + max((int(path.name[1:].split("-")[0]) for path in old), default=0)
    parts = []
    for i in range(0, len(bundle), part_bytes):
        piece = bundle[i : i + part_bytes]
        path = out / f"g{generation}-{i // part_bytes + 1}.part"
        path.write_bytes(piece)
        parts.append({"name": path.name, "bytes": len(piece), "sha256": hashlib.sha256(piece).hexdigest()})
    table = {"format": FORMAT, "version": VERSION, "step": step, "parts": parts}
    new = out / f"{LIST}.new"
    new.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    new.replace(out / LIST)
    for path in old:
        path.unlink()


def _list(path: Path) -> dict[str, Any]:
    """The list of a result's parts. Raises `DeliveryError` for one that is damaged, or of another version."""
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        kind = table.get("format"), table.get("version")
        if kind == (FORMAT, VERSION):
            int(table["step"])
            parts = [(Path(part["name"]).name, part["name"], part["sha256"], part["bytes"]) for part in table["parts"]]
            if wrong := [name for last, name, *_ in parts if last != name]:
                raise ValueError(f"a part is called {wrong[0]}")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DeliveryError(
            f"{path} is damaged ({type(error).__name__}: {error}); wanted the list of a run's parts: fetch it again"
        ) from None
    if kind != (FORMAT, VERSION):
        raise DeliveryError(f"{path} is {kind[0]} {kind[1]}; wanted {FORMAT} {VERSION}")
    return dict(table)


def join(folder: Path, run: Path) -> dict[str, Any]:
    """Make the run's folder from the parts in ``folder``, or in the one folder below it that has a list.

    Returns the list. The run appears when it is complete.

    Raises:
        DeliveryError: there is no list, or parts are missing or damaged; the message names all of them. Or ``run``
            holds something.
    """
    found = sorted(folder.rglob(LIST))
    if len(found) != 1:
        raise DeliveryError(f"{folder} has {len(found)} files {LIST}; wanted one: the folder that came back from a run")
    table = _list(found[0])
    if run.exists() and (not run.is_dir() or any(run.iterdir())):
        raise DeliveryError(f"{run} holds something; wanted a new folder for the run")
    wrong, pieces = [], []
    for part in table["parts"]:
        path = found[0].parent / part["name"]
        piece = path.read_bytes() if path.is_file() else None
        if piece is None:
            wrong.append(f"{part['name']} is missing")
        elif hashlib.sha256(piece).hexdigest() != part["sha256"]:
            wrong.append(f"{part['name']} is damaged: {len(piece)} bytes came of {part['bytes']}")
        else:
            pieces.append(piece)
    if wrong:
        raise DeliveryError(f"{', '.join(wrong)}; wanted all {len(table['parts'])} parts: fetch the folder again")
    part_folder = run.with_name(run.name + ".part")
    shutil.rmtree(part_folder, ignore_errors=True)
    with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as tar:
        tar.extractall(part_folder, filter="data")
    if run.exists():
        run.rmdir()
    part_folder.rename(run)
    return table

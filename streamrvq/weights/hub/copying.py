"""A snapshot's files in a folder of their own, to be carried to a machine without a network.

Knows: which file comes last. Does not know: where a snapshot is from.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from ...errors import HubError
from ...system.atomic_file import replacing_together
from ...system.foreign_data import one_line
from ...system.names import check_path
from .listing import CARD, CONFIG, TENSORS
from .snapshot import Snapshot


def copied(snapshot: Snapshot, folder: Path) -> Path:
    """Copy a snapshot's files into ``folder``, which is made if it is not there; older ones there are replaced.

    The configuration comes last, and an older one is removed first: a folder that is half copied is no codec's.

    Raises:
        HubError: the folder's own is missing, or it cannot be written.
    """
    try:
        check_path(folder)
        folder.mkdir(exist_ok=True)
        names = [name for name in (TENSORS, CARD, CONFIG) if os.path.isfile(snapshot.folder / name)]
        with replacing_together(folder, names) as parts:
            for name, part in zip(names, parts, strict=True):
                with (snapshot.folder / name).open("rb") as file:
                    shutil.copyfileobj(file, part, 1 << 20)
    except OSError as error:
        raise HubError(
            f"{snapshot.name} cannot be put into {folder}: {one_line(error.strerror or error)}; wanted a folder with "
            "room for it, in one that is there: give another with --to"
        ) from None
    return folder

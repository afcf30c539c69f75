"""Optional packages: imported when the part of streamrvq that needs them is used.

Knows: how to import one, and what to install if it is missing. Does not know: what it is for.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..errors import ExtraError, StreamRVQError
from .foreign_data import one_line


def install(extra: str) -> str:
    """How an extra is installed, as messages say it: from a checkout, until streamrvq is on the package index."""
    return f"pip install '.[{extra}]' in streamrvq's checkout"


def need(module: str, extra: str, purpose: str, kind: type[StreamRVQError] = ExtraError) -> Any:
    """Import ``module``, which the extra ``extra`` installs.

    Args:
        purpose: what needs it, with its verb, for the error message: ``"shards need"``.
        kind: of the error.

    Raises:
        StreamRVQError: of this ``kind``: the module is not installed, or cannot be imported.
    """
    with importing(extra, f"{purpose} {module.partition('.')[0]}", kind):
        return importlib.import_module(module)


@contextmanager
def importing(extra: str, needs: str, kind: type[StreamRVQError] = ExtraError) -> Iterator[None]:
    """Imports inside are of what ``extra`` installs. ``needs`` says who needs what: ``"shards need pyarrow"``.

    Raises:
        StreamRVQError: of this ``kind``: an import failed.
    """
    try:
        yield
    except (ImportError, OSError) as error:  # OSError: of a library that the module loads
        raise kind(f"{needs}, which cannot be imported ({one_line(error)}); install it: {install(extra)}") from None

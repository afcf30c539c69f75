"""Optional packages: imported when the part of streamrvq that needs them is used.

Knows: how to import one, and what to install if it is missing. Does not know: what it is for.
"""

from __future__ import annotations

import importlib
from typing import Any

from ..errors import ExtraError


def need(module: str, extra: str, purpose: str) -> Any:
    """Import ``module``, which the extra ``extra`` installs. ``purpose`` says in the error message what needs it.

    Raises:
        ExtraError: the module is not installed, or cannot be imported.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ExtraError(
            f"{purpose} need {module.partition('.')[0]}, which cannot be imported ({error}); install it with "
            f"`pip install 'streamrvq[{extra}]'`"
        ) from None

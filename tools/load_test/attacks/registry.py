"""All attacks by name, in the order in which they are run and listed.

Knows: which there are. Does not know: what each of them does.
"""

from __future__ import annotations

from ..errors import LoadError
from . import connections, control, handshakes, headers, messages, parked, requests, resumes, unread
from .attack import Attack

_MODULES = (control, headers, handshakes, connections, requests, messages, resumes, unread, parked)
ATTACKS: dict[str, Attack] = {attack.name: attack for module in _MODULES for attack in module.ATTACKS}


def attacks_named(names: str) -> list[Attack]:
    """The attacks of ``NAME[,NAME]…``, or of ``all``. Raises `LoadError` for a name that there is not."""
    if names == "all":
        return list(ATTACKS.values())
    chosen = [name.strip() for name in names.split(",")]
    unknown = [name for name in chosen if name not in ATTACKS]
    if unknown:
        raise LoadError(f"--attack is {unknown[0]!r}; wanted all, list, or some of {', '.join(ATTACKS)}")
    return [ATTACKS[name] for name in chosen]

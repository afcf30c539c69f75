"""What `serve` and `send` share: where an access token comes from.

Knows: options, the environment, files of tokens. Does not know: who checks it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError
from ..system.foreign_data import one_line

#: The environment variable with the token, if no option gives one.
VARIABLE = "STREAMRVQ_TOKEN"
#: Of a token file; ten thousand tokens fit.
_MOST_BYTES = 1 << 20

TokenOption = Annotated[
    str | None, typer.Option("--token", help=f"Every user of this machine can see it; prefer a file, or {VARIABLE}.")
]
TokenFileOption = Annotated[Path | None, typer.Option("--token-file", help="A file with one token per line.")]


def tokens(token: str | None, file: Path | None) -> tuple[str, ...]:
    """The access tokens from the options or the environment; there may be none.

    Raises:
        InputError: a file cannot be read or is empty, or both options were given.
    """
    if token is not None and file is not None:
        raise InputError("--token and --token-file came together; give one of them")
    if file is not None:
        try:
            with file.open("rb") as opened:  # a device, say, has no end
                data = opened.read(_MOST_BYTES + 1)
            lines = tuple(line.strip() for line in data[:_MOST_BYTES].decode("utf-8").splitlines() if line.strip())
        except (OSError, ValueError) as error:
            raise InputError(f"cannot read tokens from {file} ({one_line(error)}); give a text file") from None
        if len(data) > _MOST_BYTES:
            raise InputError(f"{file} has more than {_MOST_BYTES} bytes; wanted one token a line: check the name")
        if not lines:
            raise InputError(f"{file} holds no token; wanted one a line")
        return lines
    found = token if token is not None else os.environ.get(VARIABLE)
    if found == "":
        raise InputError(f"the token is empty; give one, or leave --token and {VARIABLE} out")
    return () if found is None else (found,)

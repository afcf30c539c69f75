"""What `serve` and `send` share: where an access token comes from.

Knows: options, the environment, files of tokens. Does not know: who checks it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError

#: The environment variable with the token, if no option gives one.
VARIABLE = "STREAMRVQ_TOKEN"

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
            lines = tuple(line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip())
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"cannot read tokens from {file} ({error}); give a text file") from None
        if not lines:
            raise InputError(f"{file} holds no token; wanted one a line")
        return lines
    found = token if token is not None else os.environ.get(VARIABLE)
    if found == "":
        raise InputError(f"the token is empty; give one, or leave --token and {VARIABLE} out")
    return () if found is None else (found,)

"""What `serve` and `send` are told about access: where a token comes from, whom a client trusts.

Knows: options, the environment, files of tokens and of certificates. Does not know: who checks a token.
"""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError
from ..system.foreign_data import one_line

#: The environment variable with the token, if no option gives one.
VARIABLE = "STREAMRVQ_TOKEN"
#: Of a file of tokens or certificates; ten thousand tokens fit, and the authorities of a system.
_MOST_BYTES = 1 << 20

TokenOption = Annotated[
    str | None, typer.Option("--token", help=f"Every user of this machine can see it; prefer a file, or {VARIABLE}.")
]
TokenFileOption = Annotated[Path | None, typer.Option("--token-file", help="A file with one token per line.")]
CaOption = Annotated[
    Path | None,
    typer.Option(
        "--ca", help="Trust this PEM file: the authority that signed the server's certificate, or that itself."
    ),
]
InsecureOption = Annotated[
    bool, typer.Option("--insecure", help="Take any certificate: whoever is between can read and change everything.")
]


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


def trust(url: str, ca: Path | None, insecure: bool) -> ssl.SSLContext | None:
    """Whom to trust at ``url``; None: whom this system trusts, or nobody is asked.

    Raises:
        InputError: the file holds no certificate, both options were given, or the URL has no TLS.
    """
    if ca is None and not insecure:
        return None
    if ca is not None and insecure:
        raise InputError("--ca and --insecure came together; give one of them")
    if not url.startswith("wss://"):
        raise InputError(f"{'--insecure' if ca is None else '--ca'} goes with wss://, and the URL is {one_line(url)}")
    context = ssl.create_default_context()
    if ca is None:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # which trusts nobody yet
    try:
        with ca.open("rb") as opened:  # a device, say, has no end
            data = opened.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise InputError(f"{ca} has more than {_MOST_BYTES} bytes; wanted a PEM file: check the name")
        context.load_verify_locations(cadata=data.decode("ascii", "ignore"))  # comments may be in any language
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"cannot read certificates from {ca} ({one_line(reason)}); wanted a PEM file, such as the server's "
            "--tls-certificate"
        ) from None
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # a server's own certificate may be named too
    return context

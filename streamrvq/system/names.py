"""Names of files as text. Systems allow any bytes in them; columns of text allow Unicode only.

Knows: how Python keeps bytes that are not UTF-8. Does not know: what files are named for.
"""

from __future__ import annotations


def as_text(name: str) -> str:
    r"""A file's name as text that can be stored. A name that is UTF-8 stays as it is.

    In any other, each byte that is not UTF-8 becomes ``\x`` and two digits, such as ``\xe9``, and a backslash becomes
    two. So no two such names become one.
    """
    try:
        name.encode()
    except UnicodeEncodeError:
        return name.replace("\\", r"\\").encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return name

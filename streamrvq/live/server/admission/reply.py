"""An HTTP response as a value, and as bytes.

Knows: the form of a response. Does not know: which there are (http.py, static.py), sockets.
"""

from __future__ import annotations

import dataclasses
from email.utils import formatdate
from http import HTTPStatus


@dataclasses.dataclass(frozen=True)
class Reply:
    """An HTTP response."""

    status: HTTPStatus
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def to_bytes(self, method: str = "GET") -> bytes:
        """The response on the wire; to HEAD it has no body."""
        lines = [f"HTTP/1.1 {self.status.value} {self.status.phrase}", f"Date: {formatdate(usegmt=True)}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        lines += ["Connection: close", "", ""]  # one request a connection
        return "\r\n".join(lines).encode("latin-1") + (b"" if method == "HEAD" else self.body)


def uncached_reply(status: HTTPStatus, content_type: str, body: bytes, *more: tuple[str, str]) -> Reply:
    """A response that no cache may keep; ``more`` are further headers."""
    headers = (
        ("Content-Type", content_type), ("Content-Length", str(len(body))), ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"), *more,
    )  # fmt: skip
    return Reply(status, headers, body)


def text_reply(status: HTTPStatus, text: str, *more: tuple[str, str]) -> Reply:
    """A sentence for whoever asked."""
    return uncached_reply(status, "text/plain; charset=utf-8", text.encode(), *more)

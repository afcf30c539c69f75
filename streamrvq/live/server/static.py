"""The browser page's files as HTTP responses. They are a fixed table, so that no path can lead anywhere else.

Knows: names, content types, headers. Does not know: sockets, websockets, what the page does (page/).
"""

from __future__ import annotations

import functools
import hashlib
from http import HTTPStatus
from importlib import resources

from .admission.reply import Reply

#: Every file that is served, and its content type. `page/package.json` is for Node and is not served.
CONTENT_TYPES = {
    "index.html": "text/html; charset=utf-8",
    "page.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
    **dict.fromkeys(
        (
            "streamrvq.js", "options.js", "stream.js", "connection.js", "binary.js", "resend.js", "timing.js",
            "keepalive.js", "markers.js", "page.js", "recorder.js", "microphone.js", "token_player.js", "recording.js",
            "recording_list.js", "heatmap.js", "error_text.js", "capture.js", "playback.js",
        ),
        "text/javascript; charset=utf-8",
    ),
}  # fmt: skip

#: Nothing from other origins, nothing inline, no framing by other pages. Only the page itself may use the microphone.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = (
    ("Content-Security-Policy", _POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Permissions-Policy", "microphone=(self), camera=(), geolocation=()"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cache-Control", "no-cache"),  # a browser asks by ETag each time, so page and server always match
)


def respond(path: str, if_none_match: str | None = None) -> Reply | None:
    """The response to GET ``path``.

    Args:
        path: as requested; ``/`` is the page. A query or an escape counts as part of the name, so no file matches.
        if_none_match: the request's ``If-None-Match``, if it has one.

    Returns:
        The file, or 304 where the client has it already; None for a path that the page does not have.
    """
    name = "index.html" if path == "/" else path.removeprefix("/")
    if not path.startswith("/") or name not in CONTENT_TYPES:
        return None
    whole, unchanged, tag = _file(name)
    known = if_none_match is not None and tag in [one.strip().removeprefix("W/") for one in if_none_match.split(",")]
    return unchanged if known else whole


def read_all() -> None:
    """Read every file now, so that none has to be opened later."""
    for name in CONTENT_TYPES:
        _file(name)


@functools.cache
def _file(name: str) -> tuple[Reply, Reply, str]:
    """The response with a file, the one without it for those that have it already, and its ETag."""
    body = resources.files("streamrvq.live").joinpath("page", name).read_bytes()
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = (*_HEADERS, ("ETag", tag))
    typed = (("Content-Type", CONTENT_TYPES[name]), ("Content-Length", str(len(body))))
    return Reply(HTTPStatus.OK, (*headers, *typed), body), Reply(HTTPStatus.NOT_MODIFIED, headers, b""), tag

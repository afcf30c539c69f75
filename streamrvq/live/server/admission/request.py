"""The head of an HTTP request: request line and headers. Whatever cannot be answered is refused with its status.

Knows: HTTP's forms and statuses; websockets' parser reads the headers. Does not know: sockets, which paths there are.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from http import HTTPStatus

from websockets.datastructures import Headers, MultipleValuesError
from websockets.exceptions import HeaderLineTooLong, RequestLineTooLong, TooManyHeaders
from websockets.http11 import Request
from websockets.streams import StreamReader

from ..access import bearer_token, header_matches
from .reply import text_reply

#: Bytes of a request line with its headers. Browsers send their cookies too.
MAX_HEAD_BYTES = 8192
#: The end of a head. Lines that end without a carriage return are refused once the head is complete.
HEAD_END = re.compile(rb"\n\r?\n")

_ALLOW = ("Allow", "GET, HEAD")
_KNOWN_METHODS = {"POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"}
_LINE = re.compile(rb"([-!#$%&'*+.^_`|~0-9A-Za-z]+) ([\x21-\x7e]+) HTTP/(1\.[01])\r\n")
_OTHER_VERSION = re.compile(rb"([-!#$%&'*+.^_`|~0-9A-Za-z]+) [\x21-\x7e]+ HTTP/[0-9]+(?:\.[0-9]+)?\r\n")
_LINE_START = re.compile(rb"([-!#$%&'*+.^_`|~0-9A-Za-z]+( [\x21-\x7e]*( [\x20-\x7e]*\r?)?)?)?")
_ABSOLUTE = re.compile(r"https?://([^/?#@]+)((?:[/?].*)?)", re.IGNORECASE)
_BODY = re.compile(rb"\r\n(content-length|transfer-encoding)[ \t]*:[ \t]*([^\r\n]*?)[ \t]*(?=\r\n)", re.IGNORECASE)
_AUTHORIZATION = re.compile(rb"\r\nauthorization:[ \t]*([^\r\n]*)", re.IGNORECASE)


class RequestRefusedError(Exception):
    """A request that is not answered with what it asks for.

    Attributes:
        reply: what it is answered with.
        method: of the request, as far as it is known.
    """

    def __init__(self, status: HTTPStatus, text: str, *more: tuple[str, str], method: str = "GET") -> None:
        super().__init__(text)
        self.reply, self.method = text_reply(status, text, *more), method


@dataclasses.dataclass(frozen=True)
class HttpRequest:
    """What the server asks of a request."""

    method: str
    path: str  #: with a query, if it has one
    host: str | None
    origin: str | None
    upgrade: bool  #: it asks for another protocol: for a websocket
    if_none_match: str | None


def check_beginning(data: bytes) -> None:
    """Check the beginning of a head that is not complete yet.

    Raises:
        RequestRefusedError: no request begins like this, or it is too long.
    """
    line, ended, _ = data.partition(b"\n")
    if (ended and not _LINE.fullmatch(line + ended)) or (not ended and not _LINE_START.fullmatch(line)):
        raise _bad_line(line + ended)
    if len(data) > MAX_HEAD_BYTES:
        status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE if ended else HTTPStatus.REQUEST_URI_TOO_LONG
        raise RequestRefusedError(status, f"The request line and headers may have {MAX_HEAD_BYTES} bytes.\n")


def parse_request(head: bytes) -> HttpRequest:
    """Parse a complete head.

    Args:
        head: from the request line to the empty line.

    Raises:
        RequestRefusedError: it is malformed, too large, has a body, or asks for something that no path here does.
    """
    if len(head) > MAX_HEAD_BYTES:
        raise RequestRefusedError(
            HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
            f"The request line and headers may have {MAX_HEAD_BYTES} bytes.\n",
        )
    line = _LINE.match(head)
    if line is None:
        raise _bad_line(head.partition(b"\n")[0] + b"\n")
    method, target = line[1].decode(), line[2].decode()
    if method not in ("GET", "HEAD"):
        known = method in _KNOWN_METHODS
        status = HTTPStatus.METHOD_NOT_ALLOWED if known else HTTPStatus.NOT_IMPLEMENTED
        raise RequestRefusedError(status, "The methods here are GET and HEAD.\n", _ALLOW, method=method)
    _check_no_body(head, method)
    try:
        headers = _headers(head)
        host, origin = headers.get("Host"), headers.get("Origin")
        upgrade = headers.get("Upgrade") is not None
    except MultipleValuesError:
        text = "Origin, Host or Upgrade came twice.\n"
        raise RequestRefusedError(HTTPStatus.BAD_REQUEST, text, method=method) from None
    if not target.startswith("/"):
        absolute = _ABSOLUTE.fullmatch(target)
        if absolute is None:
            text = "The target must be a path, or a whole http or https address.\n"
            raise RequestRefusedError(HTTPStatus.BAD_REQUEST, text, method=method)
        host, target = absolute[1], absolute[2] if absolute[2].startswith("/") else f"/{absolute[2]}"
    if_none_match = ",".join(headers.get_all("If-None-Match")) or None
    return HttpRequest(method, target, host, origin, upgrade and method == "GET", if_none_match)


def token_of(head: bytes, tokens: Sequence[str]) -> str | None:
    """Which of these tokens a head's ``Authorization`` header has, if any. Costs little, whatever the head is."""
    found = _AUTHORIZATION.findall(head)
    return header_matches(bearer_token(found[0].decode("latin-1").strip()), tokens) if len(found) == 1 else None


def _headers(head: bytes) -> Headers:
    reader = StreamReader()
    reader.feed_data(head)
    reader.feed_eof()
    try:
        next(Request.parse(reader.read_line))
    except StopIteration as parsed:
        headers: Headers = parsed.value.headers
        return headers
    except (HeaderLineTooLong, RequestLineTooLong, TooManyHeaders):
        text = "A line is too long, or there are too many headers.\n"
        raise RequestRefusedError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, text) from None
    except Exception:  # whatever the parser says of malformed headers
        pass
    raise RequestRefusedError(HTTPStatus.BAD_REQUEST, "A header is malformed.\n")


def _check_no_body(head: bytes, method: str) -> None:
    lengths = set()
    for name, value in _BODY.findall(head):
        if name.lower() == b"transfer-encoding":
            text = "Transfer codings are not supported; no request here has a body.\n"
            raise RequestRefusedError(HTTPStatus.NOT_IMPLEMENTED, text, method=method)
        lengths.add(value)
    if any(not value.isdigit() for value in lengths) or len(lengths) > 1:
        raise RequestRefusedError(HTTPStatus.BAD_REQUEST, "Content-Length is malformed.\n", method=method)
    if any(value.strip(b"0") for value in lengths):
        text = "No request here has a body.\n"
        raise RequestRefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, text, method=method)


def _bad_line(line: bytes) -> RequestRefusedError:
    other = _OTHER_VERSION.fullmatch(line)
    if other is not None:
        method = other[1].decode()
        return RequestRefusedError(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "Use HTTP/1.1.\n", method=method)
    return RequestRefusedError(HTTPStatus.BAD_REQUEST, "Wanted a request such as: GET / HTTP/1.1\n")

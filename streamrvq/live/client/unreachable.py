"""Why there is no connection to a server, as a sentence with what to do: proxies, certificates, TLS on one side only.

Knows: the errors of websockets, TLS and proxies; how to ask what a port speaks. Does not know: streams, messages.
"""

from __future__ import annotations

import asyncio
import ssl as tls
from urllib.parse import urlsplit

from ...errors import ServiceError
from ...system.foreign_data import one_line
from .endpoint import Endpoint

#: The most seconds to find out whether a port speaks TLS, or HTTP.
_ASKING_SECONDS = 5.0


async def why_unreachable(endpoint: Endpoint, proxy: str | None, error: Exception) -> ServiceError:
    """The error to raise where connecting failed with ``error``, through ``proxy`` if that is not None."""
    from websockets.exceptions import InvalidHandshake, InvalidProxy, InvalidStatus, InvalidURI, ProxyError

    url, reason = one_line(endpoint.url), _reason(error)
    if isinstance(error, tls.SSLCertVerificationError):
        text = (
            f"cannot connect to {url}: its certificate is not accepted ({one_line(error.verify_message)}); use the "
            "host that it names, and trust who signed it: send --ca FILE, or connect(ssl=…)"
        )
    elif isinstance(error, (InvalidProxy, ProxyError, ImportError)) or (
        proxy is not None and isinstance(error, OSError) and not isinstance(error, tls.SSLError)
    ):
        way = endpoint.proxy_words(proxy or "")
        text = f"cannot connect to {url} through {way} ({reason}); {_proxy_remedy(endpoint)}"
    elif endpoint.secure and proxy is None and isinstance(error, OSError) and await _speaks_http(endpoint):
        text = f"cannot connect to {url} with TLS: the server there speaks none; use {_other_scheme(url)}"
    elif not endpoint.secure and proxy is None and _may_be_tls(error) and await _speaks_tls(endpoint):
        text = f"cannot connect to {url} without TLS: the server there wants it; use {_other_scheme(url)}"
    elif isinstance(error, InvalidURI) and error.uri != endpoint.url:
        text = f"{url} leads to {one_line(error.uri)}, which is no websocket's address; give where it leads, with "
        text += "ws:// or wss://: below a path the address ends in a slash"
    elif isinstance(error, InvalidStatus):
        return ServiceError(f"{url} refused the connection ({reason})", error.response.status_code)
    elif isinstance(error, InvalidHandshake):
        text = f"cannot connect to {url} ({reason}); is it a streamrvq server that listens there?"
    else:
        text = f"cannot connect to {url} ({reason}); is a server listening there?"
    return ServiceError(text)


def _proxy_remedy(endpoint: Endpoint) -> str:
    host = one_line(urlsplit(endpoint.url).hostname)
    return f"to go without it, set no_proxy={host}" if endpoint.proxy is True else "to go without it, give proxy=None"


def _reason(error: Exception) -> str:
    from websockets.exceptions import InvalidProxy, InvalidProxyStatus, InvalidStatus

    if isinstance(error, InvalidProxy):
        return one_line(error.msg)  # its text has the password
    if isinstance(error, InvalidProxyStatus):
        return f"HTTP {error.response.status_code}"
    if isinstance(error, InvalidStatus):
        return f"HTTP {error.response.status_code}: {one_line((error.response.body or b'').decode('ascii', 'replace'))}"
    if isinstance(error, ImportError):
        return f"{one_line(error)}; pip install python-socks"
    return one_line(str(error) or type(error).__name__)


def _other_scheme(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{'ws' if scheme == 'wss' else 'wss'}://{rest}"


def _may_be_tls(error: Exception) -> bool:
    """Whether a server that speaks TLS may have caused this: it cuts what is none; nginx answers with HTTP 400."""
    from websockets.exceptions import InvalidMessage, InvalidStatus

    bad_request = isinstance(error, InvalidStatus) and error.response.status_code == 400
    return bad_request or isinstance(error, (InvalidMessage, ConnectionResetError))


async def _speaks_tls(endpoint: Endpoint) -> bool:
    context = tls.create_default_context()
    context.check_hostname, context.verify_mode = False, tls.CERT_NONE  # only whether there is TLS: nothing is sent
    return await _answers(endpoint, context, b"")


async def _speaks_http(endpoint: Endpoint) -> bool:
    return await _answers(endpoint, None, b"HTTP/")


async def _answers(endpoint: Endpoint, context: tls.SSLContext | None, wanted: bytes) -> bool:
    """Whether a connection can be made, with TLS if there is a ``context``, and an answer begins as ``wanted``."""
    parts = urlsplit(endpoint.url)
    try:
        async with asyncio.timeout(min(_ASKING_SECONDS, endpoint.timeout)):
            port = parts.port or (443 if endpoint.secure else 80)
            reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=context)
            try:
                if wanted:
                    writer.write(f"HEAD / HTTP/1.1\r\nHost: {parts.hostname}\r\nConnection: close\r\n\r\n".encode())
                return await reader.readexactly(len(wanted)) == wanted
            finally:
                writer.transport.abort()
    except (OSError, ValueError, EOFError):  # TimeoutError is an OSError
        return False

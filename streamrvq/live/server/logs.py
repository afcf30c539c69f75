"""The server's log: lines ``event key=value …`` for people and programs.

Knows: the form of a line. Does not know: which events there are, where lines go (the application's `logging`
configuration).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

from .admission.addresses import address_group

log = logging.getLogger("streamrvq.server")


def log_event(event: str, level: int = logging.INFO, **fields: object) -> None:
    """Log a line ``event key=value …`` in ASCII. Fields that are None or "" are left out.

    The record has the event and its fields as attributes ``event`` and ``fields``.
    """
    if log.isEnabledFor(level):
        given = {name: value for name, value in fields.items() if value not in (None, "")}
        text = " ".join(f"{name}={_as_text(value)}" for name, value in given.items())
        log.log(level, "%s %s", event, text, extra={"event": event, "fields": given})


class Repeats:
    """Events that may come by the thousand. The first is logged; those like it are counted, and logged once a period.

    Args:
        period: seconds.
        most: kinds of events that are told apart by their address. Those beyond are counted as of "others".
        streams: of one address, that may be logged in a period event by event.
    """

    def __init__(self, period: float = 10.0, most: int = 64, streams: int = 48) -> None:
        self._period, self._most, self._streams = period, most, streams
        self._begun: dict[str, tuple[float, int]] = {}  # address → end of its period, streams begun in it
        self._kinds: dict[tuple[str, str, str], list[float]] = {}  # → end of its period, events not logged, level

    def log(self, now: float, event: str, level: int, kind: str, group: str, **fields: object) -> None:
        """Log an event, or count it.

        Args:
            now: the time, in seconds.
            event, level, fields: as for `log_event`.
            kind: one of few, never what a client sent.
            group: whose it is, see `admission.addresses.address_group`.
        """
        key = (event, kind, group)
        if key not in self._kinds and len(self._kinds) >= self._most:
            key = (event, kind, "others")
        if key in self._kinds:
            self._kinds[key][1] += 1
        else:
            self._kinds[key] = [now + self._period, 0, level]
            log_event(event, level, **fields)

    def begin_stream(self, now: float, group: str) -> bool:
        """Count a stream of this address. Returns whether each of its events is logged too, not only counted."""
        if group not in self._begun and len(self._begun) >= self._most:
            group = "others"
        until, count = self._begun.get(group, (now, 0))
        if now >= until:
            until, count = now + self._period, 0
        self._begun[group] = (until, count + 1)
        return count < self._streams

    def flush(self, now: float) -> None:
        """Log what was counted in periods that are over; to be called now and then. Infinity: all periods are over."""
        self._begun = {group: begun for group, begun in self._begun.items() if now < begun[0]}
        for key, (until, count, level) in list(self._kinds.items()):
            if now < until:
                continue
            event, kind, group = key
            if count:
                self._kinds[key] = [now + self._period, 0, level]
                log_event(event, int(level), kind=kind, of=group, times=int(count), within=self._period)
            else:
                del self._kinds[key]


class ConnectionLog:
    """Logs the events of one connection. There may be thousands like it, of streams too: see `Repeats`.

    Args:
        number: identifies the connection.
        address: of the client, as a socket gives it.
        repeats: counts what is not logged.
        now: the time, in seconds.

    Attributes:
        group: the address as it is counted, see `admission.addresses.address_group`.
    """

    def __init__(self, number: int, address: Any, repeats: Repeats, now: Callable[[], float]) -> None:
        self.number, self.group, self._repeats, self._now = number, address_group(address), repeats, now
        self._peer = f"{address[0]}:{address[1]}" if isinstance(address, tuple) else str(address)
        self._began = False

    def __call__(self, event: str, level: int = logging.INFO, **fields: object) -> None:
        """Log an event and its fields."""
        if self._began:
            log_event(event, level, conn=self.number, **fields)
        else:
            self._repeats.log(self._now(), event, level, "", self.group, conn=self.number, **fields)

    def begin(self) -> None:
        """Log that the connection has begun a stream."""
        self._began = self._repeats.begin_stream(self._now(), self.group)
        self("connected", peer=self._peer)

    def end(self, event: str, kind: str, level: int = logging.INFO, **fields: object) -> None:
        """Log the end of the connection; ``kind`` is one of few."""
        if self._began:
            self(event, level, **fields)
        else:
            fields = {"conn": self.number, "peer": self._peer, **fields}
            self._repeats.log(self._now(), event, level, kind, self.group, **fields)


class JsonLines(logging.Formatter):
    """Formats a record as one line of JSON: time, level, logger, event or message, and the fields."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": round(record.created, 3), "level": record.levelname.lower(), "logger": record.name,
            "event": getattr(record, "event", None) or record.getMessage(),
        }  # fmt: skip
        line |= {f"{name}_" if name in line else name: value for name, value in getattr(record, "fields", {}).items()}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def transport_log() -> logging.Logger:
    """The logger for websockets' own messages, without tracebacks: what a client sends is not the server's error."""
    logger = logging.getLogger("streamrvq.server.transport")
    if not logger.filters:
        logger.addFilter(_without_traceback)
        logger.setLevel(logging.WARNING)  # connections are logged already (connection.py)
    return logger


def _without_traceback(record: logging.LogRecord) -> bool:
    if record.exc_info and record.exc_info[1] is not None:
        record.msg, record.args = f"{record.getMessage()}: {record.exc_info[1]!r}", ()
        record.exc_info = None
        record.levelno, record.levelname = logging.INFO, "INFO"
    return True


def _as_text(value: object) -> str:
    if isinstance(value, (int, float)):
        return str(value)
    text = ascii(str(value))
    return text[1:-1] if " " not in text and "=" not in text else text

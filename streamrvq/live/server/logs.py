"""The server's log: lines ``event key=value …`` for people and programs.

Knows: the form of a line. Does not know: which events there are, where lines go (the application's `logging`
configuration).
"""

from __future__ import annotations

import json
import logging

log = logging.getLogger("streamrvq.server")


def log_event(event: str, level: int = logging.INFO, **fields: object) -> None:
    """Log a line ``event key=value …`` in ASCII. Fields that are None or "" are left out.

    The record has the event and its fields as attributes ``event`` and ``fields``.
    """
    if log.isEnabledFor(level):
        given = {name: value for name, value in fields.items() if value not in (None, "")}
        text = " ".join(f"{name}={_as_text(value)}" for name, value in given.items())
        log.log(level, "%s %s", event, text, extra={"event": event, "fields": given})


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

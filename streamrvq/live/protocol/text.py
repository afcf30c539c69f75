"""Text messages: JSON objects with a ``type``, as frozen values.

Whatever text comes, `parse` returns a message or raises `ProtocolError` with the close code, and nothing else.

Knows: the fields of each message and their valid values. Does not know: which message may come when, codecs, sockets,
asyncio.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any, ClassVar, Literal

from ...audio.rates import rates_between
from ...audio.sample_formats import FORMATS, check_rate_given
from ...errors import InputError, ProtocolError
from .constants import HIGHEST_RATE, LOWEST_RATE, MAX_TEXT, VERSION, Close

_Check = Callable[[Any], str | None]  #: returns what was wanted, in words; None: the value is valid


def _whole(low: int, high: int = 2**63 - 1) -> _Check:
    def check(value: Any) -> str | None:
        good = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
        return None if good else f"a whole number from {low}{f' to {high}' if high < 2**63 - 1 else ''}"

    return check


def _rate(value: Any) -> str | None:
    return _whole(LOWEST_RATE, HIGHEST_RATE)(value) and rates_between(LOWEST_RATE, HIGHEST_RATE)


def _text(longest: int) -> _Check:
    return lambda value: (
        None if isinstance(value, str) and len(value) <= longest else f"a string of at most {longest} characters"
    )


def _utf8(longest: int) -> _Check:
    """Text that can be written to a file or a terminal: half a surrogate pair, which JSON can escape, cannot."""

    def check(value: Any) -> str | None:
        good = _text(longest)(value) is None and not any("\ud800" <= c <= "\udfff" for c in value)
        return None if good else f"a string of at most {longest} characters that UTF-8 can hold"

    return check


def _one_of(*choices: str) -> _Check:
    return lambda value: None if isinstance(value, str) and value in choices else " or ".join(choices)


def _flag(value: Any) -> str | None:
    return None if isinstance(value, bool) else "true or false"


def _identifier(value: Any) -> str | None:
    if _whole(-(2**53), 2**53)(value) is None or _text(64)(value) is None:
        return None
    return "a whole number from -2^53 to 2^53 or a string of at most 64 characters"


def _field(check: _Check, default: Any = dataclasses.MISSING, code: Close = Close.BAD_MESSAGE) -> Any:
    return dataclasses.field(default=default, metadata={"check": check, "code": code})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Message:
    """A text message. A field that is None is left out of the JSON.

    A plain `Message` is one of a server whose type is not known here.
    """

    type: ClassVar[str] = "unknown"

    def to_json(self) -> str:
        """The message as text, in ASCII."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return json.dumps(
            {"type": self.type} | {name: value for name, value in fields.items() if value is not None},
            separators=(",", ":"),
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Start(Message):
    """Client: open a stream."""

    type: ClassVar[str] = "start"
    version: int = _field(_whole(0), VERSION)
    mode: str = _field(_one_of("encode", "decode"), code=Close.FORMAT)
    #: of the PCM in either direction, Hz; None: the codec's, and refused with G.711
    sample_rate: int | None = _field(_rate, None, Close.FORMAT)
    format: str = _field(_one_of(*FORMATS), "s16le", Close.FORMAT)
    channels: int = _field(_whole(1, 1), 1, Close.FORMAT)
    n_quantizers: int | None = _field(_whole(1, 65535), None, Close.FORMAT)
    token: str | None = _field(_text(1024), None, Close.UNAUTHORIZED)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Resume(Message):
    """Client, instead of `Start`: resume a session whose connection was lost."""

    type: ClassVar[str] = "resume"
    version: int = _field(_whole(0), VERSION)
    session: str = _field(_text(64))
    next_frame: int = _field(_whole(0))
    token: str | None = _field(_text(1024), None, Close.UNAUTHORIZED)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stop(Message):
    """Client: the signal ends here; send everything still owed."""

    type: ClassVar[str] = "stop"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Marker(Message):
    """Client: echo this once everything before it has come out. Server: the echo."""

    type: ClassVar[str] = "marker"
    id: int | str = _field(_identifier)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SetLevels(Message):
    """Client: send this many codes per frame from the next frame on."""

    type: ClassVar[str] = "set"
    n_quantizers: int = _field(_whole(1, 65535), code=Close.FORMAT)


@dataclasses.dataclass(frozen=True, kw_only=True)
class GapMark(Message):
    """Client: samples were lost. Server, among the frames: how that was handled (``filled``, ``next_frame``)."""

    type: ClassVar[str] = "gap"
    pos: int = _field(_whole(0, 2**53))
    samples: int = _field(_whole(1, 2**53))
    filled: bool | None = _field(_flag, None)
    next_frame: int | None = _field(_whole(0), None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ready(Message):
    """Server: the stream is open."""

    type: ClassVar[str] = "ready"
    version: int = _field(_whole(0), VERSION)
    session: str = _field(_text(64))
    codec: str = _field(_utf8(1024))
    codec_hash: str = _field(_utf8(128))
    trained: bool = _field(_flag)
    sample_rate: int = _field(_whole(1))
    hop: int = _field(_whole(1))
    codebooks: int = _field(_whole(1, 65535))
    codebook_size: int = _field(_whole(1, 65536))
    delay_frames: int = _field(_whole(0))
    decoder_delay_samples: int = _field(_whole(0))
    max_message: int = _field(_whole(1))
    #: what brings samples from the client's rate to the codec's or back; None: the rates are equal, or an older server
    resampler: str | None = _field(_utf8(128), None)
    #: seconds for which a client may send nothing; None: less than one, or an older server, whose default is 60
    idle_timeout: int | None = _field(_whole(1), None)
    #: frames of a stream's first step, unless it ends sooner: none comes before so many are complete. None: 1, or an
    #: older server, whose codecs have no more
    first_frames: int | None = _field(_whole(2), None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Resumed(Message):
    """Server: the session was resumed."""

    type: ClassVar[str] = "resumed"
    pos: int = _field(_whole(0))
    next_frame: int = _field(_whole(0))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Drain(Message):
    """Server: it is going down. What comes within ``seconds``, ended by `Stop`, is still computed."""

    type: ClassVar[str] = "drain"
    seconds: int = _field(_whole(0))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Done(Message):
    """Server: everything has come out."""

    type: ClassVar[str] = "done"
    frames: int = _field(_whole(0))
    samples: int = _field(_whole(0))
    lost: int = _field(_whole(0), 0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Error(Message):
    """Server: why the connection is about to be closed."""

    type: ClassVar[str] = "error"
    code: int = _field(_whole(1000, 4999))
    message: str = _field(_text(2048))


Sender = Literal["client", "server"]
_SENT: dict[Sender, dict[str, type[Message]]] = {
    "client": {kind.type: kind for kind in (Start, Resume, Stop, Marker, SetLevels, GapMark)},
    "server": {kind.type: kind for kind in (Ready, Resumed, Drain, Done, Error, Marker, GapMark)},
}


def whole_seconds(seconds: float) -> int:
    """A time as a message has it: rounded down, and at most what JavaScript's numbers hold, for it may be infinite."""
    return int(min(seconds, 2**53))


def parse(text: str, sender: Sender) -> Message:
    """Parse a text message.

    Args:
        text: what came.
        sender: who sent it. A client's unknown fields and types are refused as mistakes. Of a server, which may be
            newer, such fields are ignored, and a message of such a type is a plain `Message`.

    Raises:
        ProtocolError: with the close code.
    """
    if len(text) > MAX_TEXT:
        raise ProtocolError(f"a text message of {len(text)} characters; at most {MAX_TEXT}", Close.TOO_BIG)
    try:
        values = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"a text message that is not JSON ({type(error).__name__}); wanted an object") from None
    if not isinstance(values, dict):
        raise ProtocolError(f'a JSON {type(values).__name__}; wanted an object with a type, such as {{"type":"stop"}}')
    name, known = values.pop("type", None), _SENT[sender]
    kind = known.get(name) if isinstance(name, str) else None
    if kind is None and sender == "server" and isinstance(name, str):
        return Message()
    if kind is None:
        raise ProtocolError(f"a message of type {_shown(name)}; wanted {', '.join(known)}")
    version = values.get("version")
    if "version" in kind.__dataclass_fields__ and (version != VERSION or isinstance(version, (bool, float))):
        # checked before all other fields, since another version may have other fields
        raise ProtocolError(f"{name}.version is {_shown(version)}; this side speaks {VERSION}", Close.VERSION)
    return _build(kind, values, strict=sender == "client")


def _build(kind: type[Message], values: dict[str, Any], strict: bool) -> Message:
    taken: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        value = values.pop(field.name, None)  # null counts as absent
        if value is None:
            if field.default is dataclasses.MISSING:
                raise ProtocolError(f"{kind.type}.{field.name} is missing", field.metadata["code"])
            continue
        wanted = field.metadata["check"](value)
        if wanted is not None:
            code = field.metadata["code"]
            came = "something else" if field.name in ("token", "session") else _shown(value)  # secrets are not shown
            raise ProtocolError(f"{kind.type}.{field.name} is {came}; wanted {wanted}", code)
        taken[field.name] = value
    if strict and values:
        raise ProtocolError(f"{kind.type} has no field {_shown(next(iter(values)))}; see PROTOCOL.md for those it has")
    message = kind(**taken)
    if isinstance(message, Start):
        try:
            check_rate_given(message.format, message.sample_rate)
        except InputError as error:
            raise ProtocolError(str(error), Close.FORMAT) from None
    return message


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _shown(value: Any) -> str:
    """A value for an error message: short, on one line, printable anywhere."""
    try:
        text = ascii(value)
    except (ValueError, RecursionError):  # such as an integer with more digits than Python prints
        text = f"a {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:57]}..."

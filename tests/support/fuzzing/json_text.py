"""JSON with one thing broken: a value, a key, a nesting.

The text is written by hand, for much of what readers stumble over no library writes: ``1e400``, ``NaN``, half a
surrogate pair, 5000 digits, a hundred thousand brackets, a key that comes twice.

Knows: JSON. Does not know: what any document means.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

#: Values as text.
HOSTILE = [
    "null", "true", "false", "0", "-1", "1.5", "-0.0", "1e400", "-1e400", "NaN", "Infinity", "-Infinity", "9" * 400,
    "9" * 3000, "9" * 5000, "-" + "9" * 400, str(2**31), str(2**53), str(2**63 - 1), str(2**63), str(2**64), "1e9",
    "1000000000", "[]", "{}", "[[]]", "[1]", "[null]", '[{"a":1}]', '{"a":{}}', '""', '" 5 "', '"x"', '"5"',
    '"\\ud800"',
    '"\\udc80.wav"', '"a\\u0000b"', '"\\n\\u001b[31m"', '"[/x]"', '"' + "a" * 100_000 + '"', "[" * 1000 + "]" * 1000,
    "[" * 100_000, '{"a":' * 2000 + "1" + "}" * 2000, "[" + "1," * 50_000 + "1]", "[" + "[]," * 20_000 + "[]]", "",
    "nul", "\\", "1 2", "/*x*/1",
]  # fmt: skip
#: Keys as text.
KEYS = ['"x"', '"\\ud800"', '""', '"a\\u0000b"', '"__class__"', '"self"', '"version"', "5", "null"]


def text_of(value: Any, paths: dict[tuple[Any, ...], str], at: tuple[Any, ...] = ()) -> str:
    """``value`` as JSON, with the text in ``paths`` in place of what lies there."""
    if at in paths:
        return paths[at]
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(k)}:{text_of(v, paths, (*at, k))}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(text_of(v, paths, (*at, i)) for i, v in enumerate(value)) + "]"
    return json.dumps(value)


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value in ``value``, itself included."""
    found = [at]
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inside:
        found += places(part, (*at, key))
    return found


@st.composite
def broken_json(draw: st.DrawFn, document: dict[str, Any]) -> bytes:
    """``document`` as bytes of JSON, with one thing broken; sometimes with none."""
    kind = draw(st.sampled_from(["value", "value", "value", "lacking", "key", "twice", "bytes", "whole", "none"]))
    if kind == "value":
        return text_of(document, {draw(st.sampled_from(places(document))): draw(st.sampled_from(HOSTILE))}).encode()
    if kind == "whole":
        return draw(st.sampled_from(HOSTILE)).encode()
    if kind == "lacking":
        key = draw(st.sampled_from(sorted(document)))
        return text_of({k: v for k, v in document.items() if k != key}, {}).encode()
    text = text_of(document, {})
    if kind in ("key", "twice"):
        key = draw(st.sampled_from(KEYS)) if kind == "key" else json.dumps(draw(st.sampled_from(sorted(document))))
        return f"{text[:-1]},{key}:{draw(st.sampled_from(HOSTILE))}}}".encode()
    if kind == "bytes":
        at = draw(st.integers(0, len(text) - 1))
        return text[:at].encode() + draw(
            st.sampled_from([b"\xff", b"\x00", b"\xef\xbb\xbf", b"\xed\xa0\x80", b",", b"}"])
        )
    return text.encode()

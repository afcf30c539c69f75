"""`tools/memory` runs a stream of every family, both ways, and says what grows."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.contract import needs_native
from tools import stream_memory

pytestmark = needs_native


def test_every_family_has_its_rows(capsys: pytest.CaptureFixture[str]) -> None:
    assert stream_memory.main(["--hops", "2000"]) == 0
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines()][2:]
    assert [(row[0], row[1]) for row in rows] == [
        (f"| {name}", direction) for name in ("DAC", "EnCodec", "Mimi") for direction in ("encode", "decode")
    ]
    assert all(float(row[2]) <= float(row[3]) <= float(row[2]) + 64 for row in rows)


def test_memory_is_told_after_as_many_hops_as_there_were(capsys: pytest.CaptureFixture[str]) -> None:
    stream_memory.main(["--hops", "2000", "--push", "1500"])
    head = capsys.readouterr().out.splitlines()[0]
    assert "| MiB at 1500 hops | MiB at 1500 hops | MiB at 3000 hops |" in head


def test_what_grows_is_an_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def growing(codec: Any, direction: Any, marks: Sequence[int], push: int) -> Iterator[int]:
        return iter([0, 1 << 20, (1 << 20) + 5])

    monkeypatch.setattr(stream_memory, "grown", growing)
    assert stream_memory.main(["--hops", "100"]) == 1
    assert "DAC, encode: grew by 1048581 bytes; wanted at most 65536" in capsys.readouterr().err


def test_what_holds_too_much_is_an_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(stream_memory, "held", lambda codec, direction: 1 << 30)
    assert stream_memory.main(["--hops", "100"]) == 1
    assert "Mimi, decode: a stream holds 1073741824 bytes; wanted at most" in capsys.readouterr().err


def test_a_system_without_proc_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(stream_memory, "STATM", Path("/no/such/file"))
    with pytest.raises(SystemExit, match="2"):
        stream_memory.main(["--hops", "100"])
    assert "/no/such/file is not here" in capsys.readouterr().err

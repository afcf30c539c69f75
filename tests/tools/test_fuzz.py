"""tools/fuzz: its targets take their own right files, and faults of every kind are found and told."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from streamrvq.errors import WeightsError
from tests.support.patience import PATIENCE
from tools.fuzzing import campaign
from tools.fuzzing.__main__ import main
from tools.fuzzing.judging import Fault, fault_of, forget_peak
from tools.fuzzing.registry import targets
from tools.fuzzing.target import Target


def target(read: object) -> Target:
    return Target("x", "anything", read, lambda: [b""])  # type: ignore[arg-type]


@pytest.mark.parametrize("name", sorted(targets()))
def test_a_target_takes_its_right_files(name: str) -> None:
    found = targets()[name]
    seeds = found.seeds()
    assert seeds
    for seed in seeds:
        found.read(seed)


@pytest.mark.parametrize("name", sorted(targets()))
def test_a_target_refuses_what_is_nothing_at_all(name: str) -> None:
    for data in (b"", b"\0", b"\xff" * 100, b"[" * 100_000):
        assert fault_of(targets()[name], data, PATIENCE) is None


def test_the_list_names_every_target(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed] == list(targets())


@pytest.mark.parametrize("arguments", [["nonesuch"], [], ["config", "--minutes", "0"]])
def test_a_wrong_command_line_is_one_sentence(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith("tools/fuzz: error: ")


@pytest.fixture
def with_atheris(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)


@pytest.mark.usefixtures("with_atheris")
def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (out := tmp_path / "out").touch()
    assert main(["config", "--out", str(out)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"tools/fuzz: error: {out}/config cannot be written (")


@pytest.mark.usefixtures("with_atheris")
@pytest.mark.parametrize("minutes", ["0.001", "0.016", "1"])
def test_a_run_of_any_length_begins_and_says_where_it_failed(
    minutes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given: list[int] = []

    def once(name: str, folder: Path, seconds: int) -> bool:
        given.append(seconds)
        return False  # the process ended before its first input

    monkeypatch.setattr(campaign, "_once", once)
    assert main(["config", "--minutes", minutes, "--out", str(tmp_path)]) == 1
    assert given == [max(1, round(60 * float(minutes)))]
    said = capsys.readouterr().out.splitlines()
    assert "0 runs" in said[0]
    assert said[1].endswith(f"is at the end of {tmp_path / 'config' / 'log'}")


# --- judging


def test_our_own_errors_are_no_fault() -> None:
    def read(data: bytes) -> None:
        raise WeightsError("refused")

    assert fault_of(target(read), b"") is None
    assert fault_of(target(len), b"") is None


def test_any_other_exception_is_a_fault() -> None:
    fault = fault_of(target(lambda data: data[5]), b"")
    assert fault == Fault("traceback", "IndexError outside of the package")


@pytest.mark.parametrize("message", ["two\nlines", "half a pair \ud800", "x" * 3000, "\x1b[31mred"])
def test_a_message_that_is_not_a_printable_line_is_a_fault(message: str) -> None:
    def read(data: bytes) -> None:
        raise WeightsError(message)

    fault = fault_of(target(read), b"")
    assert fault is not None
    assert fault.kind == "message"


def test_a_reader_that_never_ends_is_a_fault() -> None:
    def read(data: bytes) -> None:
        try:
            while True:
                pass
        except Exception:
            raise WeightsError("a reader's own fence") from None

    fault = fault_of(target(read), b"", 0.05)
    assert fault is not None
    assert fault.kind == "hang"


def test_a_reader_that_takes_memory_is_a_fault() -> None:
    forget_peak()
    fault = fault_of(target(lambda data: len(b"x" * (300 << 20))), b"")
    assert fault is not None
    assert fault.kind == "memory"


# --- the long run


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is only where tools/fuzz ran")
def test_a_short_run_says_what_it_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["message-client", "--minutes", "0.1", "--out", str(tmp_path)]) == 0
    words = capsys.readouterr().out
    assert words.startswith("message-client: ")
    assert "0 tracebacks, 0 hangs" in words
    assert "passed" in words
    assert any((tmp_path / "message-client" / "corpus").iterdir())

"""What a full disk and Ctrl-C are to the tools: a sentence and 2, and 130. 1 would say that something was judged."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import soundfile

from tools.corpus_build import __main__ as corpus
from tools.listen_page import __main__ as listen
from tools.quality_measure import __main__ as quality

FULL = OSError(28, "No space left on device", "a file")


@pytest.mark.parametrize(("tool", "name"), [(corpus, "corpus"), (listen, "listen"), (quality, "quality")])
@pytest.mark.parametrize(("error", "code"), [(FULL, 2), (KeyboardInterrupt(), 130)], ids=["full", "^C"])
def test_a_tool_ends_without_a_traceback(
    tool: Any, name: str, error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert ended(tool, error, monkeypatch) == code
    lines = capsys.readouterr().err.splitlines()
    if code == 2:
        (line,) = lines
        assert line.startswith(f"tools/{name}: error: ")
        assert "No space left on device: 'a file'" in line
    else:
        assert lines == []


def test_audio_that_cannot_be_written_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """libsndfile has errors of its own."""
    assert ended(corpus, soundfile.LibsndfileError(2, "a clip: "), monkeypatch) == 2
    assert "a file cannot be read or written (a clip: System error.)" in capsys.readouterr().err


def ended(tool: Any, error: BaseException, monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit code of a tool in whose middle this is raised."""

    def failing(arguments: Any) -> None:
        raise error

    monkeypatch.setattr(tool, "_run", failing)
    monkeypatch.setattr(sys, "argv", ["tool"])
    code: int = tool.main()
    return code

"""What the tests of tools/quality share."""

import pytest

from tools.quality_measure.__main__ import main


def run(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> tuple[str, str]:
    got = main(list(map(str, arguments)))
    out, err = capsys.readouterr()
    assert got == code, out + err
    return out, err

"""`tools/peers` runs every codec and prints a row for each."""

import pytest

from tools.peers_bench import Peer, main, table


def test_the_median_of_the_rounds_counts() -> None:
    peer = Peer("a codec", "C", 16_000, len, seconds=[9.0, 1.0, 2.0])
    assert table([peer], seconds=4.0).splitlines()[-1] == "| a codec | C | 0.500 |"


@pytest.mark.heavy
def test_every_codec_is_timed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seconds", "0.2", "--rounds", "1", "--threads", "1"]) == 0
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| ")][1:]
    names = [row[0].removeprefix("| ") for row in rows if row[0] != "| ---"]
    assert len(names) == 8
    for word in ("causal-44khz, hop by hop", "dac-44khz, at once", "descript-audio-codec", "EncodecModel", "MimiModel"):
        assert any(word in name for name in names), names


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--seconds", "60"], "--seconds is 60; wanted 0.1 to 10, for the clip has no more"),
        (["--seconds", "nan", "--family", "mimi"], "--seconds is nan"),
        (["--seconds", "0"], "--seconds is 0"),
        (["--rounds", "0"], "--rounds is 0"),
        (["--threads", "0"], "--threads 0"),
    ],
)
def test_what_cannot_be_timed(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2
    assert words in capsys.readouterr().err

"""`tools/peers --family`: the tables of EnCodec and Mimi, and peers that are not there."""

import pytest

from streamrvq.bench import machine
from tools.peer_families.models import MissingPeerError, imported
from tools.peer_families.rows import Bar, Row, bars_table, ratio, times_table
from tools.peers_bench import main


def rows() -> list[Row]:
    ours = Row("ours", "C++", "encode", "hop by hop", None, ours=True, seconds=[1.0, 2.0, 10.0])
    slow = Row("slow", "C", "encode", "in bulk", None, seconds=[9.0, 9.0, 9.0])
    fast = Row("fast", "C", "encode", "in bulk", None, seconds=[3.0, 5.0, 30.0])
    absent = Row("absent", "C", "encode", "in bulk", None, "not measured: No module named 'absent'")
    decode = Row("ours", "C++", "decode", "hop by hop", None, ours=True, seconds=[1.0])
    return [ours, slow, fast, absent, decode]


def test_ratios_are_those_of_rounds() -> None:
    ours, slow, fast, *_ = rows()
    assert ratio(ours, fast) == 3.0
    assert ratio(ours, slow) == 4.5


@pytest.mark.parametrize(("wanted", "verdict"), [(3.0, "met"), (3.1, "not met")])
def test_the_fastest_peer_is_the_bar(wanted: float, verdict: str) -> None:
    lines = bars_table(rows(), [Bar("hop by hop", "in bulk", wanted)]).splitlines()
    assert lines[2] == f"| encode, hop by hop | fast, in bulk | 3.00 | {wanted:g} | {verdict} |"
    assert lines[3].endswith(f"none could be run | – | {wanted:g} | not measured |")


def test_a_missing_peer_is_a_row() -> None:
    lines = times_table(rows(), audio=4.0).splitlines()
    assert "| absent (not measured: No module named 'absent') | C | encode | in bulk | – |" in lines
    assert "| ours | C++ | encode | hop by hop | 0.5000 |" in lines
    with pytest.raises(MissingPeerError, match="not measured: No module named 'no_such_codec'"):
        imported("no_such_codec")


@pytest.mark.heavy
@pytest.mark.parametrize(("family", "model"), [("encodec", "EncodecModel"), ("mimi", "MimiModel")])
def test_a_family_is_timed(
    family: str, model: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "SECONDS", 0.03)
    assert main(["--family", family, "--seconds", "0.2", "--rounds", "1", "--threads", "1"]) == 0
    out = capsys.readouterr().out
    for words in (
        f"| transformers {model} | PyTorch | encode | in bulk |",
        "bounds a hop",
        "of the peak of arithmetic",
    ):
        assert words in out, out

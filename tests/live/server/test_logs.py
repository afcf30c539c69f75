"""What may come by the thousand is logged once, and then counted."""

from __future__ import annotations

import logging

import pytest

from streamrvq.live.server.logs import ConnectionLog, Repeats


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_the_first_is_logged_and_the_others_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "streamrvq.server")
    repeats = Repeats(period=10.0)
    for second in range(5):
        repeats.log(float(second), "refused", logging.WARNING, "room", "10.0.0.1", why="room", number=second)
        repeats.flush(float(second))
    repeats.log(5.0, "refused", logging.INFO, "room", "10.0.0.2", why="room")
    assert messages(caplog) == ["refused why=room number=0", "refused why=room"]
    repeats.flush(10.0)
    assert messages(caplog)[2:] == ["refused kind=room of=10.0.0.1 times=4 within=10.0"]
    assert caplog.records[2].levelno == logging.WARNING
    repeats.flush(15.0)
    repeats.flush(20.0)
    repeats.log(21.0, "refused", logging.WARNING, "room", "10.0.0.1", why="again")
    assert messages(caplog)[3:] == ["refused why=again"]  # nothing had come for a whole period


def test_nothing_is_lost_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "streamrvq.server")
    repeats = Repeats()
    for _ in range(3):
        repeats.log(0.0, "cut", logging.WARNING, "pings", "a")
    repeats.flush(float("inf"))
    assert messages(caplog)[-1] == "cut kind=pings of=a times=2 within=10.0"


def test_kinds_are_bounded(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "streamrvq.server")
    repeats = Repeats(most=8)
    for number in range(10_000):
        repeats.log(0.0, "refused", logging.WARNING, "room", f"10.0.{number // 256}.{number % 256}")
    repeats.flush(float("inf"))
    assert len(caplog.records) == 8 + 1 + 1
    assert messages(caplog)[-1] == "refused kind=room of=others times=9991 within=10.0"


def test_a_connection_that_begins_a_stream_has_its_own_lines(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "streamrvq.server")
    repeats = Repeats()
    for number in range(3):
        ConnectionLog(number, ("10.0.0.1", number), repeats, lambda: 0.0).end("closed", "4401", code=4401)
    assert messages(caplog) == ["closed conn=0 peer=10.0.0.1:0 code=4401"]
    log = ConnectionLog(7, ("10.0.0.1", 7), repeats, lambda: 0.0)
    log.begin()
    log.end("closed", "4401", code=4401)
    assert messages(caplog)[1:] == ["connected conn=7 peer=10.0.0.1:7", "closed conn=7 code=4401"]


def test_streams_of_one_address_that_come_by_the_thousand_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "streamrvq.server")
    repeats, now = Repeats(streams=3), 0.0

    def stream(address: str, number: int) -> None:
        log = ConnectionLog(number, (address, 1), repeats, lambda: now)
        log.begin()
        log("started", mode="encode")
        log.end("closed", "1000", code=1000)

    for number in range(1000):
        stream("10.0.0.1", number)
    assert len(caplog.records) == 3 * 3 + 3  # three streams, and the first of each event that is counted
    caplog.clear()
    repeats.flush(now := 10.0)
    assert messages(caplog) == [
        "connected of=10.0.0.1 times=996 within=10.0",
        "started of=10.0.0.1 times=996 within=10.0",
        "closed kind=1000 of=10.0.0.1 times=996 within=10.0",
    ]
    caplog.clear()
    stream("10.0.0.1", 1000)
    stream("10.0.0.2", 1001)
    assert len(caplog.records) == 2 * 3


def test_addresses_of_streams_are_bounded(caplog: pytest.LogCaptureFixture) -> None:
    repeats = Repeats(most=8, streams=1)
    assert sum(repeats.begin_stream(0.0, f"10.0.0.{number}") for number in range(100)) == 9
    assert len(repeats._begun) == 9
    repeats.flush(10.0)
    assert not repeats._begun

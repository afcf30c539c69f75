"""The attacks of tools/load: each of them reaches a server, and the codes of a client beside it are right."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import json
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

import streamrvq
from tests.support.contract import noise
from tests.support.patience import PATIENCE
from tests.support.service import CAUSAL, RATE, serving, until
from tools.load_test.attacks.attack import Attack, keep_up
from tools.load_test.attacks.registry import ATTACKS, attacks_named
from tools.load_test.attacks.target import Target
from tools.load_test.errors import LoadError
from tools.load_test.modes import attack_report
from tools.load_test.modes.attack import VISITS, Phases
from tools.load_test.modes.attack_report import Growth

#: Connections of an attacker, where it has more; attempts and seconds of audio of a test.
MOST, ATTEMPTS, SECONDS = 16, 8, 1


async def codes_beside(attack: Attack, target: Target, url: str, pcm: np.ndarray) -> np.ndarray:
    """The codes of a client that sends while a server is attacked."""
    attacking = asyncio.create_task(keep_up(attack, target, PATIENCE))
    try:
        async with streamrvq.connect(url, sample_rate=RATE, format="f32le", token="honest") as stream:
            for number, block in enumerate(np.array_split(pcm, 20)):
                due = min(number, ATTEMPTS)  # so that attempts come between the blocks, however fast they are sent
                await until(lambda due=due: attacking.done() or target.tally.attempts >= due)
                await stream.send(block)
            await until(lambda: attacking.done() or target.tally.attempts >= ATTEMPTS)
            await stream.stop()
            return np.concatenate([item.codes async for item in stream], 1)
    finally:
        attacking.cancel()
        with suppress(asyncio.CancelledError):
            await attacking


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_happens_and_changes_no_code(name: str) -> None:
    attack = ATTACKS[name]
    attack = dataclasses.replace(attack, connections=min(MOST, attack.connections))
    pcm = noise(SECONDS * RATE)

    async def run() -> None:
        async with serving(tokens=("honest", "hostile"), max_streams=128) as server, asyncio.timeout(PATIENCE):
            target = Target(server.port, "hostile" if attack.authenticated else "")
            codes = await codes_beside(attack, target, server.url, pcm)
            assert target.tally.attempts >= ATTEMPTS
            assert np.array_equal(codes, CAUSAL.encode(pcm))
            await until(lambda: not server.streams)

    asyncio.run(run())


def test_an_attack_without_a_token_opens_nothing() -> None:
    async def run() -> None:
        async with serving(tokens=("honest",), max_streams=64, close_timeout=0.1) as server:
            target = Target(server.port, "wrong")
            attacking = asyncio.create_task(
                keep_up(dataclasses.replace(ATTACKS["parked"], connections=1), target, PATIENCE)
            )
            await until(lambda: attacking.done() or target.tally.broken or target.tally.attempts)  # it was refused
            attacking.cancel()
            with suppress(asyncio.CancelledError):
                await attacking
            assert target.tally.attempts == 0
            assert not server.streams

    asyncio.run(run())


def test_an_attack_goes_on_until_its_first_attempt() -> None:
    """However late that is: a busy machine may give an attacker no time in a phase."""

    async def connect(target: Target) -> None:
        await asyncio.sleep(0.2)
        target.tally.attempts += 1

    assert asyncio.run(keep_up(Attack("late", "comes late", connect, connections=1), Target(1), 0)).attempts == 1


def test_an_attack_that_is_written_wrongly_is_seen() -> None:
    async def connect(_: Target) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asyncio.run(keep_up(Attack("wrong", "fails", connect, connections=2), Target(1), PATIENCE))


@given(st.floats(0.5, 1000), st.floats(0.5, 20))
def test_it_is_quiet_first_and_last(seconds: float, least: float) -> None:
    phases = Phases.of(seconds, least)
    assert phases.count % 2 == 1
    assert phases.count >= 3
    assert phases.seconds >= least or phases.count == 3
    assert phases.count * phases.seconds == pytest.approx(seconds)
    starts, visits = phases.starts, phases.visits()
    assert len(starts) == phases.count // 2
    assert 1 <= len(visits) <= VISITS
    for visit in visits:
        assert any(start < visit < start + phases.seconds for start in starts), "a client comes while it is quiet"


def test_twenty_clients_come_in_half_a_minute() -> None:
    assert {len(Phases.of(30, attack.phase).visits()) for attack in ATTACKS.values()} == {VISITS}


@pytest.mark.parametrize(
    ("phases", "attacked", "failing"),
    [
        ([8.0, 9.0, 7.0, 12.0, 9.0], 16.0, set()),
        ([8.0, 30.0, 9.0], 30.0, {"p99 moves by at most a hop"}),
        ([8.0, 30.0, 29.0], 30.0, {"p99 moves by at most a hop", "latency comes back"}),
        ([None, 8.0, None], 8.0, {"p99 moves by at most a hop", "latency comes back"}),
    ],
)
def test_an_attack_is_compared_with_the_quietest_phase(
    phases: list[float | None], attacked: float, failing: set[str]
) -> None:
    figures = {"latency_p99_ms_by_period": phases, "latency_ms_near_faults": {"p99": attacked}}
    _, checks = attack_report.of_latency(figures, 0.01)
    assert {check.name for check in checks if not check.good} == failing


def test_growth_is_measured_from_before_the_attack() -> None:
    assert Growth.of([(0, 5), (1, 7), (2, 30), (3, 9)], 1.5) == Growth(quiet=7, most=30, after=9)


def test_a_server_that_does_not_survive_is_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object) -> None:
        raise LoadError("the server is [gone]")

    monkeypatch.setattr(attack_report, "attack_report", gone)
    experiment: Any = None
    reports = attack_report.attack_reports(experiment, attacks_named("parked,headers"))
    assert not reports.good
    assert json.loads(reports.to_json())["parked"] == {}
    shown = io.StringIO()
    reports.show(Console(file=shown, width=120))
    assert "NO headers: the run came to its end: the server is [gone]" in shown.getvalue()


def test_attacks_by_name() -> None:
    assert attacks_named("all") == list(ATTACKS.values())
    assert attacks_named("parked, headers") == [ATTACKS["parked"], ATTACKS["headers"]]
    with pytest.raises(LoadError, match="'header'; wanted all, list"):
        attacks_named("parked,header")

"""An interrupt waits for a safe place, and comes there."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator

import pytest

from streamrvq.system.interrupts import DeferredInterrupts, ended_by_signals, interrupts_raised, ordered_termination


@pytest.fixture(autouse=True)
def no_handler_for_sigterm() -> Iterator[None]:
    """Other tests' libraries leave one: Ray does."""
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGTERM, before)


def test_an_interrupt_waits_for_check() -> None:
    before, reached = signal.getsignal(signal.SIGINT), []
    with pytest.raises(KeyboardInterrupt), DeferredInterrupts() as interrupts:
        signal.raise_signal(signal.SIGINT)
        reached.append("after the signal")
        interrupts.check()
        reached.append("after check")
    assert reached == ["after the signal"]
    assert signal.getsignal(signal.SIGINT) is before


def test_the_end_delivers_one_that_nobody_asked_for() -> None:
    reached = []
    with pytest.raises(KeyboardInterrupt):
        with DeferredInterrupts():
            signal.raise_signal(signal.SIGINT)
            reached.append("inside")
        reached.append("behind")
    assert reached == ["inside"]


def test_without_an_interrupt_nothing_happens() -> None:
    with DeferredInterrupts() as interrupts:
        interrupts.check()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_another_thread_changes_nothing() -> None:
    seen = []

    def run() -> None:
        with DeferredInterrupts():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]


def test_termination_waits_too_and_exits() -> None:
    reached = []
    with pytest.raises(SystemExit) as left, DeferredInterrupts() as interrupts:
        signal.raise_signal(signal.SIGTERM)
        reached.append("after the signal")
        assert not interrupts.repeated
        signal.raise_signal(signal.SIGINT)
        assert interrupts.repeated
        interrupts.check()
        reached.append("after check")
    assert left.value.code == 143
    assert reached == ["after the signal"]
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with DeferredInterrupts() as interrupts, ordered_termination():
            signal.raise_signal(signal.SIGTERM)
            assert interrupts.came == 0
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_second_one_comes_at_once_where_that_is_wanted() -> None:
    reached = []
    with pytest.raises(KeyboardInterrupt), DeferredInterrupts(second_at_once=True):
        signal.raise_signal(signal.SIGINT)
        reached.append("after the first")
        signal.raise_signal(signal.SIGINT)
        reached.append("after the second")
    assert reached == ["after the first"]


@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_an_interrupt_while_handlers_change_leaves_none_of_ours(monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """Whoever presses Ctrl-C again and again must not lose SIGTERM, nor the other way round."""
    real, calls = signal.signal, 0

    def changed(number: int, handler: object) -> object:
        nonlocal calls
        before = real(number, handler)  # type: ignore[arg-type]
        calls += 1
        if calls == at:
            raise KeyboardInterrupt
        return before

    monkeypatch.setattr(signal, "signal", changed)
    with pytest.raises(KeyboardInterrupt), DeferredInterrupts():
        pass
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_termination_in_order_raises_and_is_put_back() -> None:
    with pytest.raises(SystemExit) as left, ordered_termination():
        signal.raise_signal(signal.SIGTERM)
    assert left.value.code == 143
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_handler_that_only_notes_an_interrupt_is_replaced_for_a_while() -> None:
    noted: list[int] = []

    def note(number: int, frame: object) -> None:
        noted.append(number)

    before = signal.signal(signal.SIGINT, note)
    try:
        with pytest.raises(KeyboardInterrupt), interrupts_raised():
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is note
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with interrupts_raised():
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert noted == []


def test_a_second_interrupt_cancels_the_task_as_asyncio_does() -> None:
    """In the middle of the event loop it would leave open whatever is being closed."""
    seen: list[str] = []

    async def main() -> None:
        asked = asyncio.Event()
        with ended_by_signals(asyncio.get_running_loop(), asked.set):
            signal.raise_signal(signal.SIGINT)
            await asked.wait()
            signal.raise_signal(signal.SIGINT)
            seen.append("goes on")
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)
                seen.append("closed")

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())
    assert seen == ["goes on", "closed"]
    assert signal.getsignal(signal.SIGINT) == before

"""An interrupt waits for a safe place, and comes there."""

from __future__ import annotations

import signal
import threading

import pytest

from streamrvq.system.interrupts import DeferredInterrupts


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

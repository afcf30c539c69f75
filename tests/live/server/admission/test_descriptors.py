"""Connections that fit the process's file descriptors."""

from __future__ import annotations

import resource

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streamrvq.live.server.admission import descriptors
from streamrvq.live.server.admission.descriptors import MOST_LINGERING, Room, room_for


@given(free=st.integers(0, 2000), unauthenticated=st.integers(1, 500), authenticated=st.integers(1, 500))
@example(free=14, unauthenticated=1, authenticated=1)
@example(free=16, unauthenticated=2, authenticated=1)
def test_no_more_than_fit_and_no_more_than_wanted(free: int, unauthenticated: int, authenticated: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(descriptors, "_free_descriptors", lambda: free)
        room = room_for(unauthenticated, authenticated)
    assert 1 <= room.authenticated <= authenticated
    assert 1 <= room.unauthenticated <= max(2, unauthenticated)
    if free >= 2 * unauthenticated + authenticated + MOST_LINGERING:
        assert room == Room(unauthenticated, authenticated)
    elif room.unauthenticated > 2:
        assert 2 * room.unauthenticated + room.authenticated <= free


def test_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    infinite = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    monkeypatch.setattr(resource, "getrlimit", lambda which: infinite)
    assert room_for(10_000, 10_000) == Room(10_000, 10_000)


@pytest.mark.parametrize(
    ("limits", "refused", "wanted"),
    [
        ((64, 4096), (), [(4096, 4096)]), ((64, 64), (), []),
        ((256, resource.RLIM_INFINITY), (resource.RLIM_INFINITY,), [(10_240, resource.RLIM_INFINITY)]),
    ],
)  # fmt: skip
def test_the_limit_is_raised(
    limits: tuple[int, int], refused: tuple[int, ...], wanted: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    done = []

    def setrlimit(which: int, new: tuple[int, int]) -> None:
        if new[0] in refused:
            raise ValueError("not permitted")
        done.append(new)

    monkeypatch.setattr(resource, "getrlimit", lambda which: limits)
    monkeypatch.setattr(resource, "setrlimit", setrlimit)
    descriptors.raise_limit()
    assert done == wanted

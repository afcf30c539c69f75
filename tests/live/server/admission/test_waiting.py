"""A bounded set: it never grows beyond its limits, and no address can keep the others out."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from streamrvq.live.server.admission.waiting import Waiting


@given(
    groups=st.lists(st.sampled_from("abcd"), max_size=60), most=st.integers(1, 8), of_one=st.integers(1, 8),
    leave=st.sets(st.integers(0, 59)),
)  # fmt: skip
def test_limits_hold_and_the_newest_gets_in(groups: list[str], most: int, of_one: int, leave: set[int]) -> None:
    waiting: Waiting[int] = Waiting(most, of_one)
    left: set[int] = set()
    for number, group in enumerate(groups):
        before = {item: groups[item] for item in waiting}
        gone = waiting.add(number, group, 0.0)
        assert number in waiting
        assert len(waiting) <= most
        assert max(Counter(groups[item] for item in waiting).values()) <= of_one
        if gone is not None:
            assert gone not in waiting
            counts = Counter(before.values())
            assert before[gone] == group or counts[before[gone]] == max(counts.values())
            assert gone == min(item for item in before if before[item] == before[gone])  # the oldest of its group
            left.add(gone)
        if number in leave:
            assert waiting.remove(number)
            assert not waiting.remove(number)
            left.add(number)
        assert list(waiting) == [item for item in range(number + 1) if item not in left]


def test_many_of_one_address_do_not_push_out_another() -> None:
    waiting: Waiting[str] = Waiting(4, 4)
    waiting.add("good", "a", 0.0)
    for number in range(100):
        waiting.add(f"bad {number}", "b", 0.0)
    assert "good" in waiting


def test_who_has_waited_for_too_long() -> None:
    waiting: Waiting[str] = Waiting(3, 3)
    for name, since in (("x", 1.0), ("y", 2.0)):
        waiting.add(name, "a", since)
    assert waiting.shortest_stay(5.0) == float("inf")
    waiting.add("z", "b", 3.0)
    assert waiting.shortest_stay(5.0) == 4.0
    assert waiting.late(2.5) == ["x", "y"]
    assert list(waiting) == ["z"]
    assert waiting.make_room() == "z"
    assert waiting.make_room() is None
    assert waiting.shortest_stay(5.0) == float("inf")

"""Who keeps a parked stream where there are too many, and who may resume which, also against a model in plain lists."""

from collections import Counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from streamrvq.errors import ProtocolError
from streamrvq.live.server.modes import ServedDecoder, ServedEncoder
from streamrvq.live.server.sessions import Sessions

MAX_OPEN, MAX_PARKED, PARK_SECONDS = 4, 3, 30.0


class Encoder(ServedEncoder):
    """A stream that computes nothing."""

    def __init__(self, empty=False):
        self.error, self.dropped, self._empty = None, False, empty

    @property
    def empty(self):
        return self._empty

    def rewind(self, next_frame):
        if next_frame > 10:
            raise ProtocolError("only 10 frames have been made")

    def park(self):
        pass

    def drop(self):
        self.dropped = True


class Decoder(ServedDecoder):
    def __init__(self):
        self.error = None

    def drop(self):
        pass


def sessions_of(max_parked=MAX_PARKED):
    ended = []
    return Sessions(MAX_OPEN, max_parked, PARK_SECONDS, ended.append), ended


def parked(sessions, identity="", address="a", empty=False, now=0.0):
    session = sessions.add(Encoder(empty), identity, lambda: None, address)
    return session, sessions.park(session, now)


def kept(sessions, *some):
    """Which of some sessions can still be resumed; they are, and parked again."""
    result = []
    for session in some:
        try:
            sessions.resume(session.name, session.identity, 0, lambda: None, session.address)
        except ProtocolError as error:
            assert error.code == 4404
            result.append(False)
        else:
            assert sessions.park(session, 0.0)
            result.append(True)
    return result


def test_many_empty_ones_end_each_other():
    sessions, _ = sessions_of()
    victim, _ = parked(sessions)
    others = [parked(sessions, empty=True, now=1.0 + number)[0] for number in range(16)]
    assert kept(sessions, victim, *others[:-2], *others[-2:]) == [True, *[False] * 14, True, True]


def test_an_empty_one_is_not_kept_where_all_others_hold_audio():
    sessions, _ = sessions_of()
    victims = [parked(sessions, address=address)[0] for address in "abc"]
    assert parked(sessions, address="d", empty=True, now=1.0)[1] is False
    assert kept(sessions, *victims) == [True] * 3


@pytest.mark.parametrize("owner", ["identity", "address"])
def test_one_client_ends_its_own(owner):
    sessions, _ = sessions_of()
    victim, _ = parked(sessions, **{owner: "victim"})
    others = [parked(sessions, **{owner: "attacker"}, now=1.0 + number)[0] for number in range(5)]
    assert kept(sessions, victim, *others) == [True, False, False, False, True, True]


def test_many_addresses_of_one_token_end_each_other():
    sessions, _ = sessions_of()
    victim, _ = parked(sessions, identity="victim", address="v")
    others = [parked(sessions, "attacker", str(number), now=1.0 + number)[0] for number in range(5)]
    assert kept(sessions, victim, *others) == [True, False, False, False, True, True]


def test_among_equals_the_oldest_ends():
    sessions, _ = sessions_of()
    some = [parked(sessions, address=address, now=float(now))[0] for now, address in enumerate("abcd")]
    assert kept(sessions, *some) == [False, True, True, True]


def test_a_sealed_session_is_nobodys_and_another_may_be_opened():
    sessions, ended = sessions_of()
    session = sessions.add(Encoder(), "", lambda: pytest.fail("taken over"), "a")
    sessions.seal(session)
    assert session.stream.dropped
    assert kept(sessions, session) == [False]
    assert (sessions.open, sessions.parked) == (0, 0)
    sessions.seal(session)
    assert sessions.park(session, 0.0) is False
    assert (sessions.open, sessions.parked) == (0, 0)
    assert ended == [session.stream]


def test_a_stream_that_failed_cannot_be_resumed():
    sessions, _ = sessions_of()
    held = sessions.add(Encoder(), "", lambda: pytest.fail("taken over"), "a")
    other, _ = parked(sessions)
    for session in (held, other):
        session.stream.error = ValueError()
    assert kept(sessions, held, other) == [False, False]
    assert sessions.park(held, 0.0) is False


class Machine(RuleBasedStateMachine):
    """Any number of clients that open, lose, resume and end streams."""

    names = Bundle("names")

    @initialize()
    def begin(self):
        self.sessions, self.ended = sessions_of()
        self.now, self.held, self.parked, self.all = 0.0, {}, {}, {}
        self.taken = []

    @property
    def open(self):
        return sum(not session.sealed for session in self.held.values())

    @rule(target=names, identity=st.sampled_from("xy"), address=st.sampled_from("ab"), kind=st.sampled_from("fed"))
    def add(self, identity, address, kind):
        if self.open >= MAX_OPEN:
            with pytest.raises(ProtocolError):
                self.sessions.check_capacity()
            return None
        stream = Decoder() if kind == "d" else Encoder(kind == "e")
        session = self.sessions.add(stream, identity, lambda: None, address)
        self.held[session.name] = self.all[session.name] = session
        return session.name

    @rule(name=names, later=st.floats(0.1, 5.0))
    def lose(self, name, later):
        self.now += later
        session = self.held.pop(name, None)
        if session is None:
            return
        before = dict(self.parked)
        stays = self.sessions.park(session, self.now)
        if isinstance(session.stream, Decoder) or session.sealed:
            assert not stays
            return
        self.parked[name] = session
        if len(before) == MAX_PARKED:  # one too many: whose it is
            (gone,) = [s for s in self.parked.values() if s.name not in self.sessions._all]
            some = [s for s in self.parked.values() if s.stream.empty] or list(self.parked.values())
            counts = Counter(s.identity for s in some)
            assert counts[gone.identity] == max(counts.values())
            assert gone in some
            same = [s for s in some if (s.identity, s.address) == (gone.identity, gone.address)]
            assert gone.parked_at == min(s.parked_at for s in same)
            del self.parked[gone.name]
        assert stays == (name in self.parked)

    @rule(name=names, identity=st.sampled_from("xy"), frame=st.sampled_from([0, 11]))
    def resume(self, name, identity, frame):
        if name is None:
            return
        session = self.all[name]
        mine = session.identity == identity and isinstance(session.stream, Encoder) and not session.sealed
        there = name in self.held or name in self.parked
        room = name in self.held or self.open < MAX_OPEN
        if mine and there and room and frame == 0:
            taken = []
            session.on_takeover = lambda: taken.append(name)
            assert self.sessions.resume(name, identity, frame, lambda: None, "a") is session
            assert taken == [name] * (name in self.held)
            self.parked.pop(name, None)
            self.held[name] = session
        else:
            with pytest.raises(ProtocolError) as refusal:
                self.sessions.resume(name, identity, frame, lambda: None, "a")
            assert refusal.value.code == (4404 if not (mine and there) else 1013 if not room else 4400)

    @rule(name=names)
    def seal(self, name):
        if name in self.held:
            self.sessions.seal(self.held[name])

    @rule(name=consumes(names))
    def end(self, name):
        if name is not None:
            self.sessions.end(self.all[name])
            self.held.pop(name, None)
            self.parked.pop(name, None)

    @rule(later=st.floats(0.0, 40.0))
    def expire(self, later):
        self.now += later
        late = [name for name, s in self.parked.items() if self.now - s.parked_at > PARK_SECONDS]
        assert self.sessions.expire(self.now) == len(late)
        for name in late:
            del self.parked[name]

    @invariant()
    def counts_are_right(self):
        assert (self.sessions.open, self.sessions.parked) == (self.open, len(self.parked))
        assert len(self.parked) <= MAX_PARKED


Machine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestSessions = Machine.TestCase

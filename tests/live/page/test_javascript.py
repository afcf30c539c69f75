"""The JavaScript client in Node: it gives what the Python client gives, and resumes a stream whose connection broke."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import streamrvq
from tests.live.server.test_service import offline
from tests.support.contract import cut, noise
from tests.support.parking import CODEBOOKS, RATE, Parking
from tests.support.parking import HOP as PARKED_HOP
from tests.support.patience import DEADLINE, PATIENCE
from tests.support.service import CAUSAL, DELAYED, int16, serving
from tests.support.web.javascript import ROOT, codes_of, node, played, samples_of, sending

pytestmark = pytest.mark.asyncio

#: mode, rate, format, what is sent
STREAMS = [
    ("encode", 8_000, "s16le", np.int16), ("encode", 16_000, "s16le", np.float32),
    ("encode", 44_100, "f32le", np.int16), ("encode", 48_000, "f32le", np.float32),
    ("decode", None, "f32le", None), ("decode", 48_000, "s16le", None),
]  # fmt: skip


def plan(url: str, *steps: list[Any], stop: bool = True, **options: Any) -> dict[str, Any]:
    return {"url": url, "options": options, "steps": [*steps, *([["stop"]] if stop else [])]}


async def test_codes_and_samples_equal_the_offline_ones() -> None:
    plans, wanted = [], []
    async with serving(DELAYED) as server:
        for number, (mode, rate, format, dtype) in enumerate(STREAMS):
            rng = np.random.default_rng(number)
            data = rng.integers(0, 64, (3 - number % 2, 300)) if mode == "decode" else noise(rate // 2, number)
            if dtype == np.int16:
                data = int16(data)
            elif mode == "encode" and format == "s16le":  # the client rounds it
                data = int16(data).astype(np.float32) / 32768
            pieces = cut(data, [0, 1, 20_000, *rng.integers(1, 700, 40).tolist()])
            options = {"mode": mode, "sampleRate": rate, "format": format}
            plans.append(plan(server.url, *map(sending, pieces), **options))
            wanted.append(offline(DELAYED, mode, rate or DELAYED.sample_rate, format, data))
        ends = await played(*plans)
    for (mode, *_), events, whole in zip(STREAMS, ends, wanted, strict=True):
        assert not [event for event in events if event["type"] == "error"]
        assert np.array_equal(codes_of(events) if mode == "encode" else samples_of(events), whole)
        done = events[-1]["done"]
        assert done["frames" if mode == "encode" else "samples"] == whole.shape[-1]


async def test_markers_gaps_and_levels_equal_the_python_clients() -> None:
    pcm = int16(noise(12_000))
    async with serving() as server:
        async with streamrvq.connect(server.url, format="s16le") as stream:
            await stream.send(pcm[:5000])
            await stream.marker("a")
            await stream.gap(700)
            await stream.send(pcm[5000:9000])
            await stream.gap(40_000)
            await stream.set(2)
            await stream.marker(7)
            await stream.send(pcm[9000:])
            await stream.stop()
            items = [item async for item in stream]
        (events,) = await played(
            plan(
                server.url, sending(pcm[:5000]), ["marker", "a"], ["gap", 700], sending(pcm[5000:9000]),
                ["gap", 40_000], ["set", 2], ["marker", 7], sending(pcm[9000:]),
            )
        )  # fmt: skip
    assert [e["id"] for e in events if e["type"] == "marker"] == ["a", 7]
    assert [(e["position"], e["samples"], e["filled"]) for e in events if e["type"] == "gap"] == [
        (item.position, item.samples, "zeros" in item.reason) for item in items if isinstance(item, streamrvq.Gap)
    ]

    def frames(level: int) -> list[int]:
        """Every code of a level, wherever it is sent."""
        return [code for e in events if e["type"] == "frames" for code in e["codes"][level :: e["codebooks"]]
                if level < e["codebooks"]]  # fmt: skip

    wanted = [item for item in items if isinstance(item, streamrvq.Frames)]
    for level in range(3):
        assert frames(level) == [int(c) for item in wanted if level < len(item.codes) for c in item.codes[level]]
    # the scheduler decides which frames share a message: compare frame by frame, a hop apart within a message
    hop = CAUSAL.hop_length / CAUSAL.sample_rate
    frames_of = [(e["time"], len(e["codes"]) // e["codebooks"]) for e in events if e["type"] == "frames"]
    times = [time + hop * i for time, count in frames_of for i in range(count)]
    assert times == pytest.approx([item.time + hop * i for item in wanted for i in range(item.codes.shape[1])])
    stats = events[-1]["stats"]
    assert (stats["gaps"], stats["lost"], stats["frames"]) == (2, 40_700, events[-1]["done"]["frames"])
    assert 0 < stats["latencyP50"] <= stats["latencyP99"]


async def test_refusals_have_the_servers_code() -> None:
    block = sending(noise(100))
    async with serving(tokens=("right",)) as server:
        url = server.url
        ends = await played(
            plan(url),
            plan(url, token="wrong"),
            plan(url, token="right", mode="wrong"),
            plan(url, token="right", sampleRate=7),
            plan(url, token="right", nQuantizers=9),
            plan(url, block, token="right"),
            plan("ws://127.0.0.1:1/"),
        )
    assert [[e["code"] for e in events if e["type"] == "error"] for events in ends] == [
        [4401], [4401], [4415], [4415], [4415], [], [1006],
    ]  # fmt: skip
    assert {e["name"] for events in ends for e in events if e["type"] == "error"} == {"ServiceError"}
    async with serving(max_streams=1) as server, streamrvq.connect(server.url):
        (events,) = await played(plan(server.url))
    assert [(e["doing"], e["code"]) for e in events] == [("connect", 1013)]


async def test_bad_input_is_refused_and_leaves_the_stream_as_it_was() -> None:
    pcm = noise(1000)
    bad = [
        sending(np.array([0, np.nan], np.float32)), sending(np.array([200], np.float32)),
        ["send", "float64", base64.b64encode(bytes(8)).decode()], ["gap", 0], ["gap", 0.5], ["marker", 0.5],
        ["marker", "x" * 65], ["set", 0], ["set", 4],
    ]  # fmt: skip
    codes = CAUSAL.encode(pcm)
    high = [sending(np.full((3, 1), 64)), sending(np.zeros((4, 1), int)), ["send", "codes2", "AAAAAAAA"]]
    async with serving() as server:
        encoded, decoded, after = await played(
            plan(server.url, sending(pcm[:500]), *bad, sending(pcm[500:]), format="f32le"),
            plan(server.url, sending(codes[:, :9]), *high, sending(codes[:, 9:]), mode="decode", format="f32le"),
            plan(server.url, ["stop"], sending(pcm), ["gap", 1]),
        )
    assert [e["name"] for e in encoded if e["type"] == "error"] == ["InputError"] * len(bad)
    assert np.array_equal(codes_of(encoded), codes)
    assert [e["name"] for e in decoded if e["type"] == "error"] == ["InputError"] * len(high)
    assert np.array_equal(samples_of(decoded), CAUSAL.decode(codes).astype(np.float32))
    assert [e["name"] for e in after if e["type"] == "error"] == ["StreamClosedError"] * 2


async def test_a_format_that_this_client_lacks_is_refused_before_anything_is_sent() -> None:
    async with serving() as server:
        (events,) = await played(plan(server.url, stop=False, format="mulaw"))
    assert [(e["doing"], e["name"], e["message"]) for e in events] == [
        ("connect", "InputError", "format is mulaw; wanted s16le or f32le")
    ]


async def test_the_servers_last_error_is_raised_after_the_items() -> None:
    pcm = noise(1000)
    async with serving(idle_timeout=DEADLINE) as server:
        quiet = plan(server.url, sending(pcm), stop=False, format="f32le") | {"timers": False}
        (events,) = await played(quiet)
    assert [(e["doing"], e["code"]) for e in events if e["type"] == "error"] == [("read", 4408)]
    assert np.array_equal(codes_of(events), CAUSAL.encode(pcm)[:, : 1000 // 64])


async def test_a_client_that_pauses_is_not_cut_off() -> None:
    codes, pcm = np.zeros((3, 5), int), noise(640)
    limit = 3
    async with serving(idle_timeout=limit) as server:
        encoded, decoded, fixed = await played(
            plan(server.url, sending(pcm[:300]), ["pause", 2 * limit], sending(pcm[300:]), format="f32le"),
            plan(server.url, sending(codes), ["pause", 2 * limit], sending(codes), mode="decode", format="f32le"),
            plan(server.url, ["pause", 2 * limit], sending(codes[:2]), mode="decode", nQuantizers=2),
        )
    assert not [event for event in (*encoded, *decoded, *fixed) if event["type"] == "error"]
    assert np.array_equal(codes_of(encoded), CAUSAL.encode(pcm))
    assert (decoded[-1]["done"]["frames"], fixed[-1]["done"]["frames"]) == (10, 5)


async def test_a_node_without_a_websocket_says_what_to_do() -> None:
    if len(node()) == 1:
        pytest.skip("this Node has a WebSocket of its own")
    demo = str(ROOT / "demos" / "websocket_client.mjs")
    running = await asyncio.create_subprocess_exec(node()[0], demo, "a.wav", stderr=asyncio.subprocess.PIPE)
    async with asyncio.timeout(PATIENCE):
        _, err = await running.communicate()
    assert running.returncode == 2
    assert b"--experimental-websocket" in err
    assert len(err.splitlines()) == 1


async def test_worklets() -> None:
    """Capturing and playing, as an audio thread runs them: see worklets.mjs."""
    program = [*node(), str(ROOT / "tests" / "support" / "web" / "worklets.mjs")]
    running = await asyncio.create_subprocess_exec(*program, stderr=asyncio.subprocess.PIPE)
    async with asyncio.timeout(PATIENCE):
        _, err = await running.communicate()
    assert (running.returncode, err) == (0, b""), err.decode()


# ------------------------------------------------------------- resuming


@dataclasses.dataclass(frozen=True)
class Journey:
    """The samples of each step's block, what comes after it, and where connections break."""

    steps: list[tuple[int, int | str | None]]  #: samples; after them a gap of that many samples, a marker, or nothing
    breaks: list[int] | None  #: after how many messages of each connection; None: at `stop`

    @property
    def parts(self) -> list[np.ndarray[Any, Any]]:
        """What must be encoded: the blocks, and zeros for the gaps."""
        rng, parts = np.random.default_rng(len(self.steps)), []
        for samples, behind in self.steps:
            parts.append(rng.integers(-32768, 32768, samples).astype(np.int16))
            parts.append(np.zeros(behind if isinstance(behind, int) else 0, np.int16))
        return parts

    def messages(self) -> list[list[Any]]:
        found: list[list[Any]] = []
        for number, block in enumerate(self.parts[::2]):
            found.append(sending(block))
            behind = self.steps[number][1]
            if behind is not None:
                found.append(["marker", number] if isinstance(behind, str) else ["gap", behind])
        return found


_BEHIND = st.one_of(st.none(), st.none(), st.just("marker"), st.integers(1, 59))
JOURNEYS = st.builds(
    Journey,
    st.lists(st.tuples(st.integers(1, 89), _BEHIND), min_size=25, max_size=40),
    st.one_of(st.none(), *[st.lists(st.integers(1, 24), min_size=1, max_size=3)] * 3),
)


@settings(max_examples=2)
@given(st.lists(JOURNEYS, min_size=8, max_size=8))
async def test_every_sample_is_encoded_once_however_often_the_connection_breaks(journeys: list[Journey]) -> None:
    sent = [journey.messages() for journey in journeys]
    servers = [Parking(j.breaks.copy() if j.breaks else [len(m) + 1]) for j, m in zip(journeys, sent, strict=True)]
    async with contextlib.AsyncExitStack() as stack:
        urls = [await stack.enter_async_context(server.url()) for server in servers]
        ends = await played(*(plan(url, *messages) for url, messages in zip(urls, sent, strict=True)))
    for server, events, journey in zip(servers, ends, journeys, strict=True):
        samples = np.concatenate(journey.parts)
        assert server.broken >= 1
        assert not [event for event in events if event["type"] == "error"]
        assert np.array_equal(np.array(server.taken, np.int16), samples), "every sample once, in order"
        padded = np.zeros((-(-len(samples) // PARKED_HOP) * PARKED_HOP), np.int16)
        padded[: len(samples)] = samples
        wanted = padded.view(np.uint16).reshape(-1, PARKED_HOP)[:, :CODEBOOKS].T
        assert np.array_equal(codes_of(events), wanted), "every frame once, in order"
        markers = [number for number, (_, behind) in enumerate(journey.steps) if behind == "marker"]
        assert [e["id"] for e in events if e["type"] == "marker"] == markers
        gaps = [behind for _, behind in journey.steps if isinstance(behind, int)]
        assert [e["samples"] for e in events if e["type"] == "gap"] == gaps
        assert [e["type"] for e in events if e["type"] in ("lost", "resumed")] == ["lost", "resumed"] * server.broken
        assert events[-1]["done"]["samples"] == len(samples)
        assert len(server.resumptions) == server.broken


async def test_levels_hold_across_a_break() -> None:
    pcm = np.arange(1, 10 * PARKED_HOP + 1, dtype=np.int16)
    pieces = [sending(piece) for piece in cut(pcm, [PARKED_HOP] * 10)]
    steps = [*pieces[:3], ["set", 2], *pieces[3:6], ["set", 3], *pieces[6:]]
    for break_at in (3, 4, 5):
        server = Parking([break_at])
        async with server.url() as url:
            (events,) = await played(plan(url, *steps))
        levels = [e["codebooks"] for e in events if e["type"] == "frames" for _ in range(e["count"])]
        assert levels == [4] * 3 + [2] * 3 + [3] * 4, break_at


@pytest.mark.parametrize("case", ["gone", "too old", "off"])
async def test_what_cannot_be_resumed_is_an_error(case: str) -> None:
    pieces = [sending(np.ones(RATE, np.int16)) for _ in range(16)]  # of a second, in four messages
    refuse, wants = (4404, "no such session") if case == "gone" else None, 0 if case == "too old" else None
    server = Parking([100], refuse=refuse, wants=wants)
    async with server.url() as url:
        (events,) = await played(plan(url, *pieces, *pieces, resume=case != "off"))
    errors = [e for e in events if e["type"] == "error" and e["doing"] == "read"]
    assert [(e["name"], e["code"]) for e in errors] == [("ServiceError", 1006 if case == "off" else 4404)]
    assert ("no longer kept" in errors[0]["message"]) == (case == "too old")
    assert [e["type"] for e in events if e["type"] in ("lost", "resumed")] == ([] if case == "off" else ["lost"])
    codes = codes_of(events)
    assert codes.shape[1] > 0, "the items before the error are there"
    assert set(codes.ravel()) == {1}, "the items before the error are there"

"""A refused value is named in one short sentence, even a number with more digits than Python prints."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from streamrvq import Codec, File, Microphone, StreamRVQError, connect, tokenize
from streamrvq.audio.files import open_audio
from streamrvq.bench import run_bench
from streamrvq.bench.bulk import run_bulk
from streamrvq.checking.table import check_chunkings
from streamrvq.corpus import encode_corpus
from streamrvq.corpus.plan import divide
from streamrvq.corpus.settings import Settings
from streamrvq.engine import check_device
from streamrvq.live.server.settings import ServerSettings
from streamrvq.live.sources.devices import find_device
from streamrvq.tokens.frameworks import as_framework
from streamrvq.weights import seeded
from tests.support.contract import noise
from tests.support.small_codec import CONFIG

HUGE: Any = 10**5000
CODES = np.ones((3, 4), np.int64)
CASES: dict[str, Callable[[Codec], object]] = {
    "stream sample_rate": lambda codec: codec.stream(sample_rate=HUGE),
    "stream n_quantizers": lambda codec: codec.stream(n_quantizers=HUGE),
    "stream tail": lambda codec: codec.stream(tail=HUGE),
    "stream snapshot": lambda codec: codec.stream(HUGE, snapshot=codec.stream().snapshot()),
    "encode": lambda codec: codec.encode(noise(9), sample_rate=HUGE),
    "decode": lambda codec: codec.decode(CODES, sample_rate=HUGE),
    "decoder_stream": lambda codec: codec.decoder_stream(sample_rate=HUGE),
    "save": lambda codec: codec.save("x.safetensors", HUGE),
    "pool slots": lambda codec: codec.pool(-HUGE),
    "pool direction": lambda codec: codec.pool(1, HUGE),
    "pool max_hops": lambda codec: codec.pool(1, max_hops=-HUGE),
    "pool open": lambda codec: codec.pool(1).open(sample_rate=HUGE),
    "pool max_rows": lambda codec: codec.pool(1).next_batch(max_rows=-HUGE),
    "engine": lambda codec: Codec(codec.weights, engine=HUGE),
    "threads": lambda codec: Codec(codec.weights, threads=-HUGE),
    "dtype": lambda codec: Codec(codec.weights, dtype=HUGE),
    "device": lambda codec: Codec(codec.weights, device=HUGE),
    "device and engine": lambda codec: Codec(codec.weights, engine="torch", device="cuda:" + "9" * 5000),
    "device number": lambda codec: check_device("cuda:" + "9" * 5000),
    "own engine": lambda codec: Codec(codec.weights, engine=codec.engine, threads=HUGE),
    "check size": lambda codec: check_chunkings(codec, noise(9), [-HUGE]),
    "check tail": lambda codec: check_chunkings(codec, noise(9), [8], tail=HUGE),
    "bench rounds": lambda codec: run_bench(codec, rounds=-HUGE),
    "bench seconds": lambda codec: run_bench(codec, seconds=-HUGE),
    "bench official": lambda codec: run_bench(codec, official_seconds=HUGE),
    "bench hops": lambda codec: run_bench(codec, hops=[-HUGE]),
    "bulk workers": lambda codec: run_bulk("causal-44khz", ["x"], workers=-HUGE),
    "corpus workers": lambda codec: encode_corpus(["x"], "out", workers=-HUGE),
    "corpus readers": lambda codec: encode_corpus(["x"], "out", readers=-HUGE),
    "corpus channels": lambda codec: Settings.make("x", codec, channels=HUGE),
    "corpus segments": lambda codec: Settings.make("x", codec, segment_seconds=HUGE),
    "corpus truncated": lambda codec: Settings.make("x", codec, truncated=HUGE),
    "corpus shards": lambda codec: divide([], -HUGE),
    "file block": lambda codec: File("x.wav", block=-HUGE),
    "microphone rate": lambda codec: Microphone(HUGE),
    "microphone block": lambda codec: Microphone(block=-HUGE),
    "microphone channel": lambda codec: Microphone(channel=-HUGE),
    "microphone buffer": lambda codec: Microphone(buffer=HUGE),
    "microphone device": lambda codec: find_device([], HUGE),
    "tokenize": lambda codec: tokenize(Microphone(), codec, queue_size=-HUGE),
    "connect rate": lambda codec: connect("ws://x", sample_rate=HUGE),
    "connect n_quantizers": lambda codec: connect("ws://x", n_quantizers=HUGE),
    "connect queue_size": lambda codec: connect("ws://x", queue_size=-HUGE),
    "connect resume": lambda codec: connect("ws://x", resume=-HUGE),
    "connect timeout": lambda codec: connect("ws://x", timeout=-HUGE),
    "connect proxy": lambda codec: connect("ws://x", proxy=HUGE),
    "server port": lambda codec: ServerSettings(port=HUGE),
    "server streams": lambda codec: ServerSettings(max_streams=-HUGE),
    "server timeout": lambda codec: ServerSettings(idle_timeout=-HUGE),
    "server gather": lambda codec: ServerSettings(gather=HUGE),
    "framework": lambda codec: as_framework(CODES, HUGE),
}


@pytest.fixture(scope="module")
def codec() -> Codec:
    return Codec(seeded(CONFIG))


@pytest.mark.parametrize("name", CASES)
def test_a_number_too_long_to_print_is_refused(codec: Codec, name: str) -> None:
    with pytest.raises(StreamRVQError) as refused:
        CASES[name](codec)
    assert len(str(refused.value)) < 400


def test_a_block_of_a_file(wav: Any) -> None:
    with open_audio(wav) as audio, pytest.raises(StreamRVQError, match="a block of a int samples"):
        audio.read(-HUGE)
    with pytest.raises(StreamRVQError, match="wanted track a int"):
        open_audio(wav, track=HUGE)


def test_a_number_of_numpy_is_shown_as_one(codec: Codec) -> None:
    with pytest.raises(StreamRVQError, match="n_quantizers is 99; wanted"):
        codec.stream(n_quantizers=np.int64(99))
    with pytest.raises(StreamRVQError, match="sample_rate is 7; wanted"):
        codec.stream(sample_rate=np.int64(7))

"""A child that was forked computes as its parent does, whatever the parent's threads were at.

Knows: fork. Does not know: what Python's pools make of it (tests/test_codec_processes.py). Each test runs in a process
of its own, which may not hold pytest's threads.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.contract import BUILT, needs_native
from tests.support.paths import ROOT
from tests.support.patience import PATIENCE

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")

BEFORE = """
import os, sys, threading, warnings
import numpy as np
from streamrvq import Codec, CodecConfig
from streamrvq.weights import seeded
warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads, from Python 3.12 on
WEIGHTS = seeded(CodecConfig(encoder_dim=8, decoder_dim=32, latent_dim=32))
PCM = np.sin(np.arange(44100) * 0.05).astype(np.float32)

def in_a_child(work, underway=lambda: True):
    child = os.fork()
    if not child:
        try:
            os._exit(0 if work() else 1)
        finally:
            os._exit(2)
    hit = underway()  # the fork came before the end of what another thread does
    assert os.waitpid(child, 0)[1] == 0
    return hit
"""


def run(code: str, *arguments: str) -> None:
    """Run a script. A child that hangs makes it take too long."""
    command = [sys.executable, "-c", BEFORE + code, *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("engine", BUILT)
def test_a_child_encodes_after_its_parent(engine: str) -> None:
    """With the parent's codec and with one of its own, a stream from before the fork, decoding, and a child's child."""
    run(
        """
codec = Codec(WEIGHTS, engine=sys.argv[1], threads=2)
wanted, stream = codec.encode(PCM), codec.stream()
pcm, first = codec.decode(wanted), stream.push(PCM[:20000])

def work():
    rest = [stream.push(PCM[20000:]), stream.flush()]
    own = Codec(WEIGHTS, engine=sys.argv[1], threads=2)
    in_a_child(lambda: (codec.encode(PCM) == wanted).all())
    return all([
        (np.concatenate([first, *rest], axis=1) == wanted).all(), (codec.encode(PCM) == wanted).all(),
        (own.encode(PCM) == wanted).all(), np.allclose(codec.decode(wanted), pcm, atol=1e-5),
    ])

in_a_child(work)
assert (codec.encode(PCM) == wanted).all()
""",
        engine,
    )


@pytest.mark.parametrize("engine", BUILT)
def test_a_child_of_a_process_in_a_step(engine: str) -> None:
    """Another thread encodes while this one forks."""
    run(
        """
codec = Codec(WEIGHTS, engine=sys.argv[1], threads=2)
wanted, over = codec.encode(PCM), threading.Event()

def encode():
    while not over.is_set():
        codec.encode(PCM)

thread = threading.Thread(target=encode)
thread.start()
try:
    for _ in range(5):
        in_a_child(lambda: (codec.encode(PCM) == wanted).all())
finally:
    over.set()
    thread.join()
""",
        engine,
    )


@needs_native
def test_a_child_of_a_process_that_starts_an_engine() -> None:
    """The first step starts the engine's threads, under a lock that a child must not find taken."""
    run(
        """
PCM = PCM[:2000]
wanted, hits = Codec(WEIGHTS, engine="native", threads=1).encode(PCM), 0
for _ in range(200):
    codec, begun, over = Codec(WEIGHTS, engine="native", threads=64), threading.Event(), threading.Event()
    thread = threading.Thread(target=lambda: (begun.set(), codec.encode(PCM), over.set()))
    thread.start()
    begun.wait()
    hits += in_a_child(lambda: (codec.encode(PCM) == wanted).all(), lambda: not over.is_set())
    thread.join()
    if hits == 5:
        break
assert hits == 5
"""
    )


def test_a_child_of_a_process_that_hashes_weights() -> None:
    """Another thread opens the first stream of a codec, which computes the codec's hash."""
    run(
        """
from streamrvq.weights import value

codec, begun, over = Codec(WEIGHTS, engine="torch"), threading.Event(), threading.Event()

class Hashlib:
    real = value.hashlib.sha256

    @classmethod
    def sha256(cls, data):
        if threading.current_thread() is not threading.main_thread():
            begun.set()
            over.wait()
        return cls.real(data)

value.hashlib = Hashlib
thread = threading.Thread(target=codec.stream)
thread.start()
begun.wait()
try:
    in_a_child(lambda: len(codec.stream().push(PCM)) and codec.codebooks and len(codec.codec_hash) == 64)
finally:
    over.set()
    thread.join()
"""
    )


def test_a_child_of_torch_has_one_thread() -> None:
    run(
        """
codec = Codec(WEIGHTS, engine="torch", threads=2)
assert codec.engine.threads == 2

def work():
    own = Codec(WEIGHTS, engine="torch", threads=2)
    return codec.engine.threads == own.engine.threads == 1 and codec.engine.description.endswith("float32, 1 thread")

in_a_child(work)
"""
    )

"""``tools/peers``: the time of encoding the same seconds of audio, ours and other codecs, in one run.

Every codec is run once in each round, so that a machine that slows down does so for all of them. The median of the
rounds counts. The others have random weights at their published shapes, because time does not depend on weights. They
encode offline, the whole clip at once. Ours does that too, and also encodes hop by hop as a live stream.
``--family`` times EnCodec or Mimi instead, beside their own packages (tools/peer_families).

Knows: how each codec is made and called. Does not know: what else is measured (streamrvq.bench).
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import os
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from streamrvq import Codec
from streamrvq.bench.stand_in import stand_in
from streamrvq.system.cores import available_cores
from streamrvq.weights import load_weights
from streamrvq.weights.hub import RELEASED
from streamrvq.weights.load import with_weights

from .ending import ended

ROOT = Path(__file__).parent.parent
CLIP = ROOT / "demos" / "audio" / "guitar_and_drums.flac"
LEAST = 0.1  #: seconds of it, in which there is a hop of every codec
Pcm = npt.NDArray[np.float32]


@dataclasses.dataclass
class Peer:
    """A codec that can be timed.

    Attributes:
        name, runtime: as the table has them.
        rate: Hz, of the samples that `encode` takes.
        encode: whole clip ``[samples]`` to codes.
    """

    name: str
    runtime: str
    rate: int
    encode: Callable[[Pcm], object]
    seconds: list[float] = dataclasses.field(default_factory=list)

    def run(self, pcm: Pcm) -> None:
        """Encode once, and note the time."""
        start = time.perf_counter()
        self.encode(pcm)
        self.seconds.append(time.perf_counter() - start)


def ours(preset: str, threads: int) -> list[Peer]:
    """A preset of this package, hop by hop and at once; one without weights in it with seeded ones."""
    source = with_weights(preset, "seeded" if preset in RELEASED else None)
    codec = Codec(stand_in(load_weights(source)), threads=threads)

    def live(pcm: Pcm) -> None:
        stream = codec.stream()
        for start in range(0, len(pcm), codec.hop_length):
            stream.push(pcm[start : start + codec.hop_length])
        stream.flush()

    return [
        Peer(f"streamrvq {preset}, hop by hop", "own C++", codec.sample_rate, live),
        Peer(f"streamrvq {preset}, at once", "own C++", codec.sample_rate, codec.encode),
    ]


def others() -> list[Peer]:
    """descript-audio-codec, and transformers' DAC, EnCodec and Mimi."""
    import torch
    import transformers

    official = reference()

    def offline(call: Callable[[Any], object]) -> Callable[[Pcm], object]:
        return lambda pcm: call(torch.from_numpy(pcm)[None, None])

    def padded(pcm: Any) -> Any:
        return torch.nn.functional.pad(pcm, (0, -pcm.shape[-1] % 512))

    torch.manual_seed(0)
    descript, dac = official.official_dac(), official.hf_dac()
    encodec: Any = transformers.EncodecModel(transformers.EncodecConfig())
    mimi: Any = transformers.MimiModel(transformers.MimiConfig())
    encodec.eval()
    mimi.eval()
    return [
        Peer("descript-audio-codec, 44.1 kHz", "PyTorch", 44_100, offline(lambda x: descript.encode(padded(x)))),
        Peer("transformers DacModel, 44.1 kHz", "PyTorch", 44_100, offline(lambda x: dac.encode(padded(x)))),
        Peer("transformers EncodecModel, 24 kHz, 8 codebooks", "PyTorch", 24_000,
             offline(lambda x: encodec.encode(x, bandwidth=6.0))),
        Peer("transformers MimiModel, 24 kHz, 8 codebooks", "PyTorch", 24_000,
             offline(lambda x: mimi.encode(x, num_quantizers=8))),
    ]  # fmt: skip


def reference() -> Any:
    """tests/reference/official.py, which can import `dac`; by its path, for another package calls itself ``tests``."""
    path = ROOT / "tests" / "reference" / "official.py"
    spec = importlib.util.spec_from_file_location("official", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is missing; run tools/peers in a checkout")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def longest() -> float:
    """Seconds of the shipped clip."""
    return float(soundfile.info(CLIP).duration)


def clip(rate: int, seconds: float) -> Pcm:
    """The first seconds of the shipped clip at a rate."""
    pcm, own = soundfile.read(CLIP, frames=round(seconds * soundfile.info(CLIP).samplerate), dtype="float32")
    moved: Pcm = np.ascontiguousarray(soxr.resample(pcm, own, rate), np.float32)
    return moved


def table(peers: Sequence[Peer], seconds: float) -> str:
    """The figures in Markdown."""
    rows = ["| codec | runtime | RTF of encoding |", "| --- | --- | --- |"]
    return "\n".join([*rows, *(f"| {p.name} | {p.runtime} | {median(p.seconds) / seconds:.3f} |" for p in peers)])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code."""
    parser = argparse.ArgumentParser(prog="tools/peers", description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--seconds", type=float, default=4.0, help="of audio (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=7, help="of every codec once (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=min(2, available_cores()), help="of each (default: %(default)s)")
    parser.add_argument(
        "--family", choices=["dac", "encodec", "mimi"], default="dac",
        help="dac: our DAC codecs beside all others, encoding. The others: that family beside its packages, both ways, "
             "hop by hop and in bulk (default: %(default)s)",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    if not LEAST <= options.seconds <= longest():  # more would be divided by, and not encoded
        parser.error(f"--seconds is {options.seconds:g}; wanted {LEAST:g} to {longest():g}, for the clip has no more")
    if options.rounds < 1 or options.threads < 1:
        parser.error(f"--rounds is {options.rounds}, --threads {options.threads}; wanted at least 1 of each")
    os.environ["RAYON_NUM_THREADS"] = str(options.threads)  # rustymimi's; read when it is imported

    import torch

    torch.set_num_threads(options.threads)
    if options.family != "dac":
        from tools.peer_families.run import measure

        print(measure(options.family, clip(24_000, options.seconds), options.rounds, options.threads))
        return 0
    peers = [peer for preset in ("causal-44khz", "dac-44khz") for peer in ours(preset, options.threads)]
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # theirs, not ours
        peers += others()
        clips = {rate: clip(rate, options.seconds) for rate in {peer.rate for peer in peers}}
        for peer in peers:  # once uncounted: caches, memory, lazy imports
            peer.encode(clips[peer.rate])
        for number in range(options.rounds):
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
            for peer in peers:
                peer.run(clips[peer.rate])
    print(table(peers, options.seconds))
    print(f"\nMedian of {options.rounds} rounds, {options.seconds:g} s of audio, {options.threads} threads.")
    return 0


if __name__ == "__main__":
    ended(main)

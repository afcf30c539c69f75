"""The main job: a real clip at real-time pace, codes as they come on an asyncio queue, then the check against offline.

    python demos/live_file.py [AUDIO] [--codec NAME] [--out FILE.wav]

A line is a third of a second: the first codebook's codes as colours, then all codes of its newest frame. What the live
codes decode to is written to a .wav.
"""

import argparse
import asyncio
import colorsys
import os

import numpy as np
import soundfile
from _audio import DEFAULT
from rich.console import Console
from rich.text import Text

import streamrvq
from streamrvq.cli import main
from streamrvq.compare import compare

LINE = 28  # frames a line
CHECK_SECONDS = 2  # of the clip, cut in eight ways


async def listen(path: str, codec: streamrvq.Codec, console: Console) -> tuple[np.ndarray, streamrvq.TokenStats]:
    """Codes [K, T] of the clip, taken at the pace of a microphone, and the figures of the run."""
    parts: list[np.ndarray] = []
    strip = Text()
    async with streamrvq.tokenize(streamrvq.File(path, realtime=True), codec, queue_size=64) as tokens:
        async for item in tokens:
            if isinstance(item, streamrvq.Gap):
                continue  # a file has none
            parts.append(item.codes)
            for offset, frame in enumerate(item.codes.T):
                strip.append("█", style=colour(int(frame[0]), codec.config.codebook_size))
                if len(strip) == LINE:
                    seconds = item.time + offset / codec.frame_rate
                    newest = " ".join(f"{code:4d}" for code in frame)
                    console.print(
                        Text.assemble(f"{seconds:6.2f} s  frame {item.index + offset:5d}  ", strip, f"  {newest}")
                    )
                    strip = Text()
    return np.concatenate(parts, axis=1), tokens.stats()


def colour(code: int, size: int) -> str:
    """A hue for each entry of the codebook."""
    red, green, blue = colorsys.hsv_to_rgb(code / size, 0.75, 0.9)
    return f"rgb({int(255 * red)},{int(255 * green)},{int(255 * blue)})"


def run() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("audio", nargs="?", default=str(DEFAULT))
    options.add_argument("--codec", default=streamrvq.DEFAULT_CODEC)
    options.add_argument("--out", default="round_trip.wav", help="what the codes decode to")
    arguments = options.parse_args()
    console = Console(width=120, soft_wrap=True)

    # One thread: a hop is little work to share, and on a busy or virtual machine torch's threads wait for each other.
    codec = streamrvq.load(arguments.codec, threads=1)
    trained = "" if codec.trained else " – untrained: seeded weights, whose codes are exact but mean nothing"
    console.print(
        f"[bold]{codec.name}[/]{trained}\n{codec.engine}; delay {codec.delay_frames} frames, hop {codec.hop_length}"
    )

    live, figures = asyncio.run(listen(arguments.audio, codec, console))
    assert figures.latency_p50 is not None and figures.latency_p99 is not None
    p50, p99 = 1e3 * figures.latency_p50, 1e3 * figures.latency_p99
    console.print(f"\n{figures.frames} frames of {figures.audio_seconds:.2f} s of audio; RTF {figures.rtf:.2f}")
    console.print(f"from a block's last sample to its frame on the queue: p50 {p50:.1f} ms, p99 {p99:.1f} ms")

    pcm, rate = soundfile.read(arguments.audio, dtype="float32")
    decoded = codec.decode(live)[: round(len(pcm) * codec.sample_rate / rate)]
    soundfile.write(arguments.out, decoded, codec.sample_rate)
    console.print(f"round trip, {codec.bitrate / 1000:.2f} kbps: {os.path.abspath(arguments.out)}")

    if not same(codec, live, pcm, rate, console):
        return 1
    command = ["check", arguments.codec, arguments.audio, "--seconds", str(CHECK_SECONDS), "--decode", "--threads", "1"]
    console.print(f"\n$ streamrvq {' '.join(command)}", markup=False)
    main(command)  # exits, with 1 if chunking shows
    return 0


def same(codec: streamrvq.Codec, live: np.ndarray, pcm: np.ndarray, rate: int, console: Console) -> bool:
    """Live codes against those of the whole clip: equal, but for near-ties of float32, which a float64 run judges."""
    offline = codec.encode(pcm, sample_rate=rate)
    console.print(f"live against offline: {int((live != offline).sum())} of {live.size} codes differ")
    if np.array_equal(live, offline):
        return True
    exact = streamrvq.Codec(codec.weights, dtype="float64")
    _, latents = exact.encode(pcm, sample_rate=rate, return_latents=True)
    found = compare(live, offline, latents, codec.codebooks)
    console.print(f"{found.near_ties} of the {found.differing_frames} frames with a difference are near-ties")
    return found.equal_but_for_near_ties


if __name__ == "__main__":
    raise SystemExit(run())

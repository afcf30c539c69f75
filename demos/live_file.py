"""Live tokenization: a real clip at real-time pace, codes on an asyncio queue, and a check against offline.

    python demos/live_file.py [AUDIO] [--codec NAME] [--out FILE.wav]

The live codes are decoded and written to a .wav.
"""

import argparse
import asyncio
import os

import numpy as np
from _audio import DEFAULT
from _ending import leave
from _live import listen, same, untrained
from rich.console import Console

import streamrvq
from streamrvq.audio.files import open_audio
from streamrvq.audio.writing import check_target, write_audio
from streamrvq.cli import main

CHECK_SECONDS = 2  # seconds of the clip, cut in eight ways


def run() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("audio", nargs="?", default=str(DEFAULT))
    options.add_argument("--codec", default=streamrvq.DEFAULT_CODEC)
    options.add_argument("--out", default="round_trip.wav", help="what the codes decode to")
    arguments = options.parse_args()
    console = Console(width=120, soft_wrap=True)

    # One thread: a hop is too little work to share, and on a busy or virtual machine threads wait for each other.
    codec = streamrvq.load(arguments.codec, threads=1)
    check_target(arguments.out, codec.sample_rate)
    source = streamrvq.File(arguments.audio, realtime=True, downmix=True)  # at the pace of a microphone
    both = (arguments.audio, arguments.out)
    if all(map(os.path.exists, both)) and os.path.samefile(*both):
        raise streamrvq.InputError(f"what is decoded would replace {arguments.audio}; give another name with --out")
    console.print(
        f"[bold]{codec.name}[/]{untrained(codec)}\n"
        f"{codec.engine.description}; delay {codec.delay_frames} frames, hop {codec.hop_length}"
    )

    live, figures = asyncio.run(listen(source, codec, console, lambda index: f" frame {index:5d}"))
    if not figures.frames:
        raise streamrvq.InputError(f"{arguments.audio} has no samples; give a file that has some")
    console.print(f"\n{figures.frames} frames of {figures.audio_seconds:.2f} s of audio; RTF {figures.rtf:.2f}")
    if figures.latency_p50 is not None and figures.latency_p99 is not None:  # else it is shorter than a frame
        p50, p99 = 1e3 * figures.latency_p50, 1e3 * figures.latency_p99
        console.print(f"from a block's last sample to its frame on the queue: p50 {p50:.1f} ms, p99 {p99:.1f} ms")

    with open_audio(arguments.audio, downmix=True) as audio:
        pcm, rate = np.concatenate(list(audio.blocks(audio.sample_rate))), audio.sample_rate
    decoded = codec.decode(live)[: round(len(pcm) * codec.sample_rate / rate)]
    write_audio(arguments.out, decoded, codec.sample_rate)
    console.print(f"round trip, {codec.bitrate / 1000:.2f} kbps: {os.path.abspath(arguments.out)}")

    if not same(codec, live, pcm, rate, console):
        return 1
    command = ["check", arguments.codec, arguments.audio, "--seconds", str(CHECK_SECONDS), "--decode", "--threads", "1"]
    console.print(f"\n$ streamrvq {' '.join(command)}", markup=False)
    main(command)  # exits, with 1 if chunking shows
    return 0


if __name__ == "__main__":
    leave(run)

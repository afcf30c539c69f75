"""Live tokenization of a microphone: codes as you speak, where the time goes, and a check against offline.

    python demos/live_microphone.py [SECONDS] [--codec NAME] [--device NAME] [--rate HZ]

Each line also shows the level of the latest block.
"""

import argparse
import asyncio

import numpy as np
from _ending import leave
from _live import listen, same, untrained
from rich.console import Console

import streamrvq
from streamrvq.live.latency import latency_budget


class RecordedMicrophone:
    """A microphone that also keeps everything that it gave."""

    def __init__(self, mic: streamrvq.Microphone, seconds: float) -> None:
        self.mic, self.sample_rate, self.wanted, self.items = mic, mic.sample_rate, seconds * mic.sample_rate, []

    start_time = property(lambda self: self.mic.start_time)  # tokenize measures the latency from it

    async def __aiter__(self):
        async for item in self.mic:
            self.items.append(item)
            yield item
            if self.mic.stats().samples >= self.wanted:
                self.mic.stop()

    def pcm(self) -> np.ndarray:
        """The samples that were encoded. A gap of up to a second is filled with zeros."""
        gap = streamrvq.Gap
        return np.concatenate([np.zeros(i.samples, np.float32) if isinstance(i, gap) else i for i in self.items])

    def level(self) -> float:
        """The peak of the latest block, in dB of full scale."""
        blocks = [item for item in self.items[-3:] if not isinstance(item, streamrvq.Gap)]
        return 20 * np.log10(max(1e-6, np.abs(blocks[-1]).max())) if blocks else -120.0


async def run() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("seconds", nargs="?", type=float, default=10.0)
    options.add_argument("--codec", default=streamrvq.DEFAULT_CODEC)
    options.add_argument("--device")
    options.add_argument("--rate", type=int)
    options.add_argument("--block", type=int)
    arguments = options.parse_args()
    if not 0 < arguments.seconds < 1e6:
        options.error(f"argument seconds: {arguments.seconds}; wanted more than 0")
    console = Console(width=120, soft_wrap=True)

    codec = streamrvq.load(arguments.codec, threads=1)
    async with streamrvq.Microphone(arguments.rate, arguments.device, block=arguments.block) as mic:
        console.print(f"[bold]{mic.name}[/], {mic.sample_rate} Hz → [bold]{codec.name}[/]{untrained(codec)}")
        source = RecordedMicrophone(mic, arguments.seconds)
        live, figures = await listen(source, codec, console, lambda _: f"{source.level():6.1f} dB")

    heard = mic.stats()
    console.print(f"\n{figures.frames} frames; {heard.lost} samples lost in {heard.gaps} gaps; RTF {figures.rtf:.2f}")
    budget = latency_budget(codec, mic.sample_rate, heard, figures)
    console.print("from the capture of a hop's last sample to its frame on the queue, ms:")
    for name in ("p50", "p99"):
        *parts, total, measured = budget.shown(name).items()
        words = " + ".join(f"{part} {value}" for part, value in parts)
        console.print(f"  {name}: {words} = {total[1]}; measured {measured[1]}")

    if any(isinstance(item, streamrvq.Gap) and item.samples > mic.sample_rate for item in source.items):
        console.print("a gap of more than a second began a new stream: there is no single signal to compare with")
        return 1
    return 0 if same(codec, live, source.pcm(), mic.sample_rate, console) else 1


if __name__ == "__main__":
    leave(lambda: asyncio.run(run()))

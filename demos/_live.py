"""What the live demos share: codes as a strip of colours, and the check against offline."""

import colorsys
from collections.abc import Callable

import numpy as np
from rich.console import Console
from rich.text import Text

import streamrvq
from streamrvq.checking.near_ties import compare

LINE = 28  # frames on a line


async def listen(
    source, codec: streamrvq.Codec, console: Console, mark: Callable[[int], str]
) -> tuple[np.ndarray, streamrvq.TokenStats]:
    """Print the codes of a source as they come. Returns all codes [K, T] and the figures of the run.

    A line is a third of a second: its time, the text that ``mark`` gives for the index of its last frame, the first
    codebook's codes as colours, and all codes of its newest frame.
    """
    parts = [np.zeros((codec.n_codebooks, 0), np.int64)]
    strip = Text()
    async with streamrvq.tokenize(source, codec, queue_size=64) as tokens:
        async for item in tokens:
            if isinstance(item, streamrvq.Gap):
                console.print(f"[yellow]{item}[/]")
                continue
            parts.append(item.codes)
            for offset, frame in enumerate(item.codes.T):
                strip.append("█", style=colour(int(frame[0]), codec.config.codebook_size))
                if len(strip) == LINE:
                    seconds = item.time + offset / codec.frame_rate
                    newest = " ".join(f"{code:4d}" for code in frame)
                    head = f"{seconds:6.2f} s {mark(item.index + offset)}  "
                    console.print(Text.assemble(head, strip, f"  {newest}"))
                    strip = Text()
    return np.concatenate(parts, axis=1), tokens.stats()


def colour(code: int, size: int) -> str:
    """The colour of a code: a hue for each entry of the codebook."""
    red, green, blue = colorsys.hsv_to_rgb(code / size, 0.75, 0.9)
    return f"rgb({int(255 * red)},{int(255 * green)},{int(255 * blue)})"


def same(codec: streamrvq.Codec, live: np.ndarray, pcm: np.ndarray, rate: int, console: Console) -> bool:
    """Whether live codes equal those of the whole clip, except for near-ties, which a float64 run confirms."""
    offline = codec.encode(pcm, sample_rate=rate)
    console.print(f"live against offline: {int((live != offline).sum())} of {live.size} codes differ")
    if np.array_equal(live, offline):
        return True
    exact = streamrvq.Codec(codec.weights, dtype="float64")
    _, latents = exact.encode(pcm, sample_rate=rate, return_latents=True)
    found = compare(live, offline, latents, codec.codebooks)
    console.print(f"{found.near_ties} of the {found.differing_frames} frames with a difference are near-ties")
    return found.equal_but_for_near_ties


def untrained(codec: streamrvq.Codec) -> str:
    """A remark for an untrained codec; empty for a trained one."""
    return "" if codec.trained else " – untrained: seeded weights, whose codes are exact but mean nothing"

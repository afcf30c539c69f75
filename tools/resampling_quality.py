"""The resampler measured, with soxr's HQ beside it: delay, pass band, aliases and images, THD+N, time.

A first table compares filters of other lengths by their responses alone. The second feeds sines through both
resamplers. Of ours, everything but the time is the same on every machine.

Knows: two resamplers as functions of samples, and how to measure one. Does not know: how they resample.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import soxr

import streamrvq
from streamrvq.audio.pcm import Pcm
from streamrvq.audio.rates import REACH, check_rate, held_back
from streamrvq.errors import InputError
from streamrvq.resampling import RESAMPLER, resampler
from streamrvq.resampling.filter import BETA

from .ending import ended

Doubles = npt.NDArray[np.float64]

PAIRS = (
    (48000, 44100), (96000, 44100), (24000, 44100), (16000, 44100), (8000, 44100), (48000, 24000), (48000, 16000),
    (44100, 16000), (44100, 24000), (44100, 48000), (44100, 8000),
)  # fmt: skip
#: (reach in samples of the lower rate, Kaiser's β)
FILTERS = ((16, BETA), (24, BETA), (32, BETA), (48, 8.0), (48, 10.0), (48, BETA), (48, 15.0), (64, BETA), (96, BETA))
#: The largest ripple of a pass band, dB.
RIPPLE = 0.02
#: Of the first table, Hz: a signal at 44.1 kHz passes up to here, and what lies as far beyond 22.05 kHz must not.
AUDIBLE, CD_RATE = 20_000, 44_100
#: Hz to both sides of a sine that count as the sine.
_NEAR = 60
_TONE = 997  #: Hz, of the sine that THD+N is measured with


class Measured(NamedTuple):
    """Of one resampler between two rates. Levels in dB, relative to the sine."""

    held_back: float  #: seconds by which output came late, at most
    ripple: float  #: the largest deviation in the pass band
    unwanted: float  #: the strongest alias or image: of a sine in the pass band anywhere, of any other one within it
    thd_n: float | None  #: all that is not the sine of 997 Hz; None: it is not in the pass band
    cpu: float  #: seconds a second of audio, in blocks of 10 ms


class Stream(NamedTuple):
    """A resampler: ``push`` takes samples and gives some, ``end`` gives the rest."""

    push: Callable[[Pcm], Pcm]
    end: Callable[[], Pcm]


def ours(rate_in: int, rate_out: int) -> Stream:
    converter = resampler(rate_in, rate_out)
    state = converter.start()

    def push(block: Pcm) -> Pcm:
        nonlocal state
        out, state = converter.push(state, block)
        return out

    return Stream(push, lambda: converter.finish(state))


def soxr_hq(rate_in: int, rate_out: int) -> Stream:
    stream = soxr.ResampleStream(rate_in, rate_out, 1, quality="HQ")
    return Stream(stream.resample_chunk, lambda: stream.resample_chunk(np.zeros(0, np.float32), last=True))


def edge(rate_in: int, rate_out: int) -> float:
    """The end of the pass band that is asked for, Hz: 20 kHz, or 0.9 of the lower Nyquist frequency."""
    lower = min(rate_in, rate_out)
    return float(AUDIBLE) if lower >= CD_RATE else 0.45 * lower


def measure(make: Callable[[int, int], Stream], rate_in: int, rate_out: int, sines: int, seconds: float) -> Measured:
    """Measure with ``sines`` sines of a second each, and time on ``seconds`` of noise."""

    def heard(frequency: float, level: float = 0.5) -> tuple[Doubles, Doubles]:
        """The middle half of a sine's second, and the spectrum of it relative to the sine."""
        stream = make(rate_in, rate_out)
        out = np.concatenate([stream.push(_sine(frequency, rate_in, level)), stream.end()]).astype(np.float64)
        middle = out[rate_out // 4 : 3 * rate_out // 4]
        window = np.kaiser(len(middle), 24)
        return middle, np.abs(np.fft.rfft(middle * window)) / (window.sum() / 2 * level)

    passes, bins = edge(rate_in, rate_out), np.fft.rfftfreq(3 * rate_out // 4 - rate_out // 4, 1 / rate_out)
    ripple = unwanted = 0.0
    for frequency in np.linspace(50, rate_in / 2 - 50, sines).round():
        middle, spectrum = heard(frequency)
        if frequency <= passes:
            ripple = max(ripple, abs(_decibel(_amplitude(middle, frequency, rate_out) / 0.5)))
        elsewhere = abs(bins - frequency) > _NEAR
        unwanted = max(unwanted, spectrum[elsewhere & ((frequency <= passes) | (bins < passes))].max())
    for frequency in (50.0, math.floor(passes)):
        ripple = max(ripple, abs(_decibel(_amplitude(heard(frequency)[0], frequency, rate_out) / 0.5)))
    thd_n = _decibel(_residue(heard(_TONE, 0.9)[0], _TONE, rate_out)) if passes > _TONE else None
    return Measured(
        lateness(make, rate_in, rate_out), ripple, _decibel(unwanted), thd_n, _cpu(make, rate_in, rate_out, seconds)
    )


def lateness(make: Callable[[int, int], Stream], rate_in: int, rate_out: int) -> float:
    """The most seconds that have been pushed, sample by sample, and have not come out."""
    stream, given, worst = make(rate_in, rate_out), 0, 0.0
    silence = np.zeros(1, np.float32)
    for taken in range(1, rate_in // 4):
        given += len(stream.push(silence))
        worst = max(worst, taken / rate_in - given / rate_out)
    return worst


def _sine(frequency: float, rate: int, level: float) -> Pcm:
    return np.asarray(level * np.sin(2 * np.pi * frequency * np.arange(rate) / rate), np.float32)


def _amplitude(pcm: Doubles, frequency: float, rate: int) -> float:
    window = np.hanning(len(pcm)) / np.hanning(len(pcm)).sum()
    return float(2 * abs((pcm * window * np.exp(-2j * np.pi * frequency * np.arange(len(pcm)) / rate)).sum()))


def _residue(pcm: Doubles, frequency: float, rate: int) -> float:
    """What is left without a sine, relative to it, in amplitude."""
    angle = 2 * np.pi * frequency * np.arange(len(pcm)) / rate
    basis = np.stack([np.sin(angle), np.cos(angle)], axis=1)
    sine = basis @ np.linalg.lstsq(basis, pcm, rcond=None)[0]
    return float(np.sqrt(((pcm - sine) ** 2).mean() / (sine**2).mean()))


def _cpu(make: Callable[[int, int], Stream], rate_in: int, rate_out: int, seconds: float) -> float:
    pcm = np.random.default_rng(0).uniform(-0.5, 0.5, round(seconds * rate_in)).astype(np.float32)
    stream, block = make(rate_in, rate_out), rate_in // 100
    stream.push(pcm[:block])  # tables are made
    started = time.process_time()
    for at in range(0, len(pcm), block):
        stream.push(pcm[at : at + block])
    return (time.process_time() - started) / seconds


def _decibel(ratio: float) -> float:
    return float(20 * np.log10(max(ratio, 1e-12)))


def responses(filters: Iterable[tuple[int, float]] = FILTERS) -> list[tuple[int, float, float, float]]:
    """Of each filter: reach, β, how far a signal at 44.1 kHz passes within `RIPPLE` (Hz), and the level (dB) from where
    what it lets through would lie below 20 kHz again."""
    rows = []
    for reach, beta in filters:
        points = 64  # a sample of the lower rate: enough for responses below 1e-7
        u = np.arange(-reach * points + 1, reach * points) / points
        taps = np.sinc(u) * np.i0(beta * np.sqrt(1 - (u / reach) ** 2)) / np.i0(beta) / points
        size = 1 << (int(len(taps) * 64).bit_length())
        level = np.abs(np.fft.rfft(taps, size))
        hertz = np.arange(len(level)) * points * CD_RATE / size
        passes = hertz[np.argmax(np.abs(20 * np.log10(np.maximum(level, 1e-12))) > RIPPLE)]
        stopped = level[(hertz >= CD_RATE - AUDIBLE) & (hertz < 8 * CD_RATE)].max()
        rows.append((reach, beta, float(passes), _decibel(float(stopped))))
    return rows


def print_filters() -> None:
    print("| reach, samples | β | within 0.02 dB to | from 24.1 kHz on | 48 → 44.1 | 16 → 44.1 | 8 → 44.1 |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for reach, beta, passes, stopped in responses():
        delays = " | ".join(f"{1e3 * _delay(reach, rate, CD_RATE):.2f} ms" for rate in (48000, 16000, 8000))
        name = f"**{reach}** | **{beta:g}**" if (reach, beta) == (REACH, BETA) else f"{reach} | {beta:g}"
        print(f"| {name} | {passes / 1e3:.2f} kHz | {stopped:.0f} dB | {delays} |")


def _delay(reach: int, rate_in: int, rate_out: int) -> float:
    """`held_back`, for another reach."""
    return math.ceil(reach * max(rate_in, rate_out) / rate_out) / rate_in


def print_pairs(pairs: Iterable[tuple[int, int]], sines: int, seconds: float) -> None:
    print("| Hz | | held back, by arithmetic | measured | ripple | alias or image | THD+N | CPU a second |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    makers: Any = ((RESAMPLER, ours), ("soxr HQ", soxr_hq))
    for rate_in, rate_out in pairs:
        for name, make in makers:
            m = measure(make, rate_in, rate_out, sines, seconds)
            ripple = f"{m.ripple:.4f}" if m.ripple >= 1e-4 else "< 0.0001"
            thd_n = "–" if m.thd_n is None else f"{m.thd_n:.0f} dB"
            stated = f"{1e3 * held_back(rate_in, rate_out):.2f} ms" if make is ours else "–"
            print(
                f"| {rate_in} → {rate_out} | {name} | {stated} | {1e3 * m.held_back:.2f} ms | {ripple} dB | "
                f"{m.unwanted:.0f} dB | {thd_n} | {1e3 * m.cpu:.2f} ms |",
                flush=True,
            )


def print_codec(rates: Iterable[int] = (48000, 16000, 8000, 96000), turns: int = 10, hops: int = 200) -> None:
    """What the resampler adds to the default codec on one core: to hops of a live stream, and to a whole signal.

    The rates take turns, so that a slow minute of the machine falls on all of them. Medians over all turns are printed.

    Args:
        rates: Hz.
        turns: of each rate.
        hops: of a live stream in a turn; whole signals are encoded once in each.
    """
    codec, rates = streamrvq.load(threads=1), tuple(rates)
    noise = np.random.default_rng(0).uniform(-0.3, 0.3, 10 * max(rates)).astype(np.float32)

    def by_soxr(signal: Pcm, rate: int) -> None:
        codec.encode(soxr.resample(signal, rate, codec.sample_rate, quality="HQ"))

    stream, pushes = codec.stream(), {rate: ours(rate, codec.sample_rate).push for rate in rates}
    live: dict[int, list[tuple[float, float]]] = {rate: [] for rate in rates}
    whole: dict[int, list[tuple[float, float]]] = {rate: [] for rate in rates}
    for _ in range(turns):
        for rate in rates:
            block = noise[: round(codec.hop_length * rate / codec.sample_rate)]
            for _ in range(hops):
                live[rate].append((_seconds(stream.push, noise[: codec.hop_length]), _seconds(pushes[rate], block)))
            signal = noise[: 10 * rate]
            whole[rate].append((_seconds(codec.encode, signal, rate), _seconds(by_soxr, signal, rate)))
    print("| Hz | a hop | the push before it | whole signal, a second | the same with soxr HQ |")
    print("| --- | --- | --- | --- | --- |")
    for rate in rates:
        hop, before = (statistics.median(times) for times in zip(*live[rate], strict=True))
        with_ours, with_soxr = (statistics.median(times) / 10 for times in zip(*whole[rate], strict=True))
        print(
            f"| {rate} | {1e6 * hop:.0f} µs | {1e6 * before:.1f} µs, {100 * before / hop:.1f} % | "
            f"{1e3 * with_ours:.1f} ms | {1e3 * with_soxr:.1f} ms |"
        )


def _seconds(work: Callable[..., Any], *arguments: Any) -> float:
    started = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - started


def pair(text: str) -> tuple[int, int]:
    """Two rates that differ. Raises what argparse makes a sentence of."""
    first, _, second = text.partition(":")
    try:
        rates = check_rate(int(first), "the first"), check_rate(int(second), "the second")
    except InputError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from None
    except ValueError:
        rates = 0, 0
    if rates[0] == rates[1]:
        raise argparse.ArgumentTypeError(f"{text!r}; wanted two rates in Hz that differ, such as 48000:44100")
    return rates


def main() -> None:
    parser = argparse.ArgumentParser(prog="tools/resampling", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pairs", type=pair, nargs="+", default=PAIRS, metavar="IN:OUT", help="rates in Hz")
    parser.add_argument("--sines", type=int, default=150, help="of a second each, from 50 Hz to the Nyquist frequency")
    parser.add_argument("--seconds", type=float, default=5.0, help="of noise that is timed")
    parser.add_argument("--codec", action="store_true", help="only what it adds to the default codec's time")
    arguments = parser.parse_args()
    if arguments.sines < 1 or not 0.01 <= arguments.seconds < math.inf:
        parser.error(f"--sines {arguments.sines} --seconds {arguments.seconds:g}; wanted at least 1 sine and 0.01 s")
    if arguments.codec:
        print_codec()
        return
    print_filters()
    print()
    print_pairs(arguments.pairs, arguments.sines, arguments.seconds)


if __name__ == "__main__":
    ended(main)

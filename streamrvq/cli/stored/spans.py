"""A span of a signal decoded, with the very samples that decoding all of it gives.

A sample depends on a few frames around its own, and on no others: `Plan.receptive_field` says on which. So decoding
begins that many frames earlier, and the samples of these are dropped. A resampler adds the samples that its filter
spans, and its outputs lie where they do in the whole signal only if it begins where one of them falls on a frame.

Knows: where decoding has to begin. Does not know: which signal, or where samples go.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from ...audio.rates import output_length, ratio, samples_in
from ...codec import Codec
from ...engine.base import Floats
from ...families import decoder_plan
from ...tokens import Signal

#: Frames decoded at a time, some 0.7 s: short enough for the progress bar, and for pipes; more if an
#: engine's `row_hops` are more.
FRAMES = 64


def samples_of(codec: Codec, signal: Signal, rate: int) -> int:
    """How many samples the whole signal has at ``rate``, Hz. Another codec than its own decides that by its own hop."""
    if codec.codec_hash == signal.codec_hash:
        return output_length(signal.num_samples, signal.source_rate, rate)
    return output_length(signal.frames * codec.hop_length, codec.sample_rate, rate)


def decoded(codec: Codec, signal: Signal, rate: int, start: float = 0.0, stop: float | None = None) -> Iterator[Floats]:
    """The samples ``[n]`` of a span of a signal, in parts.

    Args:
        rate: of the samples, Hz.
        start, stop: seconds from the signal's start; None: to its end.
    """
    whole = samples_of(codec, signal, rate)
    first = min(samples_in(start, rate), whole)
    last = whole if stop is None else min(samples_in(stop, rate), whole)
    frame = first_frame(codec, first, rate)
    at = frame * codec.hop_length * rate // codec.sample_rate  # the sample that comes next
    stream = codec.decoder_stream(sample_rate=rate)
    step = max(FRAMES, codec.engine.row_hops)
    while at < last:
        end = min(frame + step, signal.frames)
        part = stream.push(signal.read_frames(frame, end)) if frame < end else stream.flush()
        wanted = part[max(0, first - at) : max(0, last - at)]
        if len(wanted):
            yield wanted
        if frame == end:
            return
        frame, at = end, at + len(part)


def first_frame(codec: Codec, sample: int, rate: int) -> int:
    """The frame from which on frames are needed for a sample at ``rate``, Hz, and those after it."""
    if rate == codec.sample_rate:
        needed = sample
    else:
        place = ratio(codec.sample_rate, rate)
        needed = place.place(sample)[0] + 1 - place.half
    decoder = decoder_plan(codec.config)
    low, _ = decoder.receptive_field
    if low is None or not decoder.begins_anywhere:
        return 0
    # A frame whose first sample falls on a sample at the other rate: frame · hop · rate / sample_rate is whole.
    whole = codec.sample_rate // math.gcd(codec.hop_length * rate, codec.sample_rate)
    return max(0, (needed // codec.hop_length + low - 1) // whole * whole)

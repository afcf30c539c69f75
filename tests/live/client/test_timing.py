"""The latency of a stream's frames after weeks: positions are large, and products round."""

from __future__ import annotations

import json
import subprocess

import numpy as np
import pytest

from streamrvq.live.client.timing import FrameTiming
from tests.support.paths import ROOT
from tests.support.patience import PATIENCE
from tests.support.web.javascript import node

#: rate, codec's rate, hop
STREAMS = [(44_100, 44_100, 512), (48_000, 48_000, 320), (48_000, 44_100, 512), (44_100, 24_000, 320)]
DAYS, FRAMES = (0, 10, 100), 500


def ends(rate: int, codec_rate: int, hop: int, days: int) -> list[tuple[int, int]]:
    """Frames, and the samples that each needs: whole numbers."""
    first = days * 86_400 * codec_rate // hop
    return [(frame, -(-(frame + 1) * hop * rate // codec_rate)) for frame in range(first, first + FRAMES)]


@pytest.mark.parametrize(("rate", "codec_rate", "hop"), STREAMS)
def test_a_frame_counts_from_its_own_last_sample(rate: int, codec_rate: int, hop: int) -> None:
    for days in DAYS:
        for frame, end in ends(rate, codec_rate, hop, days):
            timing = FrameTiming(rate, hop / codec_rate)
            for number, position in enumerate((end - 1, end, end + 1)):
                timing.sent(position, number)
            timing.frames(frame, np.zeros((1, 1), np.int64), 5)
            assert timing.stats().latency_p50 == 4, (days, frame)


def test_so_it_does_on_the_page() -> None:
    module = (ROOT / "streamrvq" / "live" / "page" / "timing.js").as_uri()
    cases = [
        (rate, hop / codec_rate, frame, end)
        for rate, codec_rate, hop in STREAMS for days in DAYS for frame, end in ends(rate, codec_rate, hop, days)
    ]  # fmt: skip
    text = f"""
        import {{ FrameTiming }} from "{module}";
        const wrong = {json.dumps(cases)}.filter(([rate, hop, frame, end]) => {{
            const timing = new FrameTiming(rate, hop);
            [end - 1, end, end + 1].forEach((position, number) => timing.sent(position, 1000 * number, false));
            timing.frames(frame, 1, 5000);
            return timing.stats().latencyP50 !== 4;
        }});
        if (wrong.length) throw new Error(JSON.stringify(wrong.slice(0, 3)));
    """
    command = [*node(), "--input-type=module"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stderr) == (0, "")

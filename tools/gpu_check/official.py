"""The official model on the same GPU, to compare with: transformers' DacModel, random weights, float32.

Knows: torch on a GPU, with TF32 off and on. Does not know: our engines.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from streamrvq.config import PRESETS

from .context import Context

SECONDS = 10  #: of each row


def official(context: Context) -> None:
    """Encoding and decoding of whole rows at once, as the model is used offline."""
    import torch
    from transformers import DacConfig, DacModel

    made: Any = DacModel(DacConfig())
    model = made.eval().cuda()
    config = PRESETS["dac-44khz"]
    samples = SECONDS * config.sample_rate // config.hop_length * config.hop_length
    for tf32 in (False, True):
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = tf32
        for tuned in (False, True):
            torch.backends.cudnn.benchmark = tuned
            for rows in (1, 8, 32):
                if context.left < 8:
                    context.say(f"no time left for {rows} rows", left_out=f"tf32 {tf32} tuned {tuned} {rows}")
                    continue
                try:
                    _measure(context, torch, model, tf32, tuned, rows, samples)
                except torch.OutOfMemoryError:
                    context.say(f"official, {rows} rows: not enough memory", left_out=f"{rows} rows")


def _measure(context: Context, torch: Any, model: Any, tf32: bool, tuned: bool, rows: int, samples: int) -> None:
    audio = 0.1 * torch.randn(rows, 1, samples, device="cuda")
    with torch.inference_mode():
        encoded = model.encode(audio)
        calls: dict[str, Callable[[], Any]] = {
            "encode": lambda: model.encode(audio),
            "decode": lambda: model.decode(encoded.quantized_representation),
        }
        for direction, call in calls.items():
            for _ in range(2):
                call()
            torch.cuda.synchronize()
            count, begin = 0, time.perf_counter()
            while count < 3 or time.perf_counter() - begin < 0.7:
                call()
                torch.cuda.synchronize()
                count += 1
            speed = rows * samples / 44100 * count / (time.perf_counter() - begin)
            context.say(
                f"official {direction} {rows:3} rows of {SECONDS} s, TF32 {'on ' if tf32 else 'off'}, "
                f"cudnn.benchmark {'on ' if tuned else 'off'}: {speed:6.0f} x real time",
                direction=direction, rows=rows, tf32=tf32, tuned=tuned, real_time=speed,
            )  # fmt: skip

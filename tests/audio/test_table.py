"""Formats × defects: every sample that FFmpeg decodes arrives, or the reason is said; the same from every source.

Knows: what FFmpeg's program decodes. It and the libraries of PyAV are of different versions, which may round otherwise,
and divide the parts of joined files otherwise by a packet.
"""

from __future__ import annotations

import io
import os
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamrvq.audio.files import open_audio
from streamrvq.errors import AudioFileError
from tests.audio.making import Case, Maker, all_decoded_by_ffmpeg
from tests.support.patience import PATIENCE
from tools.fuzzing.targets.audio import OnceOnly

pytestmark = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="wanted ffmpeg: tools/setup.sh installs it")

#: Samples by which two versions of FFmpeg may differ at the joint of files, or at the end of one that was cut.
PACKET = 2500
#: The greatest difference of a sample between versions.
ROUNDING = 3e-4
#: Of ADPCM, which older versions compute with fewer bits.
ADPCM = 2e-3


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> list[Case]:
    return list(Maker(tmp_path_factory.mktemp("table")).cases())


def read(source: Any, **how: Any) -> tuple[np.ndarray[Any, Any], str]:
    """All samples that came, and what was said."""
    parts = [np.zeros(0, np.float32)]
    try:
        with open_audio(source, downmix=True, **how) as audio:
            parts += audio.blocks(4000)
    except AudioFileError as error:
        return np.concatenate(parts), str(error)
    return np.concatenate(parts), ""


def differs(case: Case, ours: np.ndarray[Any, Any], theirs: np.ndarray[Any, Any]) -> str:
    loose = PACKET if case.name.startswith(("joined", "cut", "tapped", "zeros behind")) else 0
    if case.expected == "past":
        return "" if len(ours) > 2 * len(theirs) else f"{len(ours)} samples of more than {len(theirs)}"
    more = len(ours) if case.name.startswith("joined") else 4 * loose  # older versions lose some behind a joint
    if case.name == "of sox caf":  # FFmpeg takes the headers for samples that sox writes again into a pipe
        theirs = theirs[(len(theirs) - len(ours)) // 2 :][: len(ours)]  # before them and behind
    if not -loose <= len(ours) - len(theirs) <= more:
        return f"{len(ours)} samples, FFmpeg has {len(theirs)}"
    count = min(len(ours), len(theirs)) if not loose else min(len(ours), len(theirs)) // 3
    furthest = float(np.abs(ours[:count] - theirs[:count]).max(initial=0.0))
    return "" if furthest <= (ADPCM if "adpcm" in case.name else ROUNDING) else f"sample differs by {furthest:.2g}"


def test_every_sample_arrives_or_the_reason_is_said(tmp_path: Path, cases: list[Case]) -> None:
    assert len(cases) >= 120
    wrong, decoded = [], list[bytes]()
    for first in range(0, len(cases), 20):
        decoded += all_decoded_by_ffmpeg([case.path for case in cases[first : first + 20]], tmp_path)
    for case, samples in zip(cases, decoded, strict=True):
        theirs = np.frombuffer(samples, "<f4")
        ours, said = read(case.path)
        kept, why = read(case.path, truncated="keep")
        if case.expected == "cut" and not said:
            wrong.append(f"{case.name}: {len(ours)} samples and no word of the cut")
        if case.expected in ("whole", "past") and said:
            wrong.append(f"{case.name}: refused: {said}")
        if not said and (difference := differs(case, ours, theirs)):
            wrong.append(f"{case.name}: {difference}")
        if why and len(theirs):
            wrong.append(f"{case.name}: not kept: {why}")
        elif not why and (difference := differs(case, kept, theirs)):
            wrong.append(f"{case.name}: kept: {difference}")
    assert not wrong, "\n".join(wrong)


def test_the_source_makes_no_difference(cases: list[Case]) -> None:
    wrong = []
    for case in cases:
        data = case.path.read_bytes()
        for how in ({}, {"truncated": "keep"}):
            ours, said = read(case.path, **how)
            for source in (io.BytesIO(data), OnceOnly(data, 4096)):
                theirs, words = read(source, **how)
                if case.expected == "past" and (words or how) and isinstance(source, OnceOnly):
                    continue  # a pipe tells that more follows than its header says
                if bool(said) != bool(words) or (not said and not np.array_equal(ours, theirs)):
                    wrong.append(f"{case.name} {how}: {type(source).__name__}: {len(theirs)} of {len(ours)}: {words}")
    assert not wrong, "\n".join(wrong)


def test_a_named_pipe_is_read_once_as_it_comes(tmp_path: Path, cases: list[Case]) -> None:
    os.mkfifo(pipe := tmp_path / "x.wav")
    for case in cases[:1] + [case for case in cases if case.name in ("mp3", "m4a", "ogg")]:
        writer = threading.Thread(target=pipe.write_bytes, args=(case.path.read_bytes(),))
        writer.start()
        ours, said = read(pipe)
        writer.join(PATIENCE)
        assert said == ""
        np.testing.assert_array_equal(ours, read(case.path)[0])

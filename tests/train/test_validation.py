"""The figures of a validation are means, and no figure is never a number: neither 0 nor what other clips have.

Knows: validation, and what reads its figures. Does not know: what the figures measure.
"""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from streamrvq.cli.progress import line_of
from streamrvq.nn import CodecModel
from streamrvq.train.losses import Losses
from streamrvq.train.run import Run
from streamrvq.train.runs.summary import facts_of, lines_of
from streamrvq.train.validation import shortest, usage, validate
from tests.support.training.runs import CODEC, Silent, audio_in, config_of
from tools.training import ablation, record

LOSSES = Losses(CODEC.sample_rate, (512,))
SHORTEST = shortest(CODEC.hop_length)
FIGURES = {"mel", "stft", "compressed", "wave", "si_sdr", "energy", "estoi"}


def clip(length: int, seed: int = 0) -> Tensor:
    return 0.1 * torch.randn(1, length, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def model() -> CodecModel:
    torch.manual_seed(0)
    return CodecModel(CODEC)


@pytest.mark.parametrize("lengths", [[SHORTEST], [8192, SHORTEST], [32768], [SHORTEST, 32768], [32768, 8192, 32768]])
def test_estoi_is_of_the_clips_that_have_one(model: CodecModel, lengths: list[int]) -> None:
    """32768 samples are long enough. The others of 44.1 kHz are not."""
    clips = [clip(length, number) for number, length in enumerate(lengths)]
    found = validate(model, clips, LOSSES, quantise=False)
    assert found.keys() == FIGURES
    assert [name for name in FIGURES - {"estoi"} if not math.isfinite(found[name])] == []
    alone = [validate(model, [one], LOSSES, quantise=False)["estoi"] for one in clips]
    known = [value for value, length in zip(alone, lengths, strict=True) if length == 32768]
    assert [math.isnan(value) for value in alone] == [length != 32768 for length in lengths]
    if known:
        assert found["estoi"] == pytest.approx(sum(known) / len(known), abs=2e-5)
    else:
        assert math.isnan(found["estoi"])


def test_silence_is_no_speech_that_became_unintelligible(model: CodecModel) -> None:
    silent, loud = torch.zeros(1, 32768), clip(32768)
    assert math.isnan(validate(model, [silent], LOSSES, quantise=False)["estoi"])
    both, alone = (validate(model, clips, LOSSES, quantise=False) for clips in ([silent, loud], [loud]))
    assert both["estoi"] == alone["estoi"]


def test_one_entry_tells_no_bits() -> None:
    found = usage(np.array([[9, 0], [4, 4]]))
    assert found == {"used": [0.5, 1.0], "entropy": [0.0, 1.0]}
    assert f"{found['entropy'][0]:.1f}" == "0.0"  # and not -0.0


@pytest.mark.parametrize("whole", [False, True])
def test_a_clip_that_is_decoded_to_no_numbers_is_no_copy(model: CodecModel, whole: bool) -> None:
    """Of one clip that is beyond numbers the mean is beyond them as well, and no distance is 0."""
    broken = clip(2048)
    broken[0, 7] = math.nan
    found = validate(model, [broken] if whole else [clip(2048), broken], LOSSES)
    assert [name for name in ("mel", "wave", "si_sdr", "energy") if not math.isnan(found[name])] == []
    assert "mel nan" in line_of(found)


def test_a_run_says_that_there_is_no_figure(tmp_path: Path) -> None:
    """In the log, in what info says, in the record of a release and in the table of variants."""
    folder, observer = tmp_path / "run", Silent()
    with Run(config_of(audio_in(tmp_path), steps=3), folder, observer) as run:
        run.go()
        assert math.isnan(run.export()["rounded"]["estoi"])
    assert [math.isnan(figures["estoi"]) for figures in observer.validations] == [True]
    text = (folder / "log.jsonl").read_text()
    assert "NaN" not in text
    legend, *rows = map(json.loads, text.splitlines())
    (row,) = [row for row in rows if row["event"] == "validation"]
    assert row["estoi"] is None
    assert "null" in legend["figures"]["estoi"]
    facts = facts_of(folder)
    assert facts["last_validation"]["estoi"] is None
    assert "estoi" not in dict(lines_of(facts))["last validation"]
    shutil.copy(folder / "tiny.safetensors", tmp_path)
    (entry,) = record.entries(folder, tmp_path / "tiny.safetensors")
    assert entry["validation"][0]["estoi"] is None
    assert (ablation._figure(row["estoi"], 2), ablation._figure(0.456, 2)) == ("none", "0.46")

"""Numbers that a run is given, as settings and on command lines: each can be trained with, or is refused by its name.

Knows: settings, what is drawn and computed from them for a step. Does not know: how a run trains.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from streamrvq.cli import main
from streamrvq.errors import ConfigError, WeightsError
from streamrvq.nn import CodecModel
from streamrvq.train.adversarial import Discriminators, optimizer_of
from streamrvq.train.config import Augment, LossWeights, TrainConfig
from streamrvq.train.corpus import Clip, Corpus
from streamrvq.train.data import LOUDEST, Crops
from streamrvq.train.losses import Losses
from streamrvq.train.optimizer import Optimizer
from streamrvq.train.runs.effort import check_minutes, check_threads, frames_for
from streamrvq.train.spectra import MEL_WINDOWS
from streamrvq.train.steps.schedule import average_decay, rate_factor
from streamrvq.train.unseen import Unseen
from tests.support.training.runs import CODEC
from tools.training import arguments

CONFIG = TrainConfig(codec=CODEC, batch=2, steps=9)
CORPUS = Corpus(
    (Clip("a", "", 0, 9000), Clip("b", "speech", 9000, 9000)),
    (3000 * np.random.default_rng(0).standard_normal(18000)).astype(np.int16), 44100,
)  # fmt: skip
LOSSES = {window: Losses(44100, (window,)) for window in MEL_WINDOWS}
#: What no setting can be, and what none of those that count, weigh or divide can be.
NEVER, NEGATIVE = [math.nan, math.inf, -math.inf, 1e300, -1e300, 10**400], [-1.0, -1e-300]
TABLES = (CONFIG, Augment(), LossWeights())
FLOATS = [
    (table, field.name)
    for table in TABLES
    for field in dataclasses.fields(table)
    if "float" in str(field.type) and not str(field.type).startswith("dict")
]
DECIBELS = ("gain_db", "mix_db")
NUMBERS = st.floats() | st.sampled_from([*NEVER, *NEGATIVE, 0.0, 1e-300, 1.0, 7.0, 40.0, 200.0, 1e6, 2.0**53])


def given_as(table: Any, name: str, value: Any) -> Any:
    """The table with this number in place of a setting, or of both of a pair."""
    values = (value,) * 2 if isinstance(getattr(table, name), tuple) else value
    return dataclasses.replace(table, **{name: values})


@pytest.mark.parametrize(("table", "name"), FLOATS, ids=lambda value: value if isinstance(value, str) else "")
def test_numbers_that_no_run_can_use_are_refused_by_name(table: Any, name: str) -> None:
    for value in NEVER + (NEGATIVE if name not in DECIBELS else []):
        with pytest.raises(ConfigError, match=f"{name} (is )?.*; wanted") as refusal:
            given_as(table, name, value)
        assert str(refusal.value).isprintable()


@given(chosen=st.sampled_from(FLOATS), value=NUMBERS, step=st.integers(0, 8), seed=st.integers(0, 99))
@example(chosen=(Augment(), "gain_db"), value=1e6, step=0, seed=0)
@example(chosen=(Augment(), "tilt_db"), value=40.0, step=0, seed=0)
def test_numbers_that_are_taken_give_a_step_its_numbers(
    chosen: tuple[Any, str], value: float, step: int, seed: int
) -> None:
    try:
        table = given_as(*chosen, value)
    except ConfigError:
        return
    place = {Augment: "augment", LossWeights: "loss"}.get(type(table))
    config = dataclasses.replace(CONFIG, **{place: table}) if place is not None else table
    sure = dataclasses.replace(config.augment, mix=1.0, tilt=1.0)
    crops = Crops(CORPUS, config.samples, config.batch, seed, config.kinds, sure).batch(step)
    assert float(np.abs(crops).max()) <= LOUDEST + 1e-6
    assert [found for found in (rate_factor(config, step), average_decay(config, step)) if not 0 <= found <= 1] == []
    assert config == TrainConfig.from_dict(config.to_dict())


@pytest.mark.parametrize(
    ("table", "change", "said"),
    [(Augment(), {"polarity": 7.0}, "polarity is 7.0; wanted 0 to 1"),
     (Augment(), {"mix": -0.1}, "mix is -0.1; wanted 0 to 1"), (Augment(), {"tilt": 1.1}, "tilt is 1.1; wanted 0 to 1"),
     (Augment(), {"tilt_db": -1.0}, "tilt_db is -1.0; wanted 0 to 40"),
     (Augment(), {"gain_db": (1e6, 1e6)}, r"gain_db is \(1000000.0, 1000000.0\); wanted -200 to 200"),
     (Augment(), {"mix_db": (-3.0, -15.0)}, r"mix_db is \(-3.0, -15.0\); wanted the lower end first"),
     (LossWeights(), {"mel": -1}, "mel is -1; wanted a number of at least 0"),
     (CONFIG, {"codebooks_again": (0.2, 1.5)}, r"codebooks_again is \(0.2, 1.5\); wanted 0 to 1"),
     (CONFIG, {"stft_windows": ()}, r"stft_windows is \(\); wanted windows for the losses stft and compressed")],
)  # fmt: skip
def test_what_came_and_what_is_wanted_is_said(table: Any, change: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        dataclasses.replace(table, **change)


def test_betas_may_be_whole_numbers() -> None:
    config = dataclasses.replace(CONFIG, betas=(0, 0.9))
    assert config == TrainConfig.from_dict(config.to_dict())
    optimizer = Optimizer(CodecModel(config.codec, weight_norm=False), config)
    assert optimizer.adam.param_groups[0]["betas"] == (0.0, 0.9)  # torch takes no whole number beside another
    assert optimizer_of(Discriminators(1), config).param_groups[0]["betas"] == (0.0, 0.9)


def test_no_windows_are_needed_where_nothing_is_heard_in_them() -> None:
    config = dataclasses.replace(CONFIG, stft_windows=(), loss=LossWeights(stft=0.0, compressed=0.0))
    x = torch.zeros(1, 2048)
    assert float(Losses(CODEC.sample_rate, config.stft_windows)(x, x)["stft"]) == 0


@given(minutes=st.floats(min_value=0, allow_infinity=False))
@example(minutes=1e300)
@example(minutes=1.7e308)
def test_any_minutes_make_codebooks_from_some_frames(minutes: float) -> None:
    config = dataclasses.replace(CONFIG, codebook_frames=65536)
    check_minutes(minutes, minutes)
    assert 2 * CODEC.codebook_size <= frames_for(config, minutes) <= 65536
    assert frames_for(config, minutes) >= frames_for(config, minutes / 2)


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0, -math.inf, 10**400, "5", True, [1]], ids=repr)
def test_other_minutes_are_refused_wherever_they_count(value: Any) -> None:
    for call in (lambda: check_minutes(value), lambda: check_minutes(None, value), lambda: frames_for(CONFIG, value)):
        with pytest.raises(ConfigError, match=r"(minutes|profile) is .*; wanted a number of at least 0"):
            call()


@pytest.mark.parametrize("value", [0, -1, 1025, 10**9, 10**20, 1.5, True, None, "2"])
def test_threads_that_a_machine_cannot_have_are_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match=r"threads is .*; wanted a whole number from 1 to 1024"):
        check_threads(value)


@pytest.mark.parametrize(
    "option",
    [(name, value) for name in ("--minutes", "--profile") for value in ("nan", "inf", "-inf", "-1", "x")]
    + [("--threads", value) for value in ("0", "-1", "1e3", str(10**10), str(10**30), "nan")]
    + [("--steps", value) for value in ("0", "-1", "1e3", str(10**30), "inf")],
    ids="=".join,
)
def test_a_number_on_the_command_line_is_refused_before_any_work(
    option: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(["train", "causal-44khz", "--out", str(tmp_path / "run"), "--data", str(tmp_path), "=".join(option)])
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert option[0].removeprefix("--") in said
    assert "Traceback" not in said
    assert not (tmp_path / "run").exists()


@given(text=st.sampled_from(["", "x", "1_0", " 5 ", "0x1", "٣"]) | st.floats().map(str) | st.integers().map(str))
@example(text="1e300")
@example(text="9" * 5000)
def test_a_number_on_the_command_line_of_a_tool_is_one(text: str) -> None:
    for kind, least in ((arguments.amount, 0), (arguments.count, 1)):
        try:
            assert least <= kind(text) <= 1e9  # type: ignore[operator]
        except argparse.ArgumentTypeError as error:
            assert "wanted a" in str(error)


def test_codebooks_of_an_encoder_that_has_diverged_are_refused() -> None:
    model = CodecModel(CODEC)
    with torch.no_grad():
        next(model.encoder.parameters()).fill_(math.nan)
    unseen = Unseen(CONFIG, Crops(CORPUS, CONFIG.samples, 2, 0, {}, CONFIG.augment), torch.float32)
    unseen.frames = 64
    with pytest.raises(WeightsError, match="what the encoder gives is not finite"):
        unseen.codebooks(model)


@given(windows=st.lists(st.sampled_from(MEL_WINDOWS), min_size=1, max_size=4))
@example(windows=[512, 512])
def test_windows_that_come_twice_are_refused_and_others_count_alike(windows: list[int]) -> None:
    """The STFT loss is the mean over windows; a window that came twice halved it on a CPU, and not on a GPU."""
    if len(set(windows)) < len(windows):
        for refused in (
            lambda: dataclasses.replace(CONFIG, stft_windows=tuple(windows)),
            lambda: TrainConfig.from_dict(CONFIG.to_dict() | {"stft_windows": windows}),
            lambda: Losses(44100, windows),
        ):
            with pytest.raises(ConfigError, match=r"stft_windows is \(.*\); wanted each once: \d+ comes again"):
                refused()
        return
    x, noise = torch.randn(2, 1, 1500, generator=torch.Generator().manual_seed(0))
    y = x + 0.1 * noise
    assert dataclasses.replace(CONFIG, stft_windows=tuple(windows)).stft_windows == tuple(windows)
    alone = [float(LOSSES[window](x, y)["stft"]) for window in windows]
    assert float(Losses(44100, windows)(x, y)["stft"]) == pytest.approx(sum(alone) / len(alone), rel=1e-4)


def test_shares_of_the_steps_that_come_twice_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"codebooks_again is \(0.5, 0.2, 0.5\); wanted each once: 0.5 comes again"):
        dataclasses.replace(CONFIG, codebooks_again=(0.5, 0.2, 0.5))

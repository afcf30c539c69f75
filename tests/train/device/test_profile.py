"""What is said of time: the profile's table, the pace of checkpoints, a GPU's peak."""

from __future__ import annotations

import pytest
import torch

from streamrvq.train import TrainConfig
from streamrvq.train.device.peak import peak
from streamrvq.train.device.profile import TRACED, Profile, table
from streamrvq.train.runs.log import Means
from streamrvq.train.runs.pace import LATE, SOON, Pace
from tests.support.training.runs import CODEC


def test_the_table_says_what_took_the_time_and_how_much_was_idle() -> None:
    spans = [("conv", 0.0, 3000.0), ("copy", 2000.0, 4000.0), ("conv", 6000.0, 9000.0)]
    head, _, first, second = table(spans, steps=2, step_time=0.005)
    assert "busy for 3.50 ms" in head
    assert "idle 30 %" in head
    assert first.split() == ["3.000", "75.0%", "1", "conv"]
    assert second.split() == ["1.000", "25.0%", "0", "copy"]
    assert "saw no kernels" in table([], 2, 0.005)[0]
    assert table([(str(i), i, i + 1) for i in range(30)], 1, 1.0)[-1] == "and 5 more"


def test_a_profile_waits_for_steps_that_are_alike() -> None:
    said: list[str] = []
    profiler = Profile(0.0, "cpu", said.append)
    for _ in range(5):
        profiler.stepped(False, 1.0)
    assert said == []
    for _ in range(2 + TRACED):
        torch.ones(9).sort()
        profiler.stepped(True, 1.0)
    assert profiler.is_over
    assert said[0].startswith("profile: 1 steps, each ")
    assert [line for line in said if "aten::sort" in line] != []
    before = list(said)
    profiler.stepped(True, 1.0)
    assert said == before


def test_checkpoints_are_due_by_steps_and_on_a_card_by_the_clock() -> None:
    config = TrainConfig(CODEC, checkpoint_every=10)
    now = [0.0]
    steps, clock = Pace(config, False, lambda: now[0]), Pace(config, True, lambda: now[0])
    assert (steps.is_due(10), clock.is_due(10)) == (True, False)
    now[0] = SOON
    assert (clock.is_due(10), clock.is_due(11)) == (True, False)
    clock.kept()
    now[0] += LATE
    assert (steps.is_due(11), clock.is_due(11)) == (False, True)
    assert clock.since_last(10, 5e11, 1e12) == {}
    now[0] += 2
    found = clock.since_last(14, 5e11, 2e12)
    assert found == {"speed_now": pytest.approx(2 * config.step_seconds, abs=0.01), "tflops": 1.0, "of_peak": 0.5}
    now[0] += 2
    assert clock.since_last(18, 5e11, None)["of_peak"] == "unknown"


def test_means_weigh_figures_by_their_steps() -> None:
    means = Means()
    means.add({"mel": 1.0}, 3)
    means.add({"mel": 2.0, "lost": 1.0})
    assert means.take() == {"mel": 1.25, "lost": 1.0}
    assert means.take() == {}


def test_peaks_are_known_by_name() -> None:
    assert peak("NVIDIA H100 80GB HBM3", torch.bfloat16) == peak("NVIDIA H200", torch.bfloat16) == 989.4e12
    assert peak("NVIDIA H100 PCIe", torch.bfloat16) == 756e12
    assert peak("NVIDIA L40S", torch.float32) == 91.6e12
    assert peak("some GPU", torch.float32) is None


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("NVIDIA L4", 121e12), ("NVIDIA L40", None), ("NVIDIA RTX A1000", None), ("NVIDIA A10", 125e12),
     ("NVIDIA A100-SXM4-80GB", 311.9e12), ("NVIDIA A100-SXM4-80GB MIG 1g.10gb", None), ("NVIDIA GH200 480GB", 989.4e12),
     ("NVIDIA H200 NVL", 835e12), ("NVIDIA GB200", None), ("NVIDIA GeForce RTX 4090", 165.2e12),
     ("NVIDIA GeForce RTX 4090 Laptop GPU", None), ("NVIDIA GeForce RTX 3090 Ti", None)],
)  # fmt: skip
def test_a_peak_is_that_of_the_whole_name(name: str, wanted: float | None) -> None:
    assert peak(name, torch.bfloat16) == wanted

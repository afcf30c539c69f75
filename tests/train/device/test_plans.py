"""Plans: on a CPU they give the numbers of the code before them, bit by bit, and a GPU's arithmetic agrees."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrvq.nn import CodecModel
from streamrvq.train.codebooks import RunningMeans, drawn_frames
from streamrvq.train.config import Augment
from streamrvq.train.corpus import Clip, Corpus
from streamrvq.train.data import Crops
from streamrvq.train.device.crops import DeviceCrops
from streamrvq.train.device.inputs import Inputs
from tests.support.contract import minute
from tests.support.training.former import FormerCrops, former_update

SAMPLES = 2048


def corpus() -> Corpus:
    """Clips of all lengths, loud, hardly audible, partly silent and silent."""
    rng = np.random.default_rng(0)
    lengths, levels = (9000, 300, 5000, 4000, 7000, 1), (9000, 20000, 3.3, 0, 4, 1)
    pieces = [level * rng.standard_normal(length) for length, level in zip(lengths, levels, strict=True)]
    pieces[4][1000:6000] = 0
    samples = np.concatenate(pieces).clip(-32768, 32767).astype(np.int16)
    starts = np.cumsum([0, *lengths])
    clips = [
        Clip(str(i), "ab"[i % 2], int(start), n) for i, (start, n) in enumerate(zip(starts, lengths, strict=False))
    ]
    return Corpus(tuple(clips), samples, 44100)


@settings(deadline=None, max_examples=25)
@given(
    st.integers(0, 2**32), st.integers(0, 2**40), st.sampled_from([{}, {"a": 0.5, "b": 0.5}]), st.floats(0, 1),
    st.floats(0, 1),
)  # fmt: skip
def test_batches_are_those_of_before_plans_to_the_bit(
    seed: int, step: int, kinds: dict[str, float], mix: float, tilt: float
) -> None:
    of = (corpus(), SAMPLES, 3, seed, kinds, Augment(mix=mix, tilt=tilt))
    np.testing.assert_array_equal(Crops(*of).batch(step), FormerCrops(*of).batch(step))


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**32), st.sampled_from([(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (0.5, 0.5)]), st.booleans())
def test_a_card_cuts_the_same_crops(seed: int, shares: tuple[float, float], loud: bool) -> None:
    gain = (30.0, 40.0) if loud else (-18.0, 4.0)
    crops = Crops(corpus(), SAMPLES, 4, seed, {}, Augment(mix=shares[0], tilt=shares[1], gain_db=gain))
    plan, inputs = crops.plan(7), Inputs.empty(4, 8, torch.device("cpu"))
    inputs.fill(plan, torch.zeros(4), torch.zeros(8), 1.0, 0.0)
    ours = DeviceCrops(crops, torch.device("cpu"))(inputs).numpy()
    assert ours.shape == (4, SAMPLES)
    np.testing.assert_allclose(ours, crops.cut(plan), atol=2e-6)


@pytest.mark.parametrize("move", [True, False])
def test_running_means_are_those_of_before_to_the_bit(move: bool) -> None:
    def model() -> CodecModel:
        torch.manual_seed(0)
        return CodecModel(minute((2, 4), encoder_dim=4, decoder_dim=16, stem=4))

    ours, theirs = model(), model()
    mine, former = (RunningMeans(each.quantizer, decay=0.7, expire=0.3) for each in (ours, theirs))
    replaced = 0
    for step in range(12):
        latents = torch.randn(2, 9, 40)
        codes = torch.randint(0, 64 if step % 2 else 5, (2, 3, 40))
        mask = mine.update(codes, latents, move, drawn_frames(3 * 64, 80, step))
        indices = former_update(former, codes, latents, move, torch.Generator().manual_seed(step))
        assert [row.nonzero()[:, 0].tolist() for row in mask] == [index.tolist() for index in indices]
        replaced += int(mask.sum())
        for a, b in ((mine.share, former.share), (mine.total, former.total)):
            assert torch.equal(a, b)
        for a, b in zip(ours.quantizer.parameters(), theirs.quantizer.parameters(), strict=True):
            assert torch.equal(a, b)
    assert replaced > 50


def test_running_means_stay_where_a_step_was_lost() -> None:
    torch.manual_seed(0)
    model = CodecModel(minute((2, 4), encoder_dim=4, decoder_dim=16, stem=4))
    means = RunningMeans(model.quantizer, decay=0.1, expire=0.9)
    before = [means.share.clone(), means.total.clone(), *(p.detach().clone() for p in model.quantizer.parameters())]
    nan = torch.full((2, 9, 40), torch.nan)
    lost = torch.tensor(False)
    mask = means.update(torch.zeros(2, 3, 40, dtype=torch.int64), nan, True, drawn_frames(192, 80, 0), lost)
    assert not mask.any()
    after = [means.share, means.total, *(p.detach() for p in model.quantizer.parameters())]
    assert [torch.equal(a, b) for a, b in zip(before, after, strict=True)] == [True] * len(after)


def test_a_corpus_is_resident_as_it_is() -> None:
    crops = Crops(corpus(), SAMPLES, 1, 0, {}, Augment())
    np.testing.assert_array_equal(DeviceCrops(crops, torch.device("cpu")).corpus.numpy(), corpus().samples)

"""First values: the level meter hears what it is said to hear, and levels reach the latents."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from streamrvq import CodecConfig
from streamrvq.nn import CodecModel, ResidualUnit
from streamrvq.nn.encoder import EncoderBlock
from streamrvq.train.config import TrainConfig
from streamrvq.train.meter import bands, filters, put_meter
from streamrvq.train.optimizer import optimizer
from streamrvq.train.start import begin

RATE = 44100


def model_of(channels: int, stem: int = 32, rates: tuple[int, ...] = (4, 4)) -> CodecModel:
    torch.manual_seed(0)
    config = CodecConfig(
        sample_rate=RATE, encoder_dim=channels, encoder_rates=rates, latent_dim=24, decoder_dim=256,
        decoder_rates=rates[::-1], stem=stem, causal=True,
    )  # fmt: skip
    return CodecModel(config)


def test_filters_hear_their_band_and_little_else() -> None:
    torch.manual_seed(0)
    bank = filters(12, 224, RATE)
    assert torch.allclose(bank.norm(dim=1), torch.ones(12, dtype=torch.float64))
    response = torch.fft.rfft(bank, 4096).abs()
    peaks = response.argmax(1) * RATE / 4096
    assert (peaks.diff() > 0).all() and peaks[0] < 400 and 10_000 < peaks[-1] < 20_000
    far = response[:, int(12_000 / RATE * 4096) :].amax(1)
    assert (far[:6] < 0.01 * response[:6].amax(1)).all(), "lower bands do not hear what is above 12 kHz"


def _unit(model: CodecModel) -> ResidualUnit:
    block = model.encoder.block[1]
    assert isinstance(block, EncoderBlock) and isinstance(block.block[0], ResidualUnit)
    return block.block[0]


def test_a_meter_rises_with_every_step_of_level() -> None:
    channels = 64
    unit, count = _unit(model_of(channels)), bands(channels)
    torch.manual_seed(0)
    into = torch.linalg.qr(torch.randn(channels, 32 + count, dtype=torch.float64))[0]
    put_meter(unit, 32, into[:, :32].T, into[:, 32:], RATE)
    noise = torch.randn(1, 400, 32, dtype=torch.float64)
    heard = []
    with torch.no_grad():
        for db in (-80, -60, -40, -20, 0, 20):
            x = 10 ** (db / 20) * noise
            y = unit((x @ into[:, :32].T).transpose(1, 2).float()).transpose(1, 2).double() @ into
            assert torch.allclose(y[..., :32], x, atol=1e-4 * float(x.abs().max()) + 1e-5), "the signal passes"
            heard.append(y[0, :, 32:].mean(0))
    steps = torch.stack(heard).diff(dim=0)
    assert (torch.stack(heard)[0].abs() < 0.05).all(), "nothing is heard of silence"
    assert (steps[1:4] > 0.4).all() and (steps > -0.1).all()


def _bursts(seed: int, count: int) -> Tensor:
    """Noises whose level changes from frame to frame, ``[count, 8192]``."""
    rng = np.random.default_rng(seed)
    level = 10 ** (rng.uniform(-3, -0.5, (count, 16, 1)))
    return torch.from_numpy((level * rng.standard_normal((count, 16, 512))).reshape(count, -1)).float().clamp(-1, 1)


@pytest.mark.parametrize("stem", [32, 1])
def test_loudness_reaches_the_latents_where_there_is_a_meter(stem: int) -> None:
    model = model_of(64) if stem == 32 else model_of(4, 1, (4, 4, 4, 8))
    begin(model, _bursts(0, 16))
    with torch.no_grad():
        x = torch.cat([_bursts(1, 64), _bursts(2, 32)])
        z = model.encoder(x[:, None]).transpose(1, 2)[:, 2:].double()
        level = x.reshape(len(x), 16, 512).square().mean(2).log10()[:, 2:].double()
        a = torch.cat([z, torch.ones(*z.shape[:2], 1)], 2)
        w = torch.linalg.lstsq(a[:64].flatten(0, 1), level[:64].flatten()[:, None]).solution
        left = (a[64:] @ w)[..., 0] - level[64:]
        explained = 1 - float(left.square().mean() / level[64:].var())
    assert explained > 0.8 if stem == 32 else explained < 0.5, explained


@pytest.mark.parametrize("stem", [32, 1])
def test_filters_and_meter_move_slowly_where_there_are_any(stem: int) -> None:
    model = model_of(64) if stem == 32 else model_of(4, 1, (4, 4, 4, 8))
    config = TrainConfig(codec=model.config, small_lr=0.5, front_lr=0.1)
    groups = optimizer(model, config).param_groups
    shares = {id(p): group["share"] for group in groups for p in group["params"]}
    slow = 0.1 if stem == 32 else 1.0
    named = dict(model.named_parameters())
    assert shares[id(named["encoder.block.0.weight_v"])] == slow
    assert shares[id(named["encoder.block.1.block.0.block.2.alpha"])] == 0.5 * slow
    assert shares[id(named["encoder.block.1.block.1.block.1.weight_v"])] == 1.0
    assert shares[id(named["decoder.model.0.bias"])] == 0.5 and len(shares) == len(named)

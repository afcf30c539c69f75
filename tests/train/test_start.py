"""First values: what is lost on the way follows the spectrum; and the optimiser that keeps them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor

from streamrvq import CodecConfig
from streamrvq.errors import ConfigError
from streamrvq.nn import CodecModel
from streamrvq.train.config import TrainConfig
from streamrvq.train.optimizer import Optimizer
from streamrvq.train.start import set_first_values

RATE = 44100


def model_of(channels: int, stem: int = 32, rates: tuple[int, ...] = (4, 4)) -> CodecModel:
    torch.manual_seed(0)
    config = CodecConfig(
        sample_rate=RATE, encoder_dim=channels, encoder_rates=rates, latent_dim=24, decoder_dim=256,
        decoder_rates=rates[::-1], stem=stem, causal=True,
    )  # fmt: skip
    return CodecModel(config, weight_norm=False)


def _falling(seed: int, count: int) -> Tensor:
    """Noises whose spectrum falls by 40 dB from the lowest octave to the highest, ``[count, 8192]``."""
    spectrum = torch.fft.rfft(torch.randn(count, 8192, generator=torch.Generator().manual_seed(seed)))
    octaves = torch.log2(torch.arange(spectrum.shape[1]).clamp(min=16) / 16)  # 0 … 8
    pcm = torch.fft.irfft(spectrum * 10 ** (-octaves * 5 / 20))
    return 0.1 * pcm / pcm.std()


@pytest.mark.parametrize("stem", [32, 1])
def test_noise_behind_the_bands_follows_the_spectrum(stem: int) -> None:
    model = model_of(64) if stem == 32 else model_of(4, 1, (8, 8, 8))
    set_first_values(model, _falling(0, 32))
    x = _falling(1, 8)[:, None]
    with torch.no_grad():
        z = model.encoder(x)
        clean = model.decoder(z)
        noisy = model.decoder(z + 0.1 * z.std() * torch.randn(z.shape, generator=torch.Generator().manual_seed(2)))
        power = torch.fft.rfft((noisy - clean)[:, 0]).abs().square().mean(0)
        theirs = torch.fft.rfft(clean[:, 0]).abs().square().mean(0)
    edges = [32, 512, 4096]
    noise_falls, signal_falls = (
        10 * torch.log10(p[edges[0] : edges[1]].mean() / p[edges[1] : edges[2]].mean()) for p in (power, theirs)
    )
    assert signal_falls > 15, (noise_falls, signal_falls)
    assert noise_falls > 0.3 * signal_falls, (noise_falls, signal_falls)


def _one_step(optimizer: Optimizer, model: CodecModel) -> dict[str, Tensor]:
    """What a whole step of some gradient, much of it of rank 1, moves."""
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for p in model.parameters():
        p.grad = torch.randn(p.shape) + 10 * torch.randn(p.shape[:1]).reshape(-1, *[1] * (p.ndim - 1))
    with ThreadPoolExecutor(2) as workers:
        optimizer.step(1.0, workers)
    return {name: p.detach() - before[name] for name, p in model.named_parameters()}


def test_all_directions_of_a_matrix_move_alike() -> None:
    model = model_of(64)
    optimizer = Optimizer(model, TrainConfig(codec=model.config, lr=1e-2, small_lr=1e-4, weight_decay=0.0))
    moved = _one_step(optimizer, model)
    for name in ("encoder.block.1.block.0.block.1.weight", "decoder.model.1.block.1.weight"):
        values = torch.linalg.svdvals(moved[name].flatten(1))
        assert float(values.min()) > 0.3e-2, name
        assert float(values.max()) < 3e-2, name
    for name in ("encoder.block.0.weight", "encoder.block.0.bias", "encoder.block.1.block.0.block.0.alpha",
                 "quantizer.quantizers.0.in_proj.weight"):  # fmt: skip
        assert 0 < float(moved[name].abs().max()) < 1.1e-4, name
    assert len(optimizer.matrices) == sum(
        p.ndim == 3 and min(p.shape[:2]) > 1 and "quantizer" not in name for name, p in model.named_parameters()
    )


def test_an_optimiser_goes_on_where_its_state_stands() -> None:
    found = []
    for again in (False, True):
        torch.manual_seed(1)
        model = model_of(16)
        optimizer = Optimizer(model, TrainConfig(codec=model.config))
        _one_step(optimizer, model)
        if again:
            state, optimizer = optimizer.state_dict(), Optimizer(model, TrainConfig(codec=model.config))
            optimizer.load_state_dict(state)
        found.append(_one_step(optimizer, model))
    assert [name for name in found[0] if not torch.equal(found[0][name], found[1][name])] == []


def test_an_old_torch_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(16)
    monkeypatch.delattr(torch.optim, "Muon")
    with pytest.raises(ConfigError, match=r"wanted torch 2\.9 or later"):
        Optimizer(model, TrainConfig(codec=model.config))

"""The parts of training, one by one: what is computed fast is what the modules compute, losses are DAC's, batches
depend on their number alone, codebooks represent the data they are made from.

Knows: streamrvq.train. Does not know: the loop (test_train_run.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from streamrvq.nn import CodecModel, Snake1d
from streamrvq.train.adversarial import Discriminators, codec_losses, discriminator_loss
from streamrvq.train.balance import balanced
from streamrvq.train.codebooks import RunningMeans, drawn_frames, make_codebooks
from streamrvq.train.fast import run_decoder, run_encoder
from streamrvq.train.losses import Losses, si_sdr
from streamrvq.train.snake import library, snake
from streamrvq.train.spectra import Spectrum, in_bands, magnitude, mel_bands
from streamrvq.train.start import set_first_values
from tests.support.contract import minute, noise


def model_of(seed: int = 0, **changes: Any) -> CodecModel:
    torch.manual_seed(seed)
    return CodecModel(minute((2, 4), **({"encoder_dim": 4, "decoder_dim": 16, "stem": 4} | changes)))


@pytest.mark.parametrize(
    "shape", [{"stem": 1}, {"stem": 4}, {"stem": 4, "encoder_dim": 1, "decoder_dim": 4}], ids=["1", "4", "one channel"]
)
def test_what_is_computed_fast_is_what_the_modules_compute(causal: bool, shape: dict[str, int]) -> None:
    model = model_of(causal=causal, **shape)
    for module in model.modules():
        if isinstance(module, Snake1d):
            module.alpha.data.uniform_(0.5, 1.5)
    x = torch.from_numpy(np.stack([noise(32 * 20, 1), noise(32 * 20, 2)]))[:, None]
    results = []
    for encode, decode in (
        (model.encoder, model.decoder),
        (
            lambda a: run_encoder(model.encoder, a, torch.float32),
            lambda a: run_decoder(model.decoder, a, torch.float32),
        ),
    ):
        z = encode(x)
        y = decode(z)
        model.zero_grad()
        (y * x[..., : y.shape[-1]]).sum().backward()
        grads = {n: p.grad for n, p in model.named_parameters() if p.grad is not None and not n.startswith("quant")}
        results.append((z.detach(), y.detach(), grads))
    (za, ya, ga), (zb, yb, gb) = results
    torch.testing.assert_close(zb, za, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(yb, ya, rtol=1e-4, atol=1e-5)
    assert ga.keys() == gb.keys()
    for name in ga:
        torch.testing.assert_close(gb[name], ga[name], rtol=1e-3, atol=1e-4 * float(ga[name].abs().max() + 1), msg=name)


def homeless() -> Path:
    """`Path.home` of a user without HOME and without an entry in passwd."""
    raise RuntimeError("Could not determine home directory.")


def test_without_a_home_torch_computes_snake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    assert library.__wrapped__() is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("compiled", [True, False])
def test_snake_and_its_gradients(dtype: torch.dtype, compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not compiled:
        monkeypatch.setattr("streamrvq.train.snake.library", lambda: None)
    elif library() is None:
        pytest.skip("no compiler here: torch computes it")
    x = (6 * torch.randn(2, 75, 5)).to(dtype).requires_grad_()
    alpha = torch.rand(1, 5, 1).add_(0.5).requires_grad_()
    g = torch.randn(2, 78, 5).to(dtype)
    y = snake(x, alpha, 3)
    assert y.dtype == dtype
    assert y.shape == g.shape
    assert float(y[:, :3].detach().abs().max()) == 0
    y.backward(g)
    wide, a = x.detach().double().requires_grad_(), alpha.detach().double().requires_grad_()
    flat = a.reshape(-1)
    wanted = wide + torch.sin(flat * wide).square() / (flat + 1e-9)
    wanted.backward(g[:, 3:].double())
    tolerance = 1e-5 if dtype == torch.float32 else 2e-2
    for ours, theirs in ((y[:, 3:].detach(), wanted.detach()), (x.grad, wide.grad), (alpha.grad, a.grad)):
        assert ours is not None
        assert theirs is not None
        error = (ours.double() - theirs).abs().max() / theirs.abs().max()
        assert float(error) < tolerance


def test_mel_bands_are_slaneys() -> None:
    bands = mel_bands(44100, 2048, 320)
    assert bands.shape == (1025, 320)
    assert bands.min() >= 0
    # Triangles of equal area, whose edges are linear in frequency below 1 kHz and logarithmic above.
    wide = mel_bands(44100, 1 << 16, 20)
    np.testing.assert_allclose(wide.sum(0) * 44100 / (1 << 16), 1, rtol=1e-3)
    peaks = wide.argmax(0) * 44100 / (1 << 16)
    low, high = peaks[peaks < 900], peaks[peaks > 1300]
    np.testing.assert_allclose(np.diff(low), np.diff(low)[0], rtol=2e-2)
    np.testing.assert_allclose(high[1:] / high[:-1], high[1] / high[0], rtol=2e-2)


@pytest.mark.parametrize("window", [32, 512, 1024])
def test_spectra_are_torchs(window: int) -> None:
    x = torch.from_numpy(np.stack([noise(4096, 1), noise(4096, 2)]))
    wanted = torch.stft(x, window, window // 4, window=torch.hann_window(window), return_complex=True).abs()
    torch.testing.assert_close(magnitude(Spectrum(window)(x)), wanted.transpose(1, 2), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("window", [32, 256])
def test_the_gradient_of_a_real_transform_is_one_transform_back(window: int) -> None:
    frames = torch.randn(3, window, dtype=torch.float64, requires_grad=True)
    spectra = torch.fft.rfft(frames)
    g = torch.randn_like(spectra)
    (wanted,) = torch.autograd.grad(spectra, frames, g)
    count = torch.full((window // 2 + 1,), 2.0, dtype=torch.float64)  # how often a real transform counts a bin
    count[0] = count[-1] = 1
    found = torch.fft.irfft(torch.complex(g.real, g.imag * (count - 1)) / count, window, norm="forward")
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize(("window", "bands"), [(32, 5), (2048, 320)])
def test_a_bin_is_in_two_neighbouring_mel_bands_at_most(window: int, bands: int) -> None:
    basis = torch.from_numpy(mel_bands(44100, window, bands))
    band, share = in_bands(basis)
    again = torch.zeros(len(basis), bands + 1, dtype=torch.float64)
    for i in (0, 1):
        again[torch.arange(len(basis)), band.long() + i] += share[:, i]
    assert torch.equal(again[:, :bands], basis)
    assert not again[:, bands].any()
    with pytest.raises(ValueError, match=f"a bin is in more than two of {bands} bands"):
        in_bands(basis + 1)


def test_losses_are_zero_for_a_copy_and_grow_with_noise() -> None:
    losses = Losses(44100, (2048, 512))
    x = torch.from_numpy(np.stack([noise(8192, 1), noise(8192, 2) * 0.01]))
    same = losses(x, x)
    assert {value.shape for value in same.values()} == {(2,)}
    assert max(float(value.max()) for value in same.values()) < 1e-6
    little, much = (losses(x, x + torch.from_numpy(noise(8192, 3)) * s) for s in (0.01, 0.1))
    assert [name for name in same if not (much[name] > little[name]).all() or not (little[name] > 0).all()] == []
    np.testing.assert_allclose(losses(x, x * 0.1)["mel"][0], 7, rtol=0.05)  # 20 dB are 1 in each of seven scales


def test_si_sdr() -> None:
    x = torch.sin(torch.arange(4000) / 7.0)[None]
    y = torch.cos(torch.arange(4000) / 7.0)[None]
    np.testing.assert_allclose(si_sdr(x, 3 * (x + 0.1 * y)), 20, atol=0.1)


def test_the_balancer_gives_each_loss_its_share_of_every_clip() -> None:
    y = torch.randn(3, 50).requires_grad_()
    scale = torch.tensor([1.0, 1e-3, 1e3])[:, None]

    def losses() -> dict[str, torch.Tensor]:
        return {"a": (y * scale).square().sum(1), "b": (y[:, :5] * 7).sum(1), "unused": y.sum(1)}

    total = balanced(losses(), {"a": 2.0, "b": 0.0, "unused": 0.0}, y)
    np.testing.assert_allclose(total.norm(dim=1) * 3, 2, rtol=1e-4)
    only_b = balanced(losses(), {"b": 1.0}, y)
    torch.testing.assert_close(balanced(losses(), {"a": 2.0, "b": 1.0}, y), total + only_b)
    silent = torch.zeros(1, 9).requires_grad_()
    assert float(balanced({"a": (silent * 0).sum(1)}, {"a": 1.0}, silent).abs().max()) == 0


def test_the_first_values_pass_the_waveform_on() -> None:
    """Before any training: a decoder that undoes what the encoder did, for what its latents can hold."""
    for stem, widths in ((4, {"encoder_dim": 8, "decoder_dim": 32}), (1, {"encoder_dim": 4, "decoder_dim": 16})):
        model = model_of(causal=True, stem=stem, latent_dim=24, **widths)
        pcm = np.stack([0.1 * np.cumsum(noise(2048, seed)) / 10 for seed in range(12)]).astype(np.float32)
        pcm -= pcm.mean(1, keepdims=True)
        x = torch.from_numpy(0.2 * pcm / np.abs(pcm).max())  # loud ones are bent by Snake
        before = si_sdr(x, model.decoder(model.encoder(x[:, None]))[:, 0].detach()).mean()
        set_first_values(model, x[:8])
        with torch.no_grad():
            held_out = si_sdr(x[8:], model.decoder(model.encoder(x[8:, None]))[:, 0]).mean()
        assert float(before) < -5, (stem, before, held_out)
        assert float(held_out) > 5, (stem, before, held_out)


def test_codebooks_made_from_data_take_off_some_of_it_level_by_level() -> None:
    model = model_of()
    torch.manual_seed(1)
    z = torch.randn(3000, 3) @ torch.randn(3, 6) + torch.randn(6)
    shares = make_codebooks(model.quantizer, z, torch.Generator().manual_seed(0))
    assert [float(share.sum()) for share in shares] == pytest.approx([1] * len(shares), rel=1e-5)
    model.eval()
    with torch.no_grad():
        left = [float((model.quantizer(z.T[None], n)[0][0].T - z).square().mean()) for n in (1, 2, 3)]
        codes = model.quantizer(z.T[None])[1]
    assert left[0] < 0.25 * float(z.var(0).mean())
    assert left == sorted(left, reverse=True)
    assert min(len(codes[0, i].unique()) for i in range(3)) > 0.8 * 64


def test_a_constant_coordinate_lets_a_search_by_cosine_hear_loudness() -> None:
    torch.manual_seed(1)
    z = torch.randn(6000, 6) * 10 ** (torch.rand(6000, 1) * 2 - 2)  # 40 dB of loudness
    snr = {}
    for pole in (0.0, 0.25):
        model = model_of().eval()
        make_codebooks(model.quantizer, z[:4000], torch.Generator().manual_seed(0), pole)
        with torch.no_grad():
            left = (model.quantizer(z[4000:].T[None])[0][0].T - z[4000:]).square().sum(1)
        snr[pole] = float(10 * torch.log10(z[4000:].square().sum(1) / left).mean())
    assert snr[0.0] < 3, snr
    assert snr[0.25] > snr[0.0] + 3, snr


def test_codebooks_of_one_coordinate_have_none_to_spare() -> None:
    z = torch.randn(500, 6, generator=torch.Generator().manual_seed(1))
    books = []
    for pole in (0.0, 0.25):
        model = model_of(codebook_dim=1)
        make_codebooks(model.quantizer, z, torch.Generator().manual_seed(0), pole)
        books.append(model.quantizer.state_dict())
    assert [name for name, value in books[1].items() if not torch.isfinite(value).all()] == []
    assert [name for name, value in books[1].items() if not torch.equal(value, books[0][name])] == []


@pytest.mark.parametrize("pole", [0.0, 0.25])
@pytest.mark.parametrize("channels", [1, 2])
def test_codebooks_may_have_more_coordinates_than_there_are_channels(channels: int, pole: float) -> None:
    z = torch.randn(2000, channels, generator=torch.Generator().manual_seed(1)) * torch.arange(1, channels + 1)
    model = model_of(latent_dim=channels, codebook_dim=3).eval()
    make_codebooks(model.quantizer, z, torch.Generator().manual_seed(0), pole)
    assert [name for name, value in model.quantizer.state_dict().items() if not torch.isfinite(value).all()] == []
    with torch.no_grad():
        left = [float((model.quantizer(z.T[None], n)[0][0].T - z).square().mean()) for n in (1, 2, 3)]
    assert left[-1] < 0.5 * float(z.square().mean()), left
    assert model.quantizer._level(0).in_proj.folded().abs().amin() > 0  # a weight norm of 0 has no gradient


def test_entries_follow_and_dead_ones_are_replaced() -> None:
    model = model_of()
    means = RunningMeans(model.quantizer, decay=0.5, expire=0.1)
    latents = torch.randn(2, 9, 40)
    codes = torch.randint(0, 4, (2, 3, 40))  # 60 of 64 entries are never used
    level = model.quantizer._level(0)
    replaced = torch.zeros(3, 64, dtype=torch.bool)
    for _ in range(6):
        replaced = means.update(codes, latents, True, drawn_frames(3 * 64, 80, seed=0))
        if replaced[0].any():
            break
    assert replaced[0].nonzero()[:, 0].tolist() == list(range(4, 64))
    x = latents[:, :3].transpose(1, 2).reshape(-1, 3)
    assert [entry for entry in level.codebook.weight[4:] if not (x == entry).all(1).any()] == []
    mean = x[codes[:, 0].reshape(-1) == 2].mean(0)
    before = (model_of().quantizer._level(0).codebook.weight[2] - mean).norm()
    assert float((level.codebook.weight[2] - mean).detach().norm()) < 0.5 * float(before.detach())


def test_discriminators_learn_to_tell_and_give_gradients() -> None:
    torch.manual_seed(0)
    discriminators = Discriminators(width=2)
    optimizer = torch.optim.AdamW(discriminators.parameters(), 2e-3)
    x, y = torch.from_numpy(noise(4096))[None], torch.randn(1, 4096).requires_grad_()
    first = None
    for _ in range(12):
        optimizer.zero_grad()
        loss = discriminator_loss(discriminators, x, y)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        first = first or float(loss.detach())
    assert y.grad is None
    assert float(loss.detach()) < first
    losses = codec_losses(discriminators, x, y)
    assert {name: value.shape for name, value in losses.items()} == {"adversarial": (1,), "feature": (1,)}
    gradient = balanced(losses, {"adversarial": 1.0, "feature": 2.0}, y)
    assert bool(torch.isfinite(gradient).all()), gradient
    assert float(gradient.norm()) > 0.1

"""The parts of training, one by one: what is computed fast is what the modules compute, losses are DAC's, batches are
decided by their number, codebooks represent the data they are made from.

Knows: streamrvq.train. Does not know: the loop (test_train_run.py).
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from streamrvq.config import PRESETS, CodecConfig
from streamrvq.errors import ConfigError, InputError
from streamrvq.nn import CodecModel, Snake1d
from streamrvq.train import TrainConfig
from streamrvq.train.adversarial import Discriminators, fool, judge
from streamrvq.train.balance import balanced
from streamrvq.train.codebooks import Followers, make
from streamrvq.train.config import Augment
from streamrvq.train.corpus import load
from streamrvq.train.data import Crops
from streamrvq.train.fast import run_decoder, run_encoder
from streamrvq.train.losses import Losses, si_sdr
from streamrvq.train.snake import library, snake
from streamrvq.train.spectra import Spectrum, mel_bands
from streamrvq.train.start import begin
from streamrvq.train.validation import excerpts, validate
from tests.contract import minute, noise


def model_of(seed: int = 0, **changes: Any) -> CodecModel:
    torch.manual_seed(seed)
    return CodecModel(minute((2, 4), **({"encoder_dim": 4, "decoder_dim": 16, "stem": 4} | changes)))


# --- computed fast


@pytest.mark.parametrize("stem", [1, 4])
def test_what_is_computed_fast_is_what_the_modules_compute(causal: bool, stem: int) -> None:
    model = model_of(causal=causal, stem=stem)
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
    assert y.dtype == dtype and y.shape == g.shape and not y[:, :3].any()
    y.backward(g)
    wide, a = x.detach().double().requires_grad_(), alpha.detach().double().requires_grad_()
    flat = a.reshape(-1)
    wanted = wide + torch.sin(flat * wide).square() / (flat + 1e-9)
    wanted.backward(g[:, 3:].double())
    tolerance = 1e-5 if dtype == torch.float32 else 2e-2
    for ours, theirs in ((y[:, 3:].detach(), wanted.detach()), (x.grad, wide.grad), (alpha.grad, a.grad)):
        assert ours is not None and theirs is not None
        error = (ours.double() - theirs).abs().max() / theirs.abs().max()
        assert float(error) < tolerance


# --- losses


def test_mel_bands_are_slaneys() -> None:
    bands = mel_bands(44100, 2048, 320)
    assert bands.shape == (1025, 320) and (bands >= 0).all()
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
    torch.testing.assert_close(Spectrum(window)(x), wanted.transpose(1, 2), rtol=1e-3, atol=1e-4)


def test_losses_are_zero_for_a_copy_and_grow_with_noise() -> None:
    losses = Losses(44100, (2048, 512))
    x = torch.from_numpy(np.stack([noise(8192, 1), noise(8192, 2) * 0.01]))
    same = losses(x, x)
    assert all(value.shape == (2,) and float(value.max()) < 1e-6 for value in same.values())
    little, much = (losses(x, x + torch.from_numpy(noise(8192, 3)) * s) for s in (0.01, 0.1))
    assert all((much[name] > little[name]).all() and (little[name] > 0).all() for name in same)
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
    assert not balanced({"a": (silent * 0).sum(1)}, {"a": 1.0}, silent).any()


# --- data


def write(path: Path, seconds: float, rate: int = 44100, level: float = 0.1, channels: int = 1) -> None:
    rng = np.random.default_rng(len(path.name))
    soundfile.write(path, level * rng.standard_normal((int(seconds * rate), channels)), rate)


def test_a_corpus_is_decoded_once(tmp_path: Path) -> None:
    audio = tmp_path / "audio" / "train"
    audio.mkdir(parents=True)
    write(audio / "a.flac", 0.5)
    write(audio / "bb.wav", 0.25, 22050, channels=2)
    (audio.parent / "manifest.csv").write_text("path,kind\ntrain/a.flac,speech\n")
    told: list[str] = []
    corpora = [load([str(audio)], 44100, tmp_path / "cache", told=lambda name, _: told.append(name)) for _ in range(2)]
    assert told == ["a.flac", "bb.wav"]
    for corpus in corpora:
        assert [clip.kind for clip in corpus.clips] == ["speech", ""]
        assert corpus.samples.dtype == np.int16 and isinstance(corpus.samples, np.memmap)
        np.testing.assert_allclose(corpus.seconds, 0.75, atol=0.01)
    pcm, _ = soundfile.read(audio / "a.flac", dtype="float32")
    clip = corpora[0].clips[0]
    np.testing.assert_array_equal(corpora[0].read(clip, 100, 50), pcm[100:150])
    np.testing.assert_array_equal(corpora[0].read(clip, -3, 5)[:3], 0)
    np.testing.assert_array_equal(corpora[0].read(clip, clip.length - 1, 3)[1:], 0)
    for missing, message in ((str(tmp_path / "no"), "is not there"), (str(tmp_path / "cache"), "holds no audio")):
        with pytest.raises(InputError, match=message):
            load([missing], 44100, tmp_path / "cache")


def test_batches_depend_on_seed_and_number_alone(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", 1.0)
    write(tmp_path / "bb.wav", 0.02)  # shorter than a crop
    corpus = load([str(tmp_path)], 44100, tmp_path / "cache")

    def crops(seed: int = 3, augment: Augment = Augment(mix=0.5, tilt=0.5)) -> Crops:  # noqa: B008
        return Crops(corpus, 2048, 4, seed, {}, augment)

    in_order = list(crops().batches(5, 9))
    assert len(in_order) == 4
    for i, batch in enumerate(in_order):
        assert batch.shape == (4, 2048) and batch.dtype == np.float32 and np.abs(batch).max() <= 1
        np.testing.assert_array_equal(batch, crops().batch(5 + i))
    assert not np.array_equal(crops(4).batch(5), in_order[0])
    loud = Augment(gain_db=(60, 60), tilt=0, mix=0)
    np.testing.assert_allclose(np.abs(crops(augment=loud).batch(0)).max(1), 0.99, rtol=1e-5)
    endless = crops().batches(0, 10**9)
    next(endless)
    endless.close()  # ends the thread


def test_kinds_are_drawn_by_their_shares(tmp_path: Path) -> None:
    for i, level in enumerate((0.5, 0.001)):
        write(tmp_path / f"{'x' * (i + 1)}.wav", 0.2 + 0.8 * i, level=level)
    (tmp_path / "manifest.csv").write_text("file,kind\nx.wav,loud\nxx.wav,quiet\n")
    corpus = load([str(tmp_path)], 44100, tmp_path / "cache")
    plain = Augment(gain_db=(0, 0), tilt=0, mix=0)
    crops = Crops(corpus, 1024, 200, 0, {"loud": 3.0, "quiet": 1.0}, plain)
    share = float((np.abs(crops.batch(0)).max(1) > 0.1).mean())
    assert 0.65 < share < 0.85


# --- codebooks


def test_the_first_values_pass_the_waveform_on() -> None:
    """Before any training: a decoder that undoes what the encoder did, for what its latents can hold."""
    for stem, widths in ((4, {"encoder_dim": 8, "decoder_dim": 32}), (1, {"encoder_dim": 4, "decoder_dim": 16})):
        model = model_of(causal=True, stem=stem, latent_dim=24, **widths)
        pcm = np.stack([0.1 * np.cumsum(noise(2048, seed)) / 10 for seed in range(12)]).astype(np.float32)
        pcm -= pcm.mean(1, keepdims=True)
        x = torch.from_numpy(0.2 * pcm / np.abs(pcm).max())  # loud ones are bent by Snake
        before = si_sdr(x, model.decoder(model.encoder(x[:, None]))[:, 0].detach()).mean()
        begin(model, x[:8])
        with torch.no_grad():
            held_out = si_sdr(x[8:], model.decoder(model.encoder(x[8:, None]))[:, 0]).mean()
        assert float(before) < -5 and float(held_out) > 5, (stem, before, held_out)


def test_codebooks_made_from_data_take_off_some_of_it_level_by_level() -> None:
    model = model_of()
    torch.manual_seed(1)
    z = torch.randn(3000, 3) @ torch.randn(3, 6) + torch.randn(6)
    shares = make(model.quantizer, z, torch.Generator().manual_seed(0))
    assert all(math.isclose(float(share.sum()), 1, rel_tol=1e-5) for share in shares)
    model.eval()
    with torch.no_grad():
        left = [float((model.quantizer(z.T[None], n)[0][0].T - z).square().mean()) for n in (1, 2, 3)]
        codes = model.quantizer(z.T[None])[1]
    assert left[0] < 0.25 * float(z.var(0).mean()) and left == sorted(left, reverse=True)
    assert min(len(codes[0, i].unique()) for i in range(3)) > 0.8 * 64


def test_a_constant_coordinate_lets_a_search_by_cosine_hear_loudness() -> None:
    torch.manual_seed(1)
    z = torch.randn(6000, 6) * 10 ** (torch.rand(6000, 1) * 2 - 2)  # 40 dB of loudness
    snr = {}
    for pole in (0.0, 0.25):
        model = model_of().eval()
        make(model.quantizer, z[:4000], torch.Generator().manual_seed(0), pole)
        with torch.no_grad():
            left = (model.quantizer(z[4000:].T[None])[0][0].T - z[4000:]).square().sum(1)
        snr[pole] = float(10 * torch.log10(z[4000:].square().sum(1) / left).mean())
    assert snr[0.0] < 3 and snr[0.25] > snr[0.0] + 3, snr


def test_entries_follow_and_dead_ones_are_replaced() -> None:
    model = model_of()
    followers = Followers(model.quantizer, decay=0.5, expire=0.1)
    latents = torch.randn(2, 9, 40)
    codes = torch.randint(0, 4, (2, 3, 40))  # 60 of 64 entries are never used
    level = model.quantizer._level(0)
    replaced: list[torch.Tensor] = []
    for _ in range(6):
        replaced = followers.update(codes, latents, True, torch.Generator().manual_seed(0))
        if len(replaced[0]):
            break
    assert replaced[0].tolist() == list(range(4, 64))
    x = latents[:, :3].transpose(1, 2).reshape(-1, 3)
    assert all(bool((x == entry).all(1).any()) for entry in level.codebook.weight[4:])
    mean = x[codes[:, 0].reshape(-1) == 2].mean(0)
    before = (model_of().quantizer._level(0).codebook.weight[2] - mean).norm()
    assert float((level.codebook.weight[2] - mean).detach().norm()) < 0.5 * float(before.detach())


# --- discriminators, validation, configuration


def test_discriminators_learn_to_tell_and_give_gradients() -> None:
    torch.manual_seed(0)
    judges = Discriminators(width=2)
    optimizer = torch.optim.AdamW(judges.parameters(), 2e-3)
    x, y = torch.from_numpy(noise(4096))[None], torch.randn(1, 4096).requires_grad_()
    first = None
    for _ in range(12):
        optimizer.zero_grad()
        loss = judge(judges, x, y)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        first = first or float(loss.detach())
    assert y.grad is None and float(loss.detach()) < first
    losses = fool(judges, x, y)
    assert {name: value.shape for name, value in losses.items()} == {"adversarial": (1,), "feature": (1,)}
    gradient = balanced(losses, {"adversarial": 1.0, "feature": 2.0}, y)
    assert bool(torch.isfinite(gradient).all()) and float(gradient.norm()) > 0.1


def test_validation_takes_the_same_excerpts_of_every_kind(tmp_path: Path) -> None:
    for i in range(6):
        write(tmp_path / f"{'x' * (i + 1)}.wav", 0.1)
    rows = "".join(f"{'x' * (i + 1)}.wav,{'a' if i < 5 else 'b'}\n" for i in range(6))
    (tmp_path / "manifest.csv").write_text("file,kind\n" + rows)
    corpus = load([str(tmp_path)], 44100, tmp_path / "cache")
    clips = excerpts(corpus, 4, 0.05, 32)
    assert len(clips) == 3 and all(clip.shape[1] == 2205 // 32 * 32 for clip in clips)  # two of a, the only b
    assert all(torch.equal(a, b) for a, b in zip(clips, excerpts(corpus, 4, 0.05, 32), strict=True))
    figures = validate(model_of(causal=True), clips, Losses(44100, (2048,)))
    assert len(figures["used"]) == len(figures["entropy"]) == 3 and all(0 < used <= 1 for used in figures["used"])
    assert figures["mel"] > 0 and json.dumps(figures)


def test_a_configuration_is_read_checked_and_written(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text('train = ["audio"]\nbatch = 2\n[codec]\nstem = 2\ncausal = true\n[loss]\nmel = 3.0\n')
    config = TrainConfig.read(path)
    assert config.train == (str(tmp_path / "audio"),) and config.loss.mel == 3 and config.codec.stem == 2
    assert TrainConfig.from_dict(config.to_dict()) == config
    for text, message in (
        ("batch = 2", "no codec"), ("[codec]\nx = 1", "'x'"), ("bach = 2\n[codec]", "'bach'"), ("a =", "parsed"),
        ("batch = 0\n[codec]", "batch is 0"), ("[codec]\n[loss]\nmal = 1", "'mal'"),
        ('precision = "half"\n[codec]', "precision is 'half'"),
    ):  # fmt: skip
        path.write_text(text)
        with pytest.raises(ConfigError, match=message):
            TrainConfig.read(path)
    with pytest.raises(ConfigError, match="cannot read"):
        TrainConfig.read(tmp_path / "none.toml")


def test_the_packaged_configuration_keeps_the_budget() -> None:
    from streamrvq.geometry import decoder_plan, encoder_plan, tensor_shapes

    path = Path(__file__).parents[1] / "streamrvq/train/configs/causal-44khz.toml"
    codec: CodecConfig = TrainConfig.read(path).codec
    assert codec == PRESETS["causal-44khz"]
    assert (codec.hop_length, codec.sample_rate, codec.causal) == (512, 44100, True)
    assert (codec.n_codebooks, codec.codebook_size, codec.codebook_dim) == (9, 1024, 8)
    gflop = [2 * plan(codec).macs * 44100 / 512 / 1e9 for plan in (encoder_plan, decoder_plan)]
    parameters = sum(math.prod(shape) for shape in tensor_shapes(codec).values())
    assert gflop[0] <= 16 and gflop[1] <= 20 and parameters <= 12e6, (gflop, parameters)

"""The torch modules: outputs, losses and gradients of official DAC, and the plain reference's whole signals."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrvq.config import CodecConfig
from streamrvq.errors import InputError, WeightsError
from streamrvq.families import decoder_plan, encoder_plan, tensor_shapes
from streamrvq.nn import CodecModel, ResidualVectorQuantize
from streamrvq.weights import seeded
from tests.reference.official import official_dac, official_rvq
from tests.reference.plain_dac import PlainDAC

RVQ = {"input_dim": 24, "n_codebooks": 5, "codebook_size": 32, "codebook_dim": 4}
SMALL = {
    "encoder_dim": 4, "encoder_rates": [2, 5], "latent_dim": 12, "decoder_dim": 16, "decoder_rates": [5, 2],
    "n_codebooks": 3, "codebook_size": 16, "codebook_dim": 4,
}  # fmt: skip
OUTPUTS = ("z", "codes", "latents", "commitment_loss", "codebook_loss")


def tiny(**changes: Any) -> CodecConfig:
    return CodecConfig(**{**SMALL, **changes})


def twins(**kwargs: Any) -> tuple[Any, ResidualVectorQuantize]:
    """An official quantiser and ours with its state, both float64."""
    torch.manual_seed(0)
    theirs = official_rvq(**kwargs).double()
    ours = ResidualVectorQuantize(**kwargs).double().eval()
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


def audio(length: int, batch: int = 1, seed: int = 0) -> torch.Tensor:
    """Noise with a slow loudness, float64 ``[batch, 1, length]``."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, 1, length, generator=generator, dtype=torch.float64)
    return x * 0.2 * (1 + torch.sin(torch.arange(length) / 50.0))


# --- the quantiser against descript's


@pytest.mark.heavy
@pytest.mark.parametrize("n_quantizers", [None, 1, 3, 5, 8])
def test_rvq_gives_the_five_outputs_of_dac(n_quantizers: int | None) -> None:
    theirs, ours = twins(**RVQ)
    z = torch.randn(3, 24, 17, dtype=torch.float64)
    for name, a, b in zip(OUTPUTS, theirs(z, n_quantizers), ours(z, n_quantizers), strict=True):
        assert a.shape == b.shape, name
        torch.testing.assert_close(b, a, rtol=1e-12, atol=1e-12, msg=name)


@pytest.mark.heavy
@pytest.mark.parametrize("share", [0.0, 0.4, 0.5, 1.0])
def test_rvq_training_drops_levels_and_has_gradients_as_dac_does(share: float) -> None:
    theirs, ours = twins(**RVQ, quantizer_dropout=share)
    z = torch.randn(6, 24, 11, dtype=torch.float64)
    weight = torch.randn_like(z)
    grads = []
    for model in (theirs, ours):
        model.train()
        torch.manual_seed(7)  # both draw the dropped levels in the same way
        x = z.clone().requires_grad_()
        out = model(x, 2)  # n_quantizers is ignored in training
        (out[0] * weight).sum().add(0.25 * out[3]).add(out[4]).backward()
        grads.append((out, {"z": x.grad} | {name: p.grad for name, p in model.named_parameters()}))
    (a, ga), (b, gb) = grads
    for name, x, y in zip(OUTPUTS, a, b, strict=True):
        torch.testing.assert_close(y, x, rtol=1e-12, atol=1e-12, msg=name)
    assert b[1].shape[1] == RVQ["n_codebooks"]
    assert ga.keys() == gb.keys()
    for name in ga:
        torch.testing.assert_close(gb[name], ga[name], rtol=1e-9, atol=1e-12, msg=name)


@pytest.mark.heavy
def test_rvq_from_codes_and_from_latents_are_dacs() -> None:
    theirs, ours = twins(**RVQ)
    _, codes, latents, _, _ = ours(torch.randn(2, 24, 9, dtype=torch.float64))
    for levels in (1, 3, 5):
        for a, b in zip(theirs.from_codes(codes[:, :levels]), ours.from_codes(codes[:, :levels]), strict=True):
            torch.testing.assert_close(b, a, rtol=1e-12, atol=1e-12)
        part = latents[:, : 4 * levels + (levels < 5)]  # a channel too many is ignored
        for a, b in zip(theirs.from_latents(part), ours.from_latents(part), strict=True):
            torch.testing.assert_close(b, a, rtol=1e-12, atol=1e-12)


def test_rvq_dropped_rows_equal_fewer_levels() -> None:
    torch.manual_seed(0)
    rvq = ResidualVectorQuantize(**RVQ, quantizer_dropout=0.5).double()
    z = torch.randn(5, 24, 7, dtype=torch.float64)
    torch.manual_seed(3)
    z_q, codes, *_ = rvq.train()(z)
    torch.manual_seed(3)
    drawn = torch.randint(1, 6, (5,))
    rvq.eval()
    for row in range(5):
        levels = int(drawn[row]) if row < 2 else 5  # int(5 · 0.5) rows
        torch.testing.assert_close(z_q[row : row + 1], rvq(z[row : row + 1], levels)[0], rtol=1e-12, atol=1e-12)
    assert torch.equal(codes, rvq(z)[1])


def test_rvq_takes_the_lowest_index_on_ties() -> None:
    torch.manual_seed(0)
    rvq = ResidualVectorQuantize(24, 1, 16, 4).eval()
    level = rvq.quantizers[0]
    with torch.no_grad():
        level.codebook.weight[8:] = level.codebook.weight[:8]  # type: ignore[union-attr, index]
    assert rvq(torch.randn(2, 24, 200))[1].max() < 8


def test_rvq_refuses_what_has_no_meaning() -> None:
    rvq = ResidualVectorQuantize(**RVQ).eval()
    with pytest.raises(InputError, match="n_quantizers is 0"):
        rvq(torch.zeros(1, 24, 2), 0)
    with pytest.raises(InputError, match="6 levels"):
        rvq.from_codes(torch.zeros(1, 6, 2, dtype=torch.int64))
    with pytest.raises(InputError, match="3 channels"):
        rvq.from_latents(torch.zeros(1, 3, 2))


# --- the whole model against descript's


@pytest.mark.heavy
def test_model_is_made_as_dac_makes_it() -> None:
    torch.manual_seed(11)
    theirs = official_dac(**SMALL)
    torch.manual_seed(11)
    ours = CodecModel(tiny())
    a, b = theirs.state_dict(), ours.state_dict()
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []


@pytest.mark.heavy
def test_model_gives_dacs_outputs_and_gradients() -> None:
    torch.manual_seed(1)
    theirs = official_dac(**SMALL, quantizer_dropout=0.5).double().train()
    ours = CodecModel(tiny(quantizer_dropout=0.5)).double().train()
    ours.load_state_dict(theirs.state_dict())
    x = audio(117, batch=3)
    results = []
    for model in (theirs, ours):
        torch.manual_seed(5)
        out = model(x, 44100)
        (out["audio"].square().mean() + 0.25 * out["vq/commitment_loss"] + out["vq/codebook_loss"]).backward()
        results.append((out, {name: p.grad for name, p in model.named_parameters()}))
    (a, ga), (b, gb) = results
    assert list(a) == list(b)
    for name in a:
        torch.testing.assert_close(b[name], a[name], rtol=1e-10, atol=1e-12, msg=name)
    for name in ga:
        torch.testing.assert_close(gb[name], ga[name], rtol=1e-7, atol=1e-11, msg=name)


# --- whole signals against the plain reference

small_codecs = st.builds(
    lambda rates, **rest: tiny(encoder_rates=rates, decoder_rates=rates[::-1], **rest),
    rates=st.sampled_from([(2,), (3,), (2, 5), (4, 3), (2, 3, 2)]),
    latent_dim=st.sampled_from([None, 6]),
    causal=st.booleans(),
    output_padding=st.booleans(),
)


@settings(max_examples=40, deadline=None)
@given(config=small_codecs, length=st.integers(0, 130), batch=st.integers(1, 2), seed=st.integers(0, 3))
def test_model_equals_the_plain_reference(config: CodecConfig, length: int, batch: int, seed: int) -> None:
    weights = seeded(config, seed)
    model = CodecModel.from_weights(weights).double()
    plain = PlainDAC(weights.tensors, config)
    x = audio(length, batch, seed)
    wanted = plain.encode(x[:, 0].numpy())
    frames = encoder_plan(config).outputs(length)
    assert wanted.z.shape == (batch, config.latent_channels, frames)
    with torch.no_grad():
        torch.testing.assert_close(model.encoder(x), wanted.z, rtol=1e-11, atol=1e-11)
        _, codes, latents, _, _ = model.encode(x)
        assert torch.equal(codes, wanted.codes)
        torch.testing.assert_close(latents, wanted.latents, rtol=1e-10, atol=1e-10)
        pcm = model.decode(model.quantizer.from_codes(codes)[0])
    assert pcm.shape == (batch, 1, decoder_plan(config).outputs(frames))
    torch.testing.assert_close(pcm[:, 0], plain.decode(codes), rtol=1e-10, atol=1e-10)


def test_causal_model_does_not_look_ahead() -> None:
    model = CodecModel.from_weights(seeded(tiny(causal=True))).double()
    x = audio(200)
    with torch.no_grad():
        z = model.encoder(x)
        for at in (0, 57, 199):
            y = x.clone()
            y[..., at] += 1
            changed = (model.encoder(y) != z).any(1)[0].nonzero()[:, 0]
            assert int(changed[0]) == at // model.hop_length


def test_preprocess_pads_to_whole_hops() -> None:
    model = CodecModel(tiny())
    for length, padded in ((0, 0), (1, 10), (10, 10), (11, 20)):
        assert model.preprocess(torch.ones(1, 1, length), 44100).shape[-1] == padded
    with pytest.raises(InputError, match=r"16000 Hz.*44100 Hz"):
        model.preprocess(torch.ones(1, 1, 5), 16000)
    with pytest.raises(InputError, match=r"\[2, 30\]"):
        model.encode(torch.zeros(2, 30))


# --- state dicts


def parametrized(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A state dict as torch.nn.utils.parametrizations.weight_norm names it."""
    return {
        name.replace("weight_g", "parametrizations.weight.original0").replace(
            "weight_v", "parametrizations.weight.original1"
        ): value
        for name, value in state.items()
    }


def test_every_weight_norm_style_is_taken() -> None:
    torch.manual_seed(2)
    config = tiny()
    trained = CodecModel(config)
    for parameter in trained.parameters():
        parameter.data *= 1 + 0.1 * torch.rand_like(parameter)
    old = dict(trained.state_dict())
    folded = {name: torch.tensor(value) for name, value in trained.to_weights("x", True).tensors.items()}
    assert {name: tuple(value.shape) for name, value in folded.items()} == tensor_shapes(config)
    x = audio(60).float()
    with torch.no_grad():
        wanted = trained.encoder(x)
        for style in (old, parametrized(old), folded):
            for weight_norm in (True, False):
                model = CodecModel(config, weight_norm)
                model.load_state_dict(style)
                torch.testing.assert_close(model.encoder(x), wanted, rtol=1e-5, atol=1e-6)
                assert ("encoder.block.0.weight_g" in model.state_dict()) is weight_norm
    plain = CodecModel(config, weight_norm=False)
    plain.load_state_dict(old)  # folded by the one function: the same bits as the Weights
    assert [name for name, value in plain.state_dict().items() if not torch.equal(value, folded[name])] == []
    assert CodecModel.from_weights(trained.to_weights("x", True)).training is False


def test_a_misfit_state_dict_is_refused() -> None:
    state = dict(CodecModel(tiny()).state_dict())
    del state["encoder.block.0.weight_g"]
    with pytest.raises(RuntimeError, match="weight_g"):
        CodecModel(tiny()).load_state_dict(state)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_module_of_weights_is_float32_whatever_the_program_has_set(dtype: torch.dtype) -> None:
    weights = seeded(tiny())
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device("meta"), torch.inference_mode():
            model = CodecModel.from_weights(weights)
    finally:
        torch.set_default_dtype(before)
    assert {(value.dtype, value.device.type) for value in model.parameters()} == {(torch.float32, "cpu")}
    assert model.to_weights("again", trained=False).codec_hash == weights.codec_hash
    model(torch.zeros(1, 1, 40))["audio"].sum().backward()


def test_a_module_in_bfloat16_can_be_written_back_and_one_without_values_is_refused() -> None:
    model = CodecModel.from_weights(seeded(tiny())).bfloat16()
    same = model.to_weights("half", trained=True).codec_hash
    assert model.float().to_weights("whole", trained=True).codec_hash == same
    with pytest.raises(WeightsError, match="is on device meta"):
        model.to("meta").to_weights("none", trained=True)


def test_weights_that_are_assigned_give_parameters_of_one_type() -> None:
    config = tiny()
    model = CodecModel(config)
    model.load_state_dict(CodecModel.from_weights(seeded(config)).state_dict(), assign=True)
    assert {value.dtype for value in model.parameters()} == {torch.float32}


def test_a_batch_without_rows_has_codes_without_rows() -> None:
    model = CodecModel.from_weights(seeded(tiny()))
    assert model(torch.zeros(0, 1, 40))["codes"].shape == (0, 3, 4)

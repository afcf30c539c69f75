"""Weights in memory: folding, fitting to a config, hashing, seeding."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from streamrvq.config import CodecConfig
from streamrvq.errors import WeightsError
from streamrvq.families import tensor_shapes
from streamrvq.weights import Weights, fold, seeded
from streamrvq.weights.fold import fold_pair, pair_names, split
from streamrvq.weights.value import is_trained
from tests.support.small_codec import ANY, CONFIG, same, ulps

# --- folding


@given(
    v=npst.arrays(np.float32, npst.array_shapes(min_dims=3, max_dims=3, max_side=6),
                  elements=st.floats(0.0009765625, 4, width=32)),
    scale=st.floats(0.125, 4, width=32),
)  # fmt: skip
def test_fold_is_weight_norm_rounded_once(v: np.ndarray[Any, Any], scale: float) -> None:
    g = np.full((v.shape[0], 1, 1), scale, np.float32)
    w = fold_pair("x.weight", g, v)
    assert w.dtype == np.float32
    assert w.shape == v.shape
    assert w.flags.c_contiguous
    exact = g.astype(np.longdouble) * v / np.sqrt((v.astype(np.longdouble) ** 2).sum((1, 2), keepdims=True))
    assert ulps(w, exact) <= 0.5 + 1e-6  # float64 is all but exact
    again = fold_pair("x.weight", *split(w))
    assert ulps(again, w) <= 1


def test_fold_takes_every_style_and_leaves_the_rest() -> None:
    rng = np.random.default_rng(0)
    g, v, b = rng.random((3, 1, 1), np.float32), rng.random((3, 2, 5), np.float32), np.ones(3, np.float32)
    (g_old, v_old), (g_new, v_new) = pair_names("a.weight")
    assert (g_old, v_new) == ("a.weight_g", "a.parametrizations.weight.original1")
    old, new = fold({g_old: g, v_old: v, "a.bias": b}), fold({g_new: g, v_new: v, "a.bias": b})
    assert set(old) == set(new) == {"a.weight", "a.bias"}
    assert old["a.bias"] is b
    assert np.array_equal(old["a.weight"], new["a.weight"])
    assert fold(old)["a.weight"] is old["a.weight"]
    parametrized = torch.nn.utils.parametrizations.weight_norm(torch.nn.Conv1d(2, 3, 5))
    parametrized.load_state_dict({g_new[2:]: torch.tensor(g), v_new[2:]: torch.tensor(v), "bias": torch.tensor(b)})
    np.testing.assert_allclose(old["a.weight"], parametrized.weight.detach().numpy(), rtol=3e-7)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"a.weight_g": (3, 1, 1)}, r"a\.weight_g came without a\.weight_v"),
        ({"a.parametrizations.weight.original1": (3, 2, 5)}, r"original1 came without .*original0"),
        ({"a.weight_g": (2, 1, 1), "a.weight_v": (3, 2, 5)}, r"g has shape \[2, 1, 1\] beside v \[3, 2, 5\]"),
        ({"a.weight_g": (3, 1, 1), "a.weight_v": (3, 2, 5), "a.weight": (3, 2, 5)}, "both folded and as"),
    ],
)
def test_fold_refuses_what_is_no_pair(tensors: dict[str, tuple[int, ...]], message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        fold({name: np.ones(shape, np.float32) for name, shape in tensors.items()})
    with pytest.raises(WeightsError, match="int64"):
        fold({"a.weight_g": np.ones((3, 1, 1), np.int64), "a.weight_v": np.ones((3, 2, 5))})


# --- fitting


def test_a_misfit_names_the_tensor_what_came_and_what_was_wanted(weights: Weights) -> None:
    def refused(message: str, **change: np.ndarray[Any, Any] | None) -> None:
        tensors: dict[str, Any] = {**weights.tensors, **change}
        with pytest.raises(WeightsError, match=message):
            Weights.from_tensors(CONFIG, {k: v for k, v in tensors.items() if v is not None}, name="x", trained=False)

    value = weights.tensors[ANY]
    refused(r"block\.1\.weight in the given tensors has shape \[4, 4, 5\]; wanted \[4, 4, 7\]", **{ANY: value[..., :5]})
    refused(r"lacks encoder\.block\.1\.block\.0\.block\.1\.weight; wanted", **{ANY: None})
    refused(r"lacks encoder.*\.weight \(it has other, which", **{ANY: None, "other": value})
    refused("has other, which the configuration does not know", other=value)
    refused("has extra and 1 more", other=value, extra=value)
    refused(r"is int64; wanted float16, bfloat16, float32 or float64", **{ANY: value.astype(np.int64)})
    refused(r"is complex64; wanted", **{ANY: value.astype(np.complex64)})
    for bad in (np.nan, np.inf):
        spoilt = value.copy()
        spoilt[1, 2, 3] = bad
        refused(rf"is {bad} at \[1, 2, 3\]; wanted finite", **{ANY: spoilt})
    huge = value.astype(np.float64)
    huge[0, 0, 0] = 1e300
    refused("is inf at", **{ANY: huge})


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_float_types_are_taken_and_copied(weights: Weights, dtype: Any) -> None:
    given_tensors = {name: value.astype(dtype)[...] for name, value in weights.tensors.items()}
    taken = Weights.from_tensors(CONFIG, given_tensors, name="x", trained=True)
    assert same(taken, weights)  # seeded values are float16 values
    given_tensors[ANY][:] = 0
    assert same(taken, weights)
    assert {name: value.shape for name, value in taken.tensors.items()} == tensor_shapes(CONFIG)
    for value in taken.tensors.values():
        assert value.dtype == np.float32
        assert value.flags.c_contiguous
        assert not value.flags.writeable


# --- the hash


def test_the_hash_is_of_what_decides_the_tokens(weights: Weights) -> None:
    assert len(weights.codec_hash) == 64
    assert int(weights.codec_hash, 16)
    assert dataclasses.replace(weights, name="y", trained=True).codec_hash == weights.codec_hash
    dropout = dataclasses.replace(CONFIG, quantizer_dropout=0.5)
    assert dataclasses.replace(weights, config=dropout).codec_hash == weights.codec_hash
    for change in ({"causal": True}, {"sample_rate": 48000}, {"output_padding": True}):
        other = dataclasses.replace(weights, config=dataclasses.replace(CONFIG, **change))
        assert other.codec_hash != weights.codec_hash
    for name in weights.tensors:
        changed = weights.tensors[name].copy()
        changed.flat[-1] = np.nextafter(changed.flat[-1], np.float32(9))
        assert dataclasses.replace(weights, tensors={**weights.tensors, name: changed}).codec_hash != weights.codec_hash
    backwards = dict(reversed(weights.tensors.items()))
    assert dataclasses.replace(weights, tensors=backwards).codec_hash == weights.codec_hash


# --- seeded


def test_seeded_weights_are_the_same_everywhere(weights: Weights) -> None:
    # Written down once: a change means that every "untrained" codec gives other tokens than before.
    assert weights.codec_hash == "0428e8b241dd02dd5f223356882850356ade477fa0f4369a031f7ffdb79536ff"
    assert not weights.trained
    assert seeded(CONFIG, 1).codec_hash != weights.codec_hash
    # A tensor depends on its name and shape alone.
    wider = seeded(dataclasses.replace(CONFIG, decoder_dim=32, n_codebooks=5))
    for name, value in weights.tensors.items():
        if not name.startswith("decoder"):
            assert np.array_equal(wider.tensors[name], value), name


def test_seeded_weights_are_spread() -> None:
    w = seeded(CodecConfig(encoder_dim=16, decoder_dim=64, latent_dim=32)).tensors
    for name, value in w.items():
        if name.endswith(".alpha"):
            assert value.min() >= 0.5, name
            assert value.max() <= 1.5, name
            assert value.size < 8 or value.std() > 0.1, name
        elif name.endswith(".bias"):
            assert value.all(), name
            assert np.abs(value).max() < 0.3, name
    first = w["encoder.block.0.weight"]
    np.testing.assert_allclose(first.std(), 10 / 7**0.5, rtol=0.25)
    for i in range(9):
        np.testing.assert_allclose(w[f"quantizer.quantizers.{i}.codebook.weight"].std(), 1, rtol=0.05)


def test_what_no_step_has_changed_is_untrained() -> None:
    alphas = {"a.alpha": np.ones((1, 4, 1), np.float32), "b.snake.alpha": np.ones((1, 2, 1), np.float32)}
    assert not is_trained({}, alphas | {"a.weight": np.zeros(3)})
    assert is_trained({}, alphas | {"b.snake.alpha": np.array([1.0, 0.99])})
    assert is_trained({}, {"a.weight": np.ones(3)})
    assert is_trained({"trained": True}, alphas)
    assert not is_trained({"trained": False}, {"a.weight": np.ones(3)})

"""The arithmetic of a GPU's causal convolutions, in torch on a CPU: gradients are those of F.conv1d.

Knows: device/convolution.py with a stand-in for the kernels. Does not know: Triton (test_kernels.py).
"""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from streamrvq.nn import CodecModel, Snake1d
from streamrvq.train import fast
from streamrvq.train.device import convolution
from streamrvq.train.device.convolution import convolved, input_gradient, weight_gradient
from streamrvq.train.device.operations import Operations
from tests.support.contract import minute
from tests.support.training.in_torch import InTorch


@given(
    clips=st.integers(1, 12), time=st.integers(1, 20), channels=st.integers(1, 9), wide=st.integers(1, 9),
    taps=st.integers(1, 7) | st.just(2), dilation=st.integers(1, 9), double=st.booleans(),
)  # fmt: skip
def test_gradients_are_those_of_a_padded_convolution(
    clips: int, time: int, channels: int, wide: int, taps: int, dilation: int, double: bool
) -> None:
    dtype, tolerance = (torch.float64, 1e-10) if double else (torch.float32, 1e-4)
    left = (taps - 1) * dilation
    x = torch.randn(clips, time, channels, dtype=dtype, requires_grad=True)
    weight = torch.randn(wide, taps, channels, dtype=dtype, requires_grad=True)
    g = torch.randn(clips, time, wide, dtype=dtype)
    wanted = F.conv1d(F.pad(x.transpose(1, 2), (left, 0)), weight.transpose(1, 2), dilation=dilation).transpose(1, 2)
    to_x, to_weight = torch.autograd.grad(wanted, [x, weight], g)
    padded, behind, taken = F.pad(x.detach(), (0, 0, left, 0)), F.pad(g, (0, 0, 0, left)), weight.detach()
    for ours, theirs in (
        (convolved(padded, taken, None, dilation), wanted.detach()),
        (input_gradient(behind, taken, dilation), to_x),
        (weight_gradient(padded, behind, taps, dilation), to_weight),
    ):
        assert ours.shape == theirs.shape
        assert ours.dtype == dtype
        torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance * 10)


@pytest.mark.parametrize("taps", [1, 2])
def test_one_and_two_taps_need_no_convolution(taps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "conv2d", None)
    x, weight, bias = torch.randn(3, 9, 5), torch.randn(4, taps, 5), torch.randn(4)
    left = (taps - 1) * 3
    wanted = F.conv1d(x.transpose(1, 2), weight.transpose(1, 2), bias, dilation=3).transpose(1, 2)
    torch.testing.assert_close(convolved(x, weight, bias, 3), wanted)
    g = torch.randn(3, 9 - left, 4)
    to_x = input_gradient(F.pad(g, (0, 0, 0, left)), weight, 3)
    wanted = F.conv_transpose1d(g.transpose(1, 2), weight.transpose(1, 2), dilation=3).transpose(1, 2)
    torch.testing.assert_close(to_x, wanted[:, left:])


def test_two_taps_are_rounded_once() -> None:
    x = torch.tensor([[[256.0, 1.0], [0.0, 1.0]]], dtype=torch.bfloat16)  # 257 would be rounded
    assert convolved(x, torch.ones(1, 2, 2, dtype=torch.bfloat16), None, 1).item() == 258


def test_nothing_of_a_clip_is_in_the_gradient_of_another() -> None:
    x, g = torch.zeros(4, 18 + 5, 3), torch.zeros(4, 5 + 18, 2)
    x[1, 18:], g[2, :5], g[0, :5] = 1.0, 1.0, 1.0
    assert not weight_gradient(x, g, 7, 3).any()


def test_sums_in_bfloat16_are_made_in_float32() -> None:
    x, g = torch.ones(2, 3000, 1, dtype=torch.bfloat16), torch.ones(2, 3000, 1, dtype=torch.bfloat16)
    assert weight_gradient(x, g, 1, 1).item() == 6000


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)], ids=str)
def test_functions_of_a_card_give_what_torch_gives(dtype: torch.dtype, tolerance: float) -> None:
    names = set()
    for name, ours, theirs in convolution.compared(InTorch, "cpu", dtype):
        names.add(name.split()[0])
        assert float((ours - theirs).norm() / theirs.norm()) < tolerance, name
    assert names == {"unit", "strided", "bare"}


@pytest.mark.parametrize("stem", [1, 4])
def test_a_codec_on_a_card_is_the_codec_on_a_cpu(causal: bool, stem: int, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = CodecModel(minute((2, 4), causal=causal, encoder_dim=4, decoder_dim=16, stem=stem))
    for module in model.modules():
        if isinstance(module, Snake1d):
            module.alpha.data.uniform_(0.5, 1.5)
    parameters = [p for n, p in model.named_parameters() if not n.startswith("quant")]
    calls: list[int] = []
    padded = InTorch.padded
    monkeypatch.setattr(InTorch, "padded", lambda g, right: calls.append(right) or padded(g, right))
    x, results = torch.randn(3, 1, 32 * 20), []
    for kernels in (None, InTorch):
        monkeypatch.setattr(fast, "usable", lambda x, kernels=kernels: kernels)
        z = fast.run_encoder(model.encoder, x, torch.float32)
        y = fast.run_decoder(model.decoder, z, torch.float32)
        gradients = torch.autograd.grad((y * x[..., : y.shape[-1]]).sum(), parameters)
        results.append([z.detach(), y.detach(), *gradients])
    assert any(calls) == causal  # padding for taps that follow
    for theirs, ours in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4 * float(theirs.abs().max() + 1))


def test_products_with_another_type_are_counted() -> None:
    a, b = (torch.empty(shape, device="meta", dtype=torch.bfloat16) for shape in ((3, 4, 5), (3, 5, 6)))
    with Operations() as counter:
        torch.bmm(a, b, out_dtype=torch.float32)
    assert counter.total == 2 * 3 * 4 * 5 * 6

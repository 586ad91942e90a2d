"""The repeated border: its lines and their adjoint against torch's own padding and autograd."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from farm.engine.border import fold_border, pad_by_repeating, repeat_border
from farm.engine.convolution import adjoint, as_hwc, as_nchw, kernel

SIZES = [(1, 1), (1, 5), (5, 1), (2, 2), (3, 4), (7, 6)]


def a_layer() -> tuple[torch.Tensor, torch.Tensor]:
    weight = torch.randn(4, 3, 3, 3, dtype=torch.float64).contiguous(memory_format=torch.channels_last)
    return weight, torch.randn(4, dtype=torch.float64)


@pytest.mark.parametrize("winograd", [False, True])
@pytest.mark.parametrize(("H", "W"), SIZES)
def test_a_convolution_repeats_the_border_and_so_does_its_adjoint(
    H: int, W: int, winograd: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("farm.engine.convolution.FEWEST_CHANNELS", 1)
    torch.manual_seed(H * 10 + W)
    weight, bias = a_layer()
    x = torch.randn(H, W, 3, dtype=torch.float64, requires_grad=True)
    d = torch.randn(H, W, 4, dtype=torch.float64)
    expected = as_hwc(F.conv2d(F.pad(as_nchw(x), (1, 1, 1, 1), mode="replicate"), weight, bias))
    (slope,) = torch.autograd.grad((expected * d).sum(), x)

    taps, given = weight.permute(0, 2, 3, 1).flatten(1), x.detach()
    by_lines = kernel(weight, winograd)(given, bias)
    repeat_border(by_lines, given, taps, bias)
    padded = kernel(weight, winograd)(pad_by_repeating(given), bias, padding=0)
    back = fold_border(kernel(adjoint(weight), winograd)(d, padding=2))

    torch.testing.assert_close(by_lines, expected.relu().detach())
    torch.testing.assert_close(padded, expected.relu().detach())
    torch.testing.assert_close(back, slope)


def test_a_constant_picture_has_constant_features() -> None:
    weight, bias = a_layer()
    x = torch.full((6, 8, 3), 0.5, dtype=torch.float64)
    out = kernel(weight, winograd=False)(x, bias)
    repeat_border(out, x, weight.permute(0, 2, 3, 1).flatten(1), bias)
    torch.testing.assert_close(out, out[3, 3].expand_as(out))

"""A border that repeats itself, around convolutions that pad with zeros.

VGG pads with zeros. To each of its layers those are a dark frame around the picture, which the
optimiser answers with a frame in the picture. The two paddings differ only in the outermost lines of an
activation, so these are computed anew, as one product of their patches with the weights, and everything
else stays with the fast convolutions.
"""

from __future__ import annotations

import torch
from torch import Tensor


def repeat_border(out: Tensor, x: Tensor, weight: Tensor, bias: Tensor) -> None:
    """Overwrite the outermost lines of `out` by those of a convolution that repeats x's border.

    Args:
        out: (H, W, O), the convolution of x with zeros around, rectified.
        x: (H, W, C). weight: (O, C, 3, 3), channels last. bias: (O,).
    """
    H, W, _ = x.shape
    turned = x.transpose(0, 1)
    patches = [
        _extract_patches(_take_first_lines(x)),
        _extract_patches(_take_last_lines(x)),
        _extract_patches(_take_first_lines(turned)).transpose(1, 2),
        _extract_patches(_take_last_lines(turned)).transpose(1, 2),
    ]
    taps = weight.permute(0, 2, 3, 1).flatten(1)  # (O, 9 C), a view
    lines = torch.addmm(bias, torch.cat(patches).flatten(1), taps.T).relu_()  # (2 W + 2 H, O)
    out[0], out[-1] = lines[:W], lines[W : 2 * W]
    out[:, 0], out[:, -1] = lines[2 * W : 2 * W + H], lines[2 * W + H :]


def _take_first_lines(x: Tensor) -> Tensor:
    """Return the first row twice, and the second: (3, L, C)."""
    return torch.cat((x[:1], x[:1], x[1:2] if len(x) > 1 else x[:1]))


def _take_last_lines(x: Tensor) -> Tensor:
    """Return the last row but one, and the last twice: (3, L, C)."""
    return torch.cat((x[-2:-1] if len(x) > 1 else x[-1:], x[-1:], x[-1:]))


def _extract_patches(strip: Tensor) -> Tensor:
    """Extract the kernel's patch at each place along a strip's middle: (3, L, C) -> (L, 3, 3, C)."""
    ends_repeated = torch.cat((strip[:, :1], strip, strip[:, -1:]), dim=1)
    return ends_repeated.unfold(1, 3, 1).permute(1, 0, 3, 2)


def fold_border(back: Tensor, d: Tensor, weight: Tensor) -> None:
    """Add the part beyond the edge, where the border was repeated, to an adjoint with zeros around.

    Args:
        back: (H, W, C), the adjoint convolution of d (H, W, O) with zeros around.
        weight: (O, C, 3, 3), channels last.
    """
    taps = weight.permute(0, 2, 3, 1)  # (O, 3, 3, C), a view
    for row, kernel_row in ((0, 0), (-1, 2)):
        beyond = _spread(d[row], taps[:, kernel_row])  # (W + 2, C)
        beyond[1] += beyond[0]
        beyond[-2] += beyond[-1]
        back[row] += beyond[1:-1]
    for column, kernel_column in ((0, 0), (-1, 2)):
        back[:, column] += _spread(d[:, column], taps[:, :, kernel_column])[1:-1]  # corners: see above


def _spread(line: Tensor, taps: Tensor) -> Tensor:
    """Apply the adjoint of a kernel's three taps (O, 3, C) along a line (L, O): (L + 2, C)."""
    C = taps.shape[2]
    parts = (line @ taps.flatten(1)).view(-1, 3, C)  # (L, 3, C)
    spread = parts.new_zeros(len(line) + 2, C)
    for tap in range(3):
        spread[tap : tap + len(line)] += parts[:, tap]
    return spread

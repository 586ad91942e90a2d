"""CIE Lab of sRGB colours and back, white D65 (IEC 61966-2-1, CIE 15)."""

from __future__ import annotations

import torch
from torch import Tensor

TO_XYZ = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
WHITE = (0.9505, 1.0, 1.089)
KNEE = 6 / 29  # of the cube root, below which it goes on as a line


def convert_to_lab(colours: Tensor) -> Tensor:
    """Convert sRGB (3, n) in [0, 1] to Lab (3, n)."""
    linear = torch.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    xyz = linear.new_tensor(TO_XYZ) @ linear / linear.new_tensor(WHITE)[:, None]
    f = torch.where(xyz > KNEE**3, xyz.clamp(min=0) ** (1 / 3), xyz / (3 * KNEE**2) + 4 / 29)
    return torch.stack((116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])))


def convert_from_lab(lab: Tensor) -> Tensor:
    """Convert Lab (3, n) to sRGB (3, n); colours that sRGB does not have lie outside of [0, 1]."""
    f = torch.stack((lab[0], lab[0], lab[0])).add_(16).div_(116)
    f[0] += lab[1] / 500
    f[2] -= lab[2] / 200
    xyz = torch.where(f > KNEE, f**3, 3 * KNEE**2 * (f - 4 / 29)) * f.new_tensor(WHITE)[:, None]
    linear = torch.linalg.inv(f.new_tensor(TO_XYZ)) @ xyz
    curved = 1.055 * linear.clamp(min=0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(linear <= 0.0031308, linear * 12.92, curved)

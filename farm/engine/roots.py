"""The root of a covariance, as the Gaussian style distance needs it: its trace, and its inverse.

For a symmetric positive semi-definite M (b, r, r) both functions return tr M^1/2, (b,), and
L M^-1/2 L', (b, C, C), for a given L (b, C, r). Directions in which M has no variance count as 0.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

SMALL = 1e-12  # keeps a ratio finite when its target is all zero
ROUNDING = 1e-10  # eigenvalues below this share of the largest are rounding
TINY = 1e-300  # keeps a ratio finite where all is zero, however small the features are
SHIFT = 3e-10  # added to every eigenvalue, of the norm: what rounding leaves below zero would grow
STEPS = 15  # of Newton-Schulz
LOWEST = 1.7e-5  # singular values of the root from here on, of its norm, are right after so many steps


def take_root_by_eigh(M: Tensor, L: Tensor) -> tuple[Tensor, Tensor]:
    """Take the root by an eigendecomposition: exact; on a GPU slow, and it waits for the host.

    The differentiable eigh of torch divides by differences of eigenvalues; neither result needs them.

    Raises:
        LinAlgError: M holds a number that is not finite.
    """
    values, vectors = torch.linalg.eigh(M)
    kept = values > ROUNDING * values[:, -1:].clamp(min=TINY)
    root = torch.where(kept, values.clamp(min=0).sqrt(), 0)
    inverse = torch.where(kept, values.clamp(min=TINY).pow(-0.25), 0)
    half = L @ (vectors * inverse[:, None])
    return root.sum(dim=1), half @ half.mT


def take_root_by_iteration(M: Tensor, L: Tensor) -> tuple[Tensor, Tensor]:
    """Take the root by coupled Newton-Schulz iterations, which are matrix products alone.

    Y -> Y T, Z -> T Z with T = (3 I - Z Y) / 2 (Higham 2008, "Functions of Matrices", equation 6.35)
    lets a small singular value grow by 1.5 a step; stretched, each step by the largest factor that keeps
    all of them within 1, by 2.6 (Chen and Chow 2014, "A Stable Scaling of Newton-Schulz for Improving
    the Sign Function Computation of a Hermitian Matrix"). They run on M + s I, so that rounding leaves
    no eigenvalue below zero, and the results M Z and Z M Z Z take away again what s adds: a direction
    without variance comes out as 0. Where M is nothing but rounding, so that they still diverge, the
    whole of it counts as 0.
    """
    b, n, _ = M.shape
    norm = torch.linalg.matrix_norm(M).clamp(min=TINY)[:, None, None]  # no eigenvalue is larger
    eye = torch.eye(n, dtype=M.dtype, device=M.device)
    scaled = M / norm
    Y, Z, lowest = torch.add(scaled, eye, alpha=SHIFT), eye.expand(b, n, n), LOWEST
    for _ in range(STEPS):
        stretch = math.sqrt(3 / (1 + lowest + lowest**2))
        lowest = stretch * lowest * (3 - (stretch * lowest) ** 2) / 2
        T = torch.baddbmm(eye, Z, Y, beta=1.5 * stretch, alpha=-0.5 * stretch**3)
        Y, Z = torch.bmm(Y, T), torch.bmm(T, Z)
    root = torch.bmm(scaled, Z)
    inverse = torch.bmm(torch.bmm(Z, root), Z) / norm.sqrt()
    trace = root.diagonal(dim1=1, dim2=2).sum(dim=1)
    sound = (trace >= 0) & (trace <= 1.01 * n**0.75)  # as that of any root of norm 1
    inverse = torch.where(sound[:, None, None], inverse, 0)
    return torch.where(sound, trace, 0) * norm[:, 0, 0].sqrt(), L @ inverse @ L.mT


def factorise(M: Tensor) -> Tensor:
    """Return L (C, rank) with L @ L.T = M for a symmetric positive semi-definite M (C, C), float64.

    Directions with less than a millionth of the largest variance are rounding, and left out.
    """
    values, vectors = torch.linalg.eigh((M + M.T) / 2)
    kept = values > 1e-6 * values[-1].clamp(min=SMALL)
    factor: Tensor = vectors[:, kept] * values[kept].sqrt()
    return factor

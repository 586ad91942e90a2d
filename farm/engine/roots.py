"""The root of a covariance, as the Gaussian style distance needs it: its trace, and its inverse.

For a symmetric positive semi-definite M (b, r, r) the functions return tr M^1/2, (b,), and
L M^-1/2 L', (b, C, C), for a given L (b, C, r), or for a diagonal one, (b, r). Directions in which M has
no variance count as 0.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

ROUNDING = 1e-10  # eigenvalues below this share of the largest are rounding
UNSEEN = 1e-14  # of a feature's energy: the variance that float32 leaves of equal ones
TINY = 1e-300  # keeps a ratio finite where all is zero, however small the features are
SHIFT = 3e-10  # added to every eigenvalue, of the norm: what rounding leaves below zero would grow
STEPS = 15  # of Newton-Schulz
LOWEST = 1.7e-5  # singular values of the root from here on, of its norm, are right after so many steps


def take_root_by_eigh(M: Tensor, L: Tensor) -> tuple[Tensor, Tensor]:
    """Take the root by an eigendecomposition: exact; on a GPU slow, and it waits for the host. The
    inverse is in L's number format.

    The differentiable eigh of torch divides by differences of eigenvalues; neither result needs them.

    Raises:
        LinAlgError: M holds a number that is not finite.
    """
    values, vectors = decompose(M)
    kept = values > ROUNDING * values[:, -1:].clamp(min=TINY)
    root = torch.where(kept, values.clamp(min=0).sqrt(), 0)
    inverse = torch.where(kept, values.clamp(min=TINY).pow(-0.25), 0)
    half = multiply(L, (vectors * inverse[:, None]).to(L.dtype))
    return root.sum(dim=1), half @ half.mT


def take_root_by_iteration(M: Tensor, L: Tensor) -> tuple[Tensor, Tensor]:
    """Take the root by coupled Newton-Schulz iterations, which are matrix products alone.

    Y -> Y T, Z -> T Z with T = (3 I - Z Y) / 2 (Higham 2008, "Functions of Matrices", equation 6.35)
    lets a small singular value grow by 1.5 a step; stretched, each step by the largest factor that keeps
    all of them within 1, by 2.6 (Chen and Chow 2014, "A Stable Scaling of Newton-Schulz for Improving
    the Sign Function Computation of a Hermitian Matrix"). They run on M + s I, so that rounding leaves
    no eigenvalue below zero, and the results M Z and Z M Z Z take away again what s adds: a direction
    without variance comes out as 0. Where M is nothing but rounding, so that they still diverge and the
    trace is larger than that of any root of norm 1, the whole of it counts as 0.
    """
    b, n, _ = M.shape
    norm = torch.linalg.matrix_norm(M)[:, None, None]  # no eigenvalue is larger
    eye = _make_eye(n, M.dtype, M.device)
    scaled = M / norm
    Y, Z, lowest = torch.add(scaled, eye, alpha=SHIFT), eye.expand(b, n, n), LOWEST
    for _ in range(STEPS):
        stretch = math.sqrt(3 / (1 + lowest + lowest**2))
        lowest = stretch * lowest * (3 - (stretch * lowest) ** 2) / 2
        T = torch.baddbmm(eye, Z, Y, beta=1.5 * stretch, alpha=-0.5 * stretch**3)
        Y, Z = torch.bmm(Y, T), torch.bmm(T, Z)
    root = torch.bmm(scaled, Z)
    trace, size = root.diagonal(dim1=1, dim2=2).sum(dim=1), norm.sqrt()
    diverged = (trace.abs() <= 1.01 * n**0.75).logical_not_()  # or M is 0, and all this not a number
    inverse = torch.bmm(torch.bmm(Z, root), Z).div_(size).masked_fill_(diverged[:, None, None], 0)
    trace = trace.mul_(size[:, 0, 0]).masked_fill_(diverged, 0)
    return trace, multiply(L, multiply(L, inverse.mT).mT)


def multiply(L: Tensor, X: Tensor) -> Tensor:
    """Return L X for X (b, r, n) and L (b, C, r), or a diagonal one, (b, r)."""
    return torch.bmm(L, X) if L.dim() == 3 else L[..., None] * X


def take_root_of_few(X: Tensor, T: Tensor, energy: Tensor) -> tuple[Tensor, Tensor]:
    """Take the root of L' S L for S = X' X, of few positions X (n, C), and T = L L' (C, C).

    X T X' (n, n) has the same eigenvalues a other than 0; with its eigenvectors U the inverse is H H'
    for H = T X' U a^-3/4. Where X is the rounding of features alone, whose mean square is `energy`, it
    counts as 0.

    Returns:
        Its trace, (), and H (C, n).

    Less exact than the others: directions with a millionth of the largest variance are wrong by 1e-10.

    Raises:
        LinAlgError: X holds a number that is not finite.
    """
    XT = X @ T
    values, vectors = (each[0] for each in decompose((XT @ X.T)[None]))
    kept = values > (ROUNDING * values[-1]).maximum(UNSEEN * energy * T.trace()).clamp(min=TINY)
    root = torch.where(kept, values.clamp(min=0).sqrt(), 0)
    return root.sum(), XT.T @ (vectors * torch.where(kept, values.clamp(min=TINY).pow(-0.75), 0))


@lru_cache(maxsize=8)
def _make_eye(n: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.eye(n, dtype=dtype, device=device)


def decompose(M: Tensor) -> tuple[Tensor, Tensor]:
    """Return eigenvalues (b, n) and eigenvectors (b, n, n) of symmetric matrices (b, n, n).

    LAPACK gives up on some that are nothing but rounding, as a painting of one colour leaves them; a
    little further from zero it does not.

    Raises:
        LinAlgError: M holds a number that is not finite.
    """
    try:
        values, vectors = torch.linalg.eigh(M)
    except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
        if not bool(torch.isfinite(M).all()):
            raise
        shift = 1e-9 * torch.linalg.matrix_norm(M)[:, None]
        values, vectors = torch.linalg.eigh(
            M + shift[..., None] * _make_eye(len(M[0]), M.dtype, M.device)
        )
        values = values - shift
    return values, vectors


def factorise(M: Tensor) -> Tensor:
    """Return L (b, C, C) with L @ L.mT = M for symmetric positive semi-definite M (b, C, C), float64.

    Directions with less than a millionth of the largest variance are rounding, and are zero.
    """
    values, vectors = decompose(M)
    kept = values > 1e-6 * values[:, -1:].clamp(min=TINY)
    factor: Tensor = vectors * torch.where(kept, values.clamp(min=0).sqrt(), 0)[:, None]
    return factor


def cut_factor(M: Tensor) -> Tensor:
    """Return the same for a single M (C, C) with as many columns as it has rank: (C, rank)."""
    L = factorise(M[None])[0]
    return L[:, L.any(dim=0)]

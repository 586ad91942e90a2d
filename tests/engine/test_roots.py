"""Roots of covariances: by iteration, as a GPU takes them, against eigh in float64."""

from __future__ import annotations

import pytest
import torch

from benchmarks.testbed.covariances import CASES, compare_roots
from farm.engine.roots import cut_factor, take_root_by_eigh, take_root_by_iteration, take_root_of_few

# Of the most channels the steepest fall alone: the others are held at half as many.
HELD_AT_256 = {f"512 channels over {decay} orders" for decay in (0, 1, 2.2)}


HELD = [
    pytest.param(name, marks=pytest.mark.slow) if "512" in name else name
    for name in CASES
    if name not in HELD_AT_256
]


@pytest.mark.parametrize("name", HELD)
def test_the_root_by_iteration_is_eighs(name: str) -> None:
    loss_error, gradient_error = compare_roots(CASES[name]())
    assert loss_error < 1e-3
    assert gradient_error < 1e-2


def test_the_root_of_a_diagonal_is_known() -> None:
    M = torch.diag(torch.tensor([4.0, 1.0, 0.0], dtype=torch.float64))[None]
    eye = torch.eye(3, dtype=torch.float64)[None]
    for take in (take_root_by_eigh, take_root_by_iteration):
        trace, inverse = take(M, eye)
        torch.testing.assert_close(trace, torch.tensor([3.0], dtype=torch.float64), rtol=1e-6, atol=0)
        expected = torch.diag(torch.tensor([0.5, 1.0, 0.0], dtype=torch.float64))[None]
        torch.testing.assert_close(inverse, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("positions", [3, 20])
def test_the_root_of_few_positions_is_that_of_the_whole_matrix(positions: int) -> None:
    generator = torch.Generator().manual_seed(positions)
    x, y = (
        torch.randn(n, 64, generator=generator, dtype=torch.float64).relu() for n in (positions, 500)
    )
    S, T = torch.cov(x.T, correction=0), torch.cov(y.T)
    L = cut_factor(T)[None]
    trace, inverse = take_root_by_eigh(L.mT @ S @ L, L)
    apart = x - x.mean(dim=0)
    found, H = take_root_of_few(apart / positions**0.5, L[0] @ L[0].T, x.square().sum() / positions)
    torch.testing.assert_close(found, trace[0])
    torch.testing.assert_close(apart @ H @ H.T, apart @ inverse[0])


def test_few_positions_that_differ_by_rounding_alone_have_no_variance() -> None:
    x = torch.rand(64, dtype=torch.float64).expand(5, 64)
    noise = torch.randn(5, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    trace, H = take_root_of_few(1e-9 * noise, torch.eye(64, dtype=torch.float64), x.square().sum())
    assert float(trace) == 0
    assert not H.any()


def test_what_is_rounding_alone_counts_as_nothing() -> None:
    # Given a matrix with eigenvalues on both sides of zero, as float32 sums leave of equal positions
    noise = torch.randn(64, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    M = (noise + noise.T)[None] * 1e-9
    eye = torch.eye(64, dtype=torch.float64)[None]
    trace, inverse = take_root_by_iteration(torch.cat((M, eye)), eye.expand(2, 64, 64))
    assert trace.tolist() == [0, pytest.approx(64)]  # and its neighbour in the batch is untouched
    assert not inverse[0].any()


def test_a_matrix_on_which_lapack_gives_up_is_decomposed_all_the_same(monkeypatch) -> None:
    x = torch.rand(40, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    M, eye, eigh, calls = (x.T @ x)[None], torch.eye(8, dtype=torch.float64)[None], torch.linalg.eigh, []
    expected = take_root_by_eigh(M, eye)

    def give_up_once(matrix: torch.Tensor) -> object:
        calls.append(matrix)
        if len(calls) == 1:
            raise torch.linalg.LinAlgError("failed to converge")  # type: ignore[attr-defined]
        return eigh(matrix)

    monkeypatch.setattr(torch.linalg, "eigh", give_up_once)
    for found, wanted in zip(take_root_by_eigh(M, eye), expected, strict=True):
        torch.testing.assert_close(found, wanted)
    calls.clear()
    with pytest.raises(torch.linalg.LinAlgError):  # type: ignore[attr-defined]
        take_root_by_eigh(M * float("nan"), eye)

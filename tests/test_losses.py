"""Style losses as torch modules: gradients against differences, and the engine's values."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from farm.engine.statistics import Moments as Sums
from farm.engine.style.choose import make_style_losses
from farm.losses import Gram, Kernel, Moments, Wasserstein

EACH = pytest.mark.parametrize("module", [Gram, Wasserstein, Moments, Kernel])


def features(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.rand(*shape, generator=generator, dtype=torch.float64)
    return drawn + drawn.roll(1, dims=1) ** 2


@EACH
@pytest.mark.parametrize("weighted", [False, True])
def test_the_gradient_is_that_of_differences(module: type[Gram], weighted: bool) -> None:
    x, weights = features(2, 3, 3, 4).requires_grad_(), features(2, 3, 4, seed=2)
    loss = module(features(3, 3, 6, 6, seed=1))
    given = weights if weighted else None
    assert torch.autograd.gradcheck(lambda F: loss(F, weights=given), (x,), atol=1e-6)


@EACH
def test_the_same_is_at_0_and_nothing_at_1(module: type[Gram]) -> None:
    target = features(2, 4, 9, 9)
    loss = module()
    assert float(loss(target.flip(0), target)) == pytest.approx(0, abs=1e-6)
    assert float(loss(0 * target, target)) == pytest.approx(1, abs=1e-6)


def test_a_module_is_the_engine_s_loss() -> None:
    x, target = features(1, 4, 9, 8), features(1, 4, 7, 7, seed=1)
    rows, theirs = (F[0].permute(1, 2, 0) for F in (x, target))
    for kind, module in (("gram", Gram), ("wasserstein", Wasserstein)):
        (loss,) = make_style_losses(kind, {"one": Sums.from_features(theirs)})
        expected = float(loss({"one": loss.sum_features("one", rows)}).values)
        assert float(module()(x, target)) == pytest.approx(expected)


def test_a_gradient_goes_through_modules_in_single_precision() -> None:
    layer = torch.nn.Conv2d(3, 8, 3)
    picture = features(2, 3, 12, 12).float()
    Gram()(layer(picture), features(1, 8, 9, 9).float()).backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.abs().max() > 0


def test_other_shapes_and_no_target_are_refused_in_words() -> None:
    with pytest.raises(ValueError, match=r"\(N, C, H, W\), not \(3, 4, 5\)"):
        Gram()(features(3, 4, 5), features(1, 3, 4, 5))
    with pytest.raises(ValueError, match="no target"):
        Gram()(features(1, 3, 4, 5))
    with pytest.raises(ValueError, match=r"\(N, H, W\), not \(4, 5\)"):
        Gram(features(1, 3, 4, 5))(features(1, 3, 4, 5), weights=features(4, 5))
    with pytest.raises(ValueError, match="has 3 channels, the target 4"):
        Gram(features(1, 4, 4, 5))(features(1, 3, 4, 5))

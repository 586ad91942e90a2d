"""Every style loss: known answers, sums of parts, and gradients against torch's own autograd."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from benchmarks.testbed.reference import style_distance
from farm.engine.attention import KEYS, Keys, attend
from farm.engine.statistics import Moments
from farm.engine.style import kernel, light
from farm.engine.style.central_moments import CentralMomentsLoss, PowerSums
from farm.engine.style.choose import make_style_losses
from farm.engine.style.kernel import KernelLoss
from farm.engine.style.protocol import StyleLoss
from farm.engine.tiles import Region
from farm.engine.ways import CPU, GPU, Way
from farm.recipe.recipe import StyleLoss as Names

KINDS = get_args(Names)
WAYS = pytest.mark.parametrize("way", [CPU, GPU], ids=["cpu", "gpu"])
EACH = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(autouse=True)
def _narrow_layers_are_wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let layers of a few channels have the statistics of those of hundreds."""
    monkeypatch.setattr(light, "NARROWEST", 4)
    monkeypatch.setattr(light, "STEPPED", 4)
    monkeypatch.setattr(kernel, "NARROWEST", 4)


def features(*shape: int, seed: int = 0) -> Tensor:
    """Features (H, W, C), 0 or more, whose channels go together, some of them more."""
    generator = torch.Generator().manual_seed(seed)
    C = shape[-1]
    mixing = torch.randn(C, C, generator=generator, dtype=torch.float64) / torch.arange(1, C + 1) ** 2
    return torch.relu(torch.rand(*shape, generator=generator, dtype=torch.float64) @ mixing.T + 0.1)


def make(kind: str, target: Tensor, way: Way = CPU) -> StyleLoss[Any]:
    (loss,) = make_style_losses(kind, {"one": Moments.from_features(target)}, way)
    if loss.needs_sums:
        loss.set_target({"one": loss.sum_features("one", target)})
    return loss


def measure(loss: StyleLoss[Any], x: Tensor, weights: Tensor | None = None) -> float:
    return float(loss({"one": loss.sum_features("one", x, weights)}).values)


def differentiate(
    loss: StyleLoss[Any], sums: object, x: Tensor, weights: Tensor | None = None
) -> Tensor:
    d, one = torch.zeros_like(x), torch.ones(1, dtype=torch.float64)
    loss({"one": sums}).split(one, 1.0, x.dtype)[0].add_to(d, x, weights)
    return d


@EACH
@WAYS
def test_the_painting_itself_is_at_0_and_silence_at_1(kind: str, way: Way) -> None:
    target = features(10, 10, 6)
    loss = make(kind, target, way)
    assert measure(loss, target) == pytest.approx(0, abs=1e-5)
    assert measure(loss, torch.zeros_like(target)) == pytest.approx(1, abs=1e-6)
    assert measure(loss, features(9, 8, 6, seed=1)) > 0.01


# The distances in their plainest form, with a weighted mean over positions, for autograd.
Mean = Callable[[Tensor], Tensor]


def plain_light(x: Tensor, mean: Mean, target: Tensor) -> Tensor:
    moments = Moments.from_features(target)
    axes = light.Axes(moments)
    assert 1 <= axes.d < len(axes.V)
    m, t, (first, last) = mean(x), axes.variances, (slice(axes.d), slice(axes.d, None))
    S = axes.V.T @ mean((x - m)[:, :, None] * (x - m)[:, None]) @ axes.V
    L = torch.diag(t[first].sqrt())
    root = torch.linalg.eigvalsh(L @ S[first, first] @ L).sqrt().sum()
    along = S.diagonal()[first].sum() + t[first].sum() - 2 * root
    others = (S.diagonal()[last].sqrt() - t[last].sqrt()).square().sum()
    return ((m - moments.mean).square().sum() + along + others) / moments.gram.trace()


def plain_moments(x: Tensor, mean: Mean, target: Tensor) -> Tensor:
    whole = target.flatten(0, 1)
    parts = []
    for order in range(1, 6):
        c = mean(x) if order == 1 else mean((x - mean(x)) ** order)
        t = whole.mean(dim=0)
        t = t if order == 1 else ((whole - t) ** order).mean(dim=0)
        parts.append((c - t).norm() / t.norm())
    return torch.stack(parts).mean()


def plain_kernel(x: Tensor, mean: Mean, target: Tensor) -> Tensor:
    loss = KernelLoss("one", Moments.from_features(target))

    def phi(F: Tensor) -> Tensor:
        return torch.cat(((F @ loss._W).cos(), (F @ loss._W).sin()), dim=1)

    theirs = phi(target.flatten(0, 1)).mean(dim=0)
    silence = phi(torch.zeros(1, x.shape[1], dtype=x.dtype))[0]
    return (mean(phi(x)) - theirs).square().sum() / (silence - theirs).square().sum()


def plain(kind: str, x: Tensor, weights: Tensor, target: Tensor) -> Tensor:
    w = (weights / weights.sum()).flatten()
    flat = x.flatten(0, 1)

    def mean(F: Tensor) -> Tensor:
        return torch.tensordot(w, F, dims=1)

    others = {"light": plain_light, "moments": plain_moments, "kernel": plain_kernel}
    if kind in others:
        return others[kind](flat, mean, target)
    found = Moments(1.0, mean(flat), mean(flat[:, :, None] * flat[:, None]))
    return style_distance(kind, found, Moments.from_features(target))


@EACH
@WAYS
@pytest.mark.parametrize("weighted", [False, True])
def test_value_and_gradient_are_what_autograd_finds(kind: str, way: Way, weighted: bool) -> None:
    target, x = features(9, 9, 6, seed=1), features(7, 8, 6).requires_grad_()
    weights = torch.rand(7, 8, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    expected = plain(kind, x, weights if weighted else torch.ones_like(weights), target)
    (slope,) = torch.autograd.grad(expected, x)
    loss, given = make(kind, target, way), weights if weighted else None
    sums = loss.sum_features("one", x.detach(), given)
    assert float(loss({"one": sums}).values) == pytest.approx(expected.item(), rel=1e-6)
    found = differentiate(loss, sums, x.detach(), given)
    # A GPU's roots are iterated, see test_roots
    bound = 1e-3 if way is GPU and kind in ("wasserstein", "light") else 1e-8
    assert float((found - slope).norm() / slope.norm()) < bound


@EACH
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
@pytest.mark.parametrize("weighted", [False, True])
def test_parts_add_up_to_the_whole(kind: str, dtype: torch.dtype, bound: float, weighted: bool) -> None:
    x, loss = features(64, 48, 6).to(dtype), make(kind, features(30, 30, 6, seed=1).to(dtype))
    weights = torch.rand(64, 48, generator=torch.Generator().manual_seed(2)) if weighted else None
    parts = [Region(top, left, top + 16, left + 16) for top in range(0, 64, 16) for left in (0, 16, 32)]
    whole = differentiate(loss, loss.sum_features("one", x, weights), x, weights)
    cut = [None if weights is None else part.crop(weights) for part in parts]
    sums = [loss.sum_features("one", p.crop(x), w) for p, w in zip(parts, cut, strict=True)]
    total = sum(sums[1:], start=sums[0])
    found = torch.zeros_like(x)
    for part, w in zip(parts, cut, strict=True):
        part.crop(found).add_(differentiate(loss, total, part.crop(x), w))
    assert float((found - whole).norm() / whole.norm()) < bound


@EACH
@WAYS
def test_flat_colours_have_a_finite_gradient(kind: str, way: Way) -> None:
    # Given a painting and a picture of one colour each, which have no variance at all
    flat = torch.full((8, 8, 6), 0.25, dtype=torch.float32)
    loss = make(kind, flat, way)
    for x in (flat, 2 * flat, features(8, 8, 6).float()):
        sums = loss.sum_features("one", x)
        assert torch.isfinite(loss({"one": sums}).values).all()
        assert torch.isfinite(differentiate(loss, sums, x)).all()


@pytest.mark.parametrize("kind", ["light", "moments", "kernel"])
def test_half_precision_is_close(kind: str) -> None:
    target, x = features(20, 20, 6, seed=1), features(30, 20, 6)
    exact = measure(make(kind, target), x)
    half = make(kind, target.bfloat16())
    assert measure(half, x.bfloat16()) == pytest.approx(exact, rel=0.05)
    sums = half.sum_features("one", x.bfloat16())
    assert differentiate(half, sums, x.bfloat16()).dtype == torch.bfloat16


def test_light_is_the_whole_distance_where_the_directions_carry_everything() -> None:
    # Given paintings whose variance lies in two directions of eight
    low = features(40, 40, 2, seed=1) @ torch.rand(2, 8, dtype=torch.float64)
    x = low.flip(0) * 1.5
    assert measure(make("light", low), x) == pytest.approx(
        measure(make("wasserstein", low), x), rel=1e-6
    )


def test_light_is_never_above_the_whole_distance_and_is_it_on_narrow_layers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    target, others = features(30, 30, 6, seed=1), [features(20, 20, 6, seed=n) * n for n in range(2, 6)]
    whole = [measure(make("wasserstein", target), x) for x in others]
    some = [measure(make("light", target), x) for x in others]
    assert all(0.5 * most < part < most for part, most in zip(some, whole, strict=True))
    monkeypatch.setattr(light, "NARROWEST", 7)
    assert [measure(make("light", target), x) for x in others] == pytest.approx(whole, rel=1e-9)


@pytest.mark.parametrize("wide", [False, True])
def test_light_in_half_precision_has_the_gradient_of_float64(
    wide: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given features whose gradient is one matrix, or products in turn
    monkeypatch.setattr(light, "STEPPED", 64 if wide else 65)
    chance = torch.Generator().manual_seed(3)
    mixing = torch.randn(64, 64, generator=chance, dtype=torch.float64) / torch.arange(1, 65).sqrt()
    target, half = (
        torch.relu(torch.randn(40, 40, 64, generator=chance, dtype=torch.float64) @ each).bfloat16()
        for each in (mixing, 1.2 * mixing.flip(1))
    )
    loss, x = make("light", target.double()), half.double()
    exact = differentiate(loss, loss.sum_features("one", x), x)
    found = differentiate(loss, loss.sum_features("one", half), half)
    assert float((found - exact).norm() / exact.norm()) < 0.03


def test_shallow_layers_have_the_default_loss_under_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "NARROWEST", 7)
    targets = {name: Moments.from_features(features(9, 9, C)) for name, C in (("a", 6), ("b", 8))}
    losses = {loss.layers: type(loss).__name__ for loss in make_style_losses("kernel", targets)}
    assert losses == {("a",): "WassersteinLoss", ("b",): "KernelLoss"}


def test_raw_sums_give_central_moments() -> None:
    x = features(50, 40, 3) + 5
    loss = CentralMomentsLoss("one")
    found = loss.sum_features("one", x).central
    flat = x.flatten(0, 1)
    for order in range(2, 6):
        expected = ((flat - flat.mean(dim=0)) ** order).mean(dim=0)
        torch.testing.assert_close(found[order - 1], expected, rtol=1e-8, atol=1e-10)


def test_the_central_moments_of_a_coin_are_known() -> None:
    coin = torch.tensor([0.0, 2.0, 0.0, 2.0], dtype=torch.float64).reshape(2, 2, 1)
    sums = CentralMomentsLoss("one").sum_features("one", coin)
    assert isinstance(sums, PowerSums)
    assert sums.central.flatten().tolist() == [1, 1, 0, 1, 0]


def collect(painting: Tensor, tile: int) -> Tensor:
    H, W, _ = painting.shape
    keys = Keys((H, W))
    for top in range(0, H, tile):
        for left in range(0, W, tile):
            where = Region(top, left, min(H, top + tile), min(W, left + tile))
            keys.add(where, where.crop(painting))
    return keys.features


@pytest.mark.parametrize("size", [(5, 7), (31, 97), (200, 90), (1, 3000)])
def test_keys_are_the_same_by_tiles_and_at_most_so_many(size: tuple[int, int]) -> None:
    painting = features(*size, 3)
    found = collect(painting, 1000)
    assert len(found) <= KEYS
    assert torch.equal(collect(painting, 16), found)


def test_attention_to_the_photograph_itself_leaves_its_means_and_to_one_colour_gives_that() -> None:
    photograph, other = features(12, 10, 5), features(9, 9, 5, seed=1)
    # A painting of one colour is all that there is to look at
    flat = torch.full((4, 4, 5), 0.5, dtype=torch.float64)
    target = photograph.clone()
    assert attend(target, [collect(flat, 4)], [1.0]) == pytest.approx(120 * 5 * 0.25)
    torch.testing.assert_close(target, torch.full_like(target, 0.5))
    # And a blend of paintings is that of what each gives
    parts = []
    for painting in (photograph, other):
        parts.append(photograph.clone())
        attend(parts[-1], [collect(painting, 100)], [1.0])
    both = photograph.clone()
    attend(both, [collect(photograph, 100), collect(other, 100)], [0.25, 0.75])
    torch.testing.assert_close(both, 0.25 * parts[0] + 0.75 * parts[1])


def test_attention_looks_at_a_regions_own_painting_and_leaves_the_photograph_where_nobody_paints() -> (
    None
):
    # Given paintings of one colour: one of the left, one of half of the middle, none of the right
    photograph, paintings = features(4, 6, 5), [torch.full((4, 4, 5), c).double() for c in (0.5, 2.0)]
    left, middle = torch.zeros(4, 6), torch.zeros(4, 6)
    left[:, :2], middle[:, 2:4] = 1.0, 0.5
    target = photograph.clone()
    attend(target, [collect(each, 4) for each in paintings], [left, middle])
    torch.testing.assert_close(target[:, :2], torch.full_like(target[:, :2], 0.5))
    torch.testing.assert_close(target[:, 2:4], 1.0 + 0.5 * photograph[:, 2:4])
    torch.testing.assert_close(target[:, 4:], photograph[:, 4:])


def test_attention_finds_the_like_place() -> None:
    # Given two kinds of places, in photograph and painting alike but for the painting's own strength
    kinds = torch.zeros(2, 64, dtype=torch.float64)
    kinds[0, :32], kinds[1, 32:] = 1.0, 1.0
    photograph = kinds[torch.arange(16) % 2].reshape(4, 4, 64).clone()
    painting = 3 * kinds[torch.arange(64) % 2].reshape(8, 8, 64)
    attend(photograph, [collect(painting, 8)], [1.0])
    assert float((photograph[0, 0] - 3 * kinds[0]).abs().max()) < 0.01
    assert float((photograph[0, 1] - 3 * kinds[1]).abs().max()) < 0.01

"""Statistics and losses on inputs whose answer is known, and gradients against independent ones."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from benchmarks.testbed.reference import style_distance
from farm.engine import losses, ways
from farm.engine.losses import ContentLoss, tv_loss
from farm.engine.statistics import Moments
from farm.engine.style.choose import make_style_losses
from farm.engine.style.protocol import AffineGradient, FeatureGradient
from farm.engine.tiles import Region
from farm.engine.ways import CPU, GPU


def features(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, generator=generator, dtype=torch.float64)


def test_the_gram_matrix_of_ones_is_ones() -> None:
    moments = Moments.from_features(torch.ones(5, 7, 3))
    assert torch.equal(moments.gram, torch.ones(3, 3).double())
    assert torch.equal(moments.covariance, torch.zeros(3, 3).double())


def test_the_gram_matrix_of_one_hot_features_is_diagonal() -> None:
    # Given channel 0 on in 3 of 4 positions and channel 1 in the fourth
    one_hot = torch.tensor([[1.0, 1, 1, 0], [0, 0, 0, 1]]).T.reshape(2, 2, 2)
    assert Moments.from_features(one_hot).gram.tolist() == [[0.75, 0], [0, 0.25]]


def test_statistics_of_parts_add_to_those_of_the_whole() -> None:
    whole = features(9, 7, 4)
    parts = Moments.from_features(whole[:, :3]) + Moments.from_features(whole[:, 3:])
    torch.testing.assert_close(parts.gram, Moments.from_features(whole).gram)
    torch.testing.assert_close(parts.mean, Moments.from_features(whole).mean)


def test_weights_of_positions_count_them_by_parts() -> None:
    whole, weights = features(9, 7, 4), features(9, 7, seed=3)
    mask, rest = (Moments.from_features(whole, w) for w in (weights, 1 - weights))
    both, plain = mask + rest, Moments.from_features(whole)
    torch.testing.assert_close(both.gram, plain.gram)
    torch.testing.assert_close(both.mean, plain.mean)
    # And a mask of ones and zeros is the part that it shows
    half = torch.zeros(9, 7)
    half[:, :3] = 1
    torch.testing.assert_close(
        Moments.from_features(whole, half).covariance, Moments.from_features(whole[:, :3]).covariance
    )


def test_gram_sums_of_half_precision_features_do_not_overflow() -> None:
    loud = torch.full((64, 64, 2), 100.0, dtype=torch.float16)  # the sum is 4e7, past 65504
    assert Moments.from_features(loud).gram.tolist() == [[1e4, 1e4], [1e4, 1e4]]


def test_a_blend_is_the_weighted_mean_of_its_paintings() -> None:
    one, other = features(8, 8, 3), features(2, 2, 3, seed=1)
    blend = Moments.from_features(one).scale_to(0.25) + Moments.from_features(other).scale_to(0.75)
    expected = 0.25 * Moments.from_features(one).gram + 0.75 * Moments.from_features(other).gram
    torch.testing.assert_close(blend.gram, expected)


def measure(kind: str, found: Moments, target: Moments, way: ways.Way = CPU) -> float:
    (loss,) = make_style_losses(kind, {"one": target}, way)
    return float(loss({"one": found}).values)


def differentiate(
    kind: str, found: Moments, target: Moments, dtype: torch.dtype = torch.float64, way: ways.Way = CPU
) -> tuple[float, FeatureGradient]:
    (loss,) = make_style_losses(kind, {"one": target}, way)
    gradients = loss({"one": found})
    one = torch.ones(1, dtype=torch.float64)
    return float(gradients.values), gradients.split(one, 1.0, dtype)[0]


def slope_at(gradient: FeatureGradient, x: torch.Tensor) -> torch.Tensor:
    d = torch.zeros_like(x)
    gradient.add_to(d, x)
    return d


@pytest.mark.parametrize("way", [CPU, GPU])
@pytest.mark.parametrize("kind", ["gram", "wasserstein"])
def test_a_style_distance_to_itself_is_zero_and_to_silence_is_one(kind: str, way: ways.Way) -> None:
    target = Moments.from_features(features(10, 10, 6))
    silence = Moments.from_features(torch.zeros(10, 10, 6, dtype=torch.float64))
    assert measure(kind, target, target, way) == pytest.approx(0, abs=1e-9)
    assert measure(kind, silence, target, way) == pytest.approx(1, abs=1e-6)


def test_the_wasserstein_distance_of_gaussians_in_one_dimension_is_the_textbook_one() -> None:
    # Given channels with mean 1, variance 4 and mean 3, variance 1
    one = torch.tensor([-1.0, 3.0], dtype=torch.float64).reshape(1, 2, 1)
    other = torch.tensor([2.0, 4.0], dtype=torch.float64).reshape(1, 2, 1)
    found = measure("wasserstein", Moments.from_features(one), Moments.from_features(other))
    # Then W2^2 = (1 - 3)^2 + (2 - 1)^2 = 5, over the target's energy 3^2 + 1^2 = 10
    assert found == pytest.approx(5 / 10)


def symmetric_root(M: torch.Tensor) -> torch.Tensor:
    values, vectors = torch.linalg.eigh(M)
    return (vectors * values.sqrt()) @ vectors.T


def test_the_wasserstein_gradient_is_the_closed_form_of_the_bures_distance() -> None:
    # Given full-rank covariances; d/dSigma = I - C^1/2 (C^1/2 Sigma C^1/2)^-1/2 C^1/2
    target = Moments.from_features(features(12, 12, 5, seed=1))
    S = Moments.from_features(features(12, 12, 5)).covariance
    _, found = differentiate("wasserstein", Moments(1.0, torch.zeros(5, dtype=torch.float64), S), target)
    root = symmetric_root(target.covariance)
    inner = torch.linalg.inv(symmetric_root(root @ S @ root))
    expected = (torch.eye(5, dtype=torch.float64) - root @ inner @ root) / target.gram.trace()
    assert isinstance(found, AffineGradient)
    torch.testing.assert_close(found.A / 2, expected)


@pytest.mark.parametrize("way", [CPU, GPU])
def test_the_wasserstein_loss_bears_fewer_positions_than_channels(way: ways.Way) -> None:
    # Given covariances of rank 5 in 64 channels, on which float32 LAPACK has failed
    draw = lambda seed: torch.relu(torch.randn(2, 3, 64, generator=torch.Generator().manual_seed(seed)))  # noqa: E731
    found, target = Moments.from_features(draw(3)), Moments.from_features(draw(4))
    value, slope = differentiate("wasserstein", found, target, torch.float32, way)
    gradient = slope_at(slope, draw(3))
    assert value > 0
    assert torch.isfinite(gradient).all()
    assert gradient.abs().max() > 0


@pytest.mark.parametrize("way", [CPU, GPU])
@pytest.mark.parametrize("kind", ["gram", "wasserstein"])
def test_the_slope_by_features_is_what_autograd_finds(kind: str, way: ways.Way) -> None:
    target = Moments.from_features(features(9, 9, 5, seed=1))
    x = features(7, 8, 5).requires_grad_()
    flat = x.reshape(56, 5)
    value = style_distance(kind, Moments(56, flat.sum(dim=0), flat.T @ flat), target)
    (expected,) = torch.autograd.grad(value, x)
    found, slope = differentiate(kind, Moments.from_features(x.detach()), target, way=way)
    assert found == pytest.approx(value.item())
    torch.testing.assert_close(slope_at(slope, x.detach()), expected)


@pytest.mark.parametrize("kind", ["gram", "wasserstein"])
def test_the_slope_with_weights_is_what_autograd_finds(kind: str) -> None:
    target, weights = Moments.from_features(features(9, 9, 5, seed=1)), features(7, 8, seed=2)
    x = features(7, 8, 5).requires_grad_()
    flat, w = x.reshape(56, 5), weights.reshape(56, 1)
    value = style_distance(kind, Moments(w.sum(), (w * flat).sum(dim=0), (w * flat).T @ flat), target)
    (expected,) = torch.autograd.grad(value, x)
    found, slope = differentiate(kind, Moments.from_features(x.detach(), weights), target)
    assert found == pytest.approx(value.item())
    d = torch.zeros(7, 8, 5, dtype=torch.float64)
    slope.add_to(d, x.detach(), weights)
    torch.testing.assert_close(d, expected)


def test_a_batch_of_layers_is_each_layer_by_itself() -> None:
    widths = {"a": 32, "b": 64, "c": 256, "d": 256}
    way = replace(GPU, batch_widths=(128, 256))
    x = {layer: features(9 + i, 9, C, seed=i) for i, (layer, C) in enumerate(widths.items())}
    target = {layer: Moments.from_features(features(20, 20, C)) for layer, C in widths.items()}
    found = {layer: Moments.from_features(each) for layer, each in x.items()}
    batches = make_style_losses("wasserstein", target, way)
    assert [loss.layers for loss in batches] == [("a", "b"), ("c", "d")]
    for loss in batches:
        gradients = loss(found)
        weights = torch.ones(len(loss.layers), dtype=torch.float64)
        slopes = gradients.split(weights, 1.0, torch.float64)
        for layer, value, slope in zip(loss.layers, gradients.values, slopes, strict=True):
            alone, expected = differentiate("wasserstein", found[layer], target[layer])
            assert float(value) == pytest.approx(alone, rel=1e-4)
            there = slope_at(expected, x[layer])
            assert float((slope_at(slope, x[layer]) - there).norm() / there.norm()) < 1e-3


def content_value(loss: ContentLoss, where: Region, x: torch.Tensor) -> float:
    total = torch.zeros((), dtype=torch.float64)
    loss.add_value(where, x, total, 1.0)
    return float(total)


def test_the_content_loss_of_nothing_is_one_and_of_parts_adds_up() -> None:
    target = features(6, 6, 4)
    loss = ContentLoss(target, float(target.square().sum()))
    whole, left, right = Region(0, 0, 6, 6), Region(0, 0, 6, 2), Region(0, 2, 6, 6)
    assert content_value(loss, whole, target) == 0
    assert content_value(loss, whole, torch.zeros_like(target)) == pytest.approx(1)
    x = features(6, 6, 4, seed=2)
    parts = sum(content_value(loss, part, part.crop(x)) for part in (left, right))
    assert parts == pytest.approx(content_value(loss, whole, x))


def test_the_content_gradient_is_the_slope_of_the_content_loss() -> None:
    target, x = features(5, 4, 3), features(5, 4, 3, seed=1)
    energy = float(target.square().sum())
    y = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad((y - target).square().sum() / energy, y)
    found = torch.ones_like(x)
    ContentLoss(target, energy).add_gradient(Region(0, 0, 5, 4), x, found, 0.7)
    torch.testing.assert_close(found - 1, 0.7 * expected)


@pytest.mark.parametrize("strip", [1, 3, 100])
def test_total_variation_strip_by_strip_is_that_of_the_whole(strip: int, monkeypatch) -> None:
    picture = features(1, 3, 7, 5).requires_grad_()
    across, down = picture[..., 1:] - picture[..., :-1], picture[..., 1:, :] - picture[..., :-1, :]
    whole = across.square().mean() + down.square().mean()
    (expected,) = torch.autograd.grad(0.7 * whole, picture)
    monkeypatch.setattr(losses, "STRIP_PIXELS", strip * 5)
    gradient = torch.zeros_like(picture)
    assert float(tv_loss(picture.detach(), gradient, 0.7)) == pytest.approx(whole.item())
    torch.testing.assert_close(gradient, expected)


def test_the_total_variation_of_a_checkerboard_is_the_largest() -> None:
    rows, columns = torch.meshgrid(torch.arange(6), torch.arange(8), indexing="ij")
    board = ((rows + columns) % 2).float().expand(1, 3, 6, 8)
    assert float(tv_loss(board)) == pytest.approx(2)  # each neighbour differs by 1, in both directions
    assert float(tv_loss(torch.ones(1, 3, 6, 8))) == pytest.approx(0, abs=1e-6)
    assert float(tv_loss(torch.ones(1, 3, 1, 1))) == 0


def test_total_variation_weighs_colour_apart_from_light() -> None:
    grey = torch.zeros(1, 3, 1, 2, dtype=torch.float64)
    grey[..., 1] = 0.3  # a step of light
    colour = torch.zeros(1, 3, 1, 2, dtype=torch.float64)
    colour[0, :, 0, 1] = torch.tensor([0.3, -0.3, 0.0])  # a step of colour, as light as before
    assert float(tv_loss(grey, chroma=4.0)) == pytest.approx(float(tv_loss(grey)))
    assert float(tv_loss(colour, chroma=4.0)) == pytest.approx(4 * float(tv_loss(colour)))


def test_the_slope_of_weighed_total_variation_is_that_of_its_value() -> None:
    torch.manual_seed(0)
    picture, direction = torch.rand(2, 1, 3, 5, 7, dtype=torch.float64)
    gradient = torch.zeros_like(picture)
    tv_loss(picture, gradient, 0.7, chroma=4.0)
    step = 1e-6 * direction
    change = float(tv_loss(picture + step, chroma=4.0) - tv_loss(picture - step, chroma=4.0))
    assert 0.7 * change / 2e-6 == pytest.approx(float((gradient * direction).sum()), rel=1e-6)

"""The start in the paintings' colours."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from farm.engine.colours import MAX_STRETCH, recolour
from farm.engine.optimise import make_initial_picture
from farm.engine.pyramid import Level
from farm.recipe import Recipe


def picture(seed: int, mean: float, spread: float, height: int = 40, width: int = 60) -> Tensor:
    """Colours that hang together differently for each seed, well within [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(3, 3, generator=generator)
    noise = torch.rand(3, height * width, generator=generator) - 0.5
    colours = mix @ noise / (mix @ noise).abs().max()
    return (mean + spread * colours).view(1, 3, height, width)


def moments(picture: Tensor) -> tuple[Tensor, Tensor]:
    colours = picture[0].flatten(1).double()
    return colours.mean(1), torch.cov(colours, correction=0)


def test_the_photograph_takes_mean_and_covariance_of_the_painting() -> None:
    painting = picture(1, 0.6, 0.3, 50, 30)
    made = recolour(picture(2, 0.4, 0.3), [painting], [1.0])
    for found, wanted in zip(moments(made), moments(painting), strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-4, rtol=0.01)


def test_a_photograph_in_the_paintings_colours_stays_as_it_is() -> None:
    photograph = picture(3, 0.5, 0.3)
    torch.testing.assert_close(recolour(photograph, [photograph], [1.0]), photograph)


def test_two_paintings_share_as_the_blend_says() -> None:
    dark, light = picture(4, 0.3, 0.1), picture(5, 0.8, 0.1)
    made = recolour(picture(6, 0.5, 0.3), [dark, light], [0.75, 0.25])
    wanted = 0.75 * moments(dark)[0] + 0.25 * moments(light)[0]
    torch.testing.assert_close(moments(made)[0], wanted, atol=1e-4, rtol=0)


def test_the_noise_of_a_flat_photograph_is_not_stretched_to_a_paintings_contrast() -> None:
    flat = picture(7, 0.5, 1 / 255)
    made = recolour(flat, [picture(8, 0.5, 0.4)], [1.0])
    (_, before), (_, after) = moments(flat), moments(made)
    assert after.trace() <= MAX_STRETCH**2 * before.trace() * 1.01


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_pictures_of_one_colour_make_pictures_of_one_colour(value: float) -> None:
    made = recolour(torch.full((1, 3, 8, 8), value), [torch.full((1, 3, 9, 9), 0.25)], [1.0])
    torch.testing.assert_close(made, torch.full((1, 3, 8, 8), 0.25))


def test_recipes_of_version_0_1_start_from_the_photograph_itself() -> None:
    photograph, painting = picture(9, 0.3, 0.2), picture(10, 0.7, 0.2)
    level = Level(40, 60, 1)
    old, new = (
        make_initial_picture(Recipe(version=version), photograph, [painting], level)
        for version in ("0.1", "0.2")
    )
    torch.testing.assert_close(old, photograph)
    assert (new.mean() - painting.mean()).abs() < 0.01

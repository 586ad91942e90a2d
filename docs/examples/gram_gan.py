"""A small GAN whose generator matches the Gram matrices of the discriminator's features, beside one that
does not: `farm.losses` in twenty lines of training.

    python -m docs.examples.gram_gan [--seeds 5] [--steps 250] [--weight 1.0]

The pictures, 32 x 32 px of wavy stripes in two colours, are made here. The generator's loss is the hinge
loss plus `weight` times the sum over the discriminator's layers of |G_f - G_r|^2 / |G_r|^2, with Gram
matrices of fakes and of reals. For each seed both are trained from the same start, and it prints the
distance of the fakes to reals that nobody trained on: the squared 2-Wasserstein distance of the
Gaussians of 5 x 5 patches, over the reals' energy. Two minutes on a CPU. So small a task promises
nothing for a large one; it shows how to use the modules.
"""

from __future__ import annotations

import argparse
from statistics import mean, stdev

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from farm.losses import Gram, Wasserstein

SIDE, BATCH, NOISE = 32, 16, 16
JUDGED = 256  # pictures


def main() -> None:
    """Train with and without, seed by seed, and print the distances."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=250)
    parser.add_argument("--weight", type=float, default=1.0)
    asked = parser.parse_args()
    found: dict[float, list[float]] = {0.0: [], asked.weight: []}
    for seed in range(asked.seeds):
        for weight, distances in found.items():
            distances.append(judge(train(seed, asked.steps, weight)))
        row = ", ".join(f"weight {weight:g}: {each[-1]:.3f}" for weight, each in found.items())
        print(f"seed {seed}  {row}", flush=True)
    for weight, each in found.items():
        spread = f" +- {stdev(each):.3f}" if len(each) > 1 else ""
        print(f"weight {weight:g}: {mean(each):.3f}{spread}")


def draw_pictures(count: int, generator: torch.Generator) -> Tensor:
    """Draw pictures of wavy stripes, (count, 3, SIDE, SIDE) in [-1, 1]."""
    place = torch.linspace(0, 1, SIDE)
    y, x = torch.meshgrid(place, place, indexing="ij")
    angle, phase, sway = torch.rand(3, count, 1, 1, generator=generator) * 6.283
    along = x * torch.cos(angle) + y * torch.sin(angle)
    across = y * torch.cos(angle) - x * torch.sin(angle)
    wave = torch.sin(25 * along + phase + 0.8 * torch.sin(8 * across + sway))
    colours = torch.tensor([0.9, 0.5, -0.2])[:, None, None]
    return wave[:, None] * colours


class Generator(nn.Sequential):
    """Noise (n, NOISE) to pictures (n, 3, SIDE, SIDE)."""

    def __init__(self) -> None:
        layers: list[nn.Module] = [nn.Linear(NOISE, 48 * 16), nn.Unflatten(1, (48, 4, 4))]
        for before, after in ((48, 32), (32, 24), (24, 16)):
            layers += [nn.ReLU(), nn.Upsample(scale_factor=2), nn.Conv2d(before, after, 3, padding=1)]
            layers += [nn.BatchNorm2d(after)]
        super().__init__(*layers, nn.ReLU(), nn.Conv2d(16, 3, 3, padding=1), nn.Tanh())


class Discriminator(nn.Module):
    """Pictures to a score (n,), and the features of each layer."""

    def __init__(self) -> None:
        super().__init__()
        widths = ((3, 16), (16, 32), (32, 48))
        self.layers = nn.ModuleList(
            nn.utils.parametrizations.spectral_norm(nn.Conv2d(before, after, 4, stride=2, padding=1))
            for before, after in widths
        )
        self.score = nn.Linear(48, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return scores (n,) and features (n, C, H, W) of each layer."""
        features = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
            features.append(x)
        return self.score(x.mean(dim=(2, 3)))[:, 0], features


def train(seed: int, steps: int, weight: float) -> Generator:
    """Train a generator, with that weight of the Gram loss."""
    torch.manual_seed(seed)
    drawing = torch.Generator().manual_seed(seed)
    make, tell, gram = Generator(), Discriminator(), Gram()
    improve, learn = (
        torch.optim.Adam(part.parameters(), lr=1e-3, betas=(0.5, 0.9)) for part in (make, tell)
    )
    for _ in range(steps):
        real, fake = draw_pictures(BATCH, drawing), make(torch.randn(BATCH, NOISE))
        hinge = F.relu(1 - tell(real)[0]).mean() + F.relu(1 + tell(fake.detach())[0]).mean()
        learn.zero_grad()
        hinge.backward()  # type: ignore[no-untyped-call]
        learn.step()

        score, features = tell(fake)
        with torch.no_grad():
            wanted = tell(real)[1]
        loss = -score.mean()
        if weight:
            pairs = zip(features, wanted, strict=True)
            loss = loss + weight * torch.stack([gram(f, r) for f, r in pairs]).sum()
        improve.zero_grad()
        loss.backward()
        improve.step()
    return make


@torch.no_grad()
def judge(make: Generator) -> float:
    """Return the distance of a generator's patches to those of pictures that it was not trained on."""
    unseen = torch.Generator().manual_seed(12345)
    real = draw_pictures(JUDGED, unseen)
    fake = make.eval()(torch.randn(JUDGED, NOISE, generator=unseen))
    ours, theirs = (F.unfold(x, 5, stride=3)[..., None].double() for x in (fake, real))
    return float(Wasserstein()(ours, theirs))


if __name__ == "__main__":
    main()

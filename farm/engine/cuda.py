"""CUDA on this machine: whether this torch can compute on its card, and if not, why.

`python -m farm.engine.cuda` prints the obstacle, or nothing where there is none, for processes that load
no torch themselves.
"""

from __future__ import annotations

import os
import re
import sys
import warnings
from pathlib import Path

import torch

DRIVER = Path("/proc/driver/nvidia/version")  # where Linux has an NVIDIA driver
OLDEST_DRIVER = {12: 525, 13: 580}  # for each version of CUDA: docs.nvidia.com/deploy/cuda-compatibility


def find_obstacle() -> str | None:
    """Return why torch cannot compute on the first card it may see, and the remedy; None: it can."""
    if torch.version.cuda is None and torch.version.hip is None:
        return f"this torch ({torch.__version__}) is a build for CPUs; install one for CUDA"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what torch warns of is explained below
        if not torch.cuda.is_available():
            return _check_driver() or _ask_torch()
        return _check_capability() or _try_card()


def has_driver() -> bool:
    """Check whether the machine has an NVIDIA driver, so that its operator may expect a card."""
    return DRIVER.exists()


def read_driver_version() -> str | None:
    """Return the version of the machine's NVIDIA driver; None: it has none, or one that does not say."""
    found = re.search(r"\b\d{3,}\.\d+(\.\d+)?\b", DRIVER.read_text()) if has_driver() else None
    return found[0] if found else None


def read_uuid() -> str | None:
    """Return the UUID of the card, or of the slice of one, that torch counts first, as nvidia-smi writes
    it; None: this torch does not tell."""
    entry = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip()
    if entry.startswith("MIG-"):  # for which torch tells its card's
        return entry
    uuid = getattr(torch.cuda.get_device_properties(0), "uuid", None)
    return f"GPU-{uuid}" if uuid else None


def _check_driver() -> str | None:
    """Return that the driver is too old, if it is."""
    found = read_driver_version()
    oldest = OLDEST_DRIVER.get(int((torch.version.cuda or "0").split(".")[0]))
    if found is None or oldest is None or int(found.split(".")[0]) >= oldest:
        return None
    return (
        f"the NVIDIA driver {found} is too old: this torch (CUDA {torch.version.cuda}) needs"
        f" {oldest} or newer; update the driver, or install torch for an older CUDA"
    )


def _ask_torch() -> str:
    """Return why torch finds no card, in its own words."""
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        return f"torch finds no card: {get_first_line(error)}"
    return "torch finds no card that this process may use"


def _check_capability() -> str | None:
    """Return that the card is older than those this torch was built for, if it is."""
    built = [re.fullmatch(r"sm_(\d+)[a-z]?", name) for name in torch.cuda.get_arch_list()]
    least = min((int(each[1]) for each in built if each), default=0)
    major, minor = torch.cuda.get_device_capability()
    if 10 * major + minor >= least:
        return None
    return (
        f"{torch.cuda.get_device_name()} has compute capability {major}.{minor}: this torch (CUDA"
        f" {torch.version.cuda}) needs {least // 10}.{least % 10} or more; install torch for an older"
        " CUDA"
    )


def _try_card() -> str | None:
    """Return what the card says to the smallest computation, unless it does it."""
    try:
        torch.ones(1, device="cuda").add_(1).item()
    except RuntimeError as error:
        return f"{torch.cuda.get_device_name()} does not compute: {get_first_line(error)}"
    return None


def find_fault() -> str | None:
    """Return the error of a card that this process can no longer use; None: there is no such error.

    After an illegal access, an uncorrectable bit or the loss of the card every call of the process
    fails; another process may have better luck.
    """
    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return None
    try:
        torch.cuda.synchronize()
    except RuntimeError as error:
        return get_first_line(error)
    return None


def get_first_line(error: BaseException) -> str:
    """Return an error's first line; the others tell how to debug CUDA."""
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")


if __name__ == "__main__":
    sys.stdout.write(find_obstacle() or "")

"""Why a card cannot be used, in words that name the remedy. torch's answers are played."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from farm.engine import cuda


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine with torch for CUDA 13.0, driver 580 and a card of capability 9.0, played by the CPU."""
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_75", "sm_90a", "compute_120"])
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA H100")
    monkeypatch.setattr(torch, "ones", lambda count, device: torch.zeros(count) + 1)
    monkeypatch.setattr(cuda, "DRIVER", tmp_path / "version")
    write_driver("Open Kernel Module for x86_64  580.65.06  Release Build")


def write_driver(module: str) -> None:
    cuda.DRIVER.write_text(f"NVRM version: NVIDIA UNIX {module}\nGCC version:  gcc version 12.2.0\n")


@pytest.mark.usefixtures("card")
def test_a_card_that_computes_has_no_obstacle() -> None:
    assert cuda.find_obstacle() is None


@pytest.mark.usefixtures("card")
def test_a_torch_for_cpus_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", None)
    assert (cuda.find_obstacle() or "").endswith("is a build for CPUs; install one for CUDA")


@pytest.mark.usefixtures("card")
@pytest.mark.parametrize(
    ("version", "build", "oldest"), [("535.129.03", "13.0", 580), ("470.82.01", "12.8", 525)]
)
def test_a_driver_that_is_too_old_is_named(
    version: str, build: str, oldest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_driver(f"x86_64 Kernel Module  {version}  Thu Oct 19 18:56:32 UTC 2023")
    monkeypatch.setattr(torch.version, "cuda", build)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert cuda.find_obstacle() == (
        f"the NVIDIA driver {version} is too old: this torch (CUDA {build}) needs {oldest} or newer;"
        " update the driver, or install torch for an older CUDA"
    )


@pytest.mark.usefixtures("card")
def test_a_driver_without_a_card_is_explained_in_torchs_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise RuntimeError("No CUDA GPUs are available")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "init", refuse)
    assert cuda.find_obstacle() == "torch finds no card: No CUDA GPUs are available"


@pytest.mark.usefixtures("card")
def test_a_card_that_is_too_old_for_this_torch_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (7, 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Tesla V100")
    assert cuda.find_obstacle() == (
        "Tesla V100 has compute capability 7.0: this torch (CUDA 13.0) needs 7.5 or more; install torch"
        " for an older CUDA"
    )


@pytest.mark.usefixtures("card")
def test_a_card_that_does_not_compute_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(count: int, device: str) -> None:
        raise torch.AcceleratorError("CUDA error: uncorrectable ECC error encountered\nCompile with ..")

    monkeypatch.setattr(torch, "ones", fail)
    found = cuda.find_obstacle()
    assert found == "NVIDIA H100 does not compute: CUDA error: uncorrectable ECC error encountered"


def test_a_process_that_never_used_a_card_has_no_fault_of_one() -> None:
    assert cuda.find_fault() is None

"""The devices that `farm up` starts workers on: with a stub `nvidia-smi` on the path and a stub torch
before the real one, no card is needed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from farm.cli import devices
from farm.cli.devices import list_devices
from farm.cli.supervisor import build_children
from tests.conftest import fresh_settings

TWO_CARDS = """\
GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-aaaaaaaa-0000-0000-0000-000000000000)
GPU 1: NVIDIA H100 80GB HBM3 (UUID: GPU-bbbbbbbb-0000-0000-0000-000000000000)
"""
CUT_UP = """\
GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-aaaaaaaa-0000-0000-0000-000000000000)
  MIG 3g.20gb     Device  0: (UUID: MIG-11111111-0000-0000-0000-000000000000)
  MIG 1g.5gb      Device  1: (UUID: MIG-GPU-aaaaaaaa-0000-0000-0000-000000000000/9/0)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-bbbbbbbb-0000-0000-0000-000000000000)
"""
TORCH = """\
import os
from types import SimpleNamespace as Has

__version__ = "2.9.0"
version = Has(cuda={cuda!r}, hip=None)
cuda = Has(
    is_available=lambda: True,
    get_arch_list=lambda: ["sm_75", "sm_90"],
    get_device_capability=lambda: (9, 0),
    get_device_name=lambda: "H100",
)


def ones(count, device):
    with open({log!r}, "a") as log:
        log.write(os.environ.get("CUDA_VISIBLE_DEVICES", "unset") + "\\n")
    return Has(add_=lambda value: Has(item=lambda: 2.0))
"""

Stub = Callable[[str], None]


@pytest.fixture
def nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stub:
    """Put a program of this name on the path, which runs these lines of shell."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))  # alone: this machine may have a real one
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def write(script: str) -> None:
        program = tmp_path / "bin" / "nvidia-smi"
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    return write


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Put a torch in front that can use any card; returns for which cards it was asked."""
    log = tmp_path / "asked"
    write_torch(tmp_path, monkeypatch, "13.0")
    return lambda: log.read_text().split() if log.exists() else []


def write_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cuda: str | None) -> None:
    package = tmp_path / "stub" / "torch"
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").write_text(TORCH.format(cuda=cuda, log=str(tmp_path / "asked")))
    monkeypatch.setenv("PYTHONPATH", str(package.parent), prepend=os.pathsep)


def show(listing: str) -> str:
    return f'[ "$1" = -L ] && /bin/cat <<"END"\n{listing}END'


def listed(wanted: str = "auto") -> tuple[list[tuple[str, str | None]], list[str]]:
    """Name and card of each worker, and what was reported."""
    lines: list[str] = []
    found = list_devices(wanted, lines.append)  # type: ignore[arg-type]
    for device in found:
        assert device.environment.get("FARM_DEVICE") == (None if device.name == "cpu" else "cuda")
    return [(each.name, each.environment.get("CUDA_VISIBLE_DEVICES")) for each in found], lines


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        ("2,3", [("gpu 2", "2"), ("gpu 3", "3")]),
        (" 5 , 5,7", [("gpu 5", "5"), ("gpu 7", "7")]),
        ("1,-1,0", [("gpu 1", "1")]),
        ("GPU-bbbb,GPU-aaaa", [("gpu 1", "GPU-bbbb"), ("gpu 0", "GPU-aaaa")]),
        ("MIG-GPU-aaaa/9/0", [("gpu 0", "MIG-GPU-aaaa/9/0")]),
    ],
)
def test_workers_get_the_operators_own_cards_and_no_others(
    visible: str, expected: list[tuple[str, str]], asked, nvidia_smi: Stub, monkeypatch
) -> None:
    nvidia_smi(show(TWO_CARDS))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert listed() == (expected, [])
    assert asked() == [expected[0][1]]


def test_each_card_is_named_by_its_uuid_whatever_order_cuda_counts_in(asked, nvidia_smi: Stub) -> None:
    nvidia_smi(show(TWO_CARDS))
    cards = [f"GPU-{letter * 8}-0000-0000-0000-000000000000" for letter in "ab"]
    assert listed() == ([("gpu 0", cards[0]), ("gpu 1", cards[1])], [])


def test_each_slice_of_a_card_that_is_cut_up_gets_a_worker(asked, nvidia_smi: Stub) -> None:
    nvidia_smi(show(CUT_UP))
    found, _ = listed()
    assert [card for _, card in found] == [
        "MIG-11111111-0000-0000-0000-000000000000",
        "MIG-GPU-aaaaaaaa-0000-0000-0000-000000000000/9/0",
        "GPU-bbbbbbbb-0000-0000-0000-000000000000",
    ]


@pytest.mark.parametrize("visible", ["", "-1", "NoDevFiles"])
def test_cards_that_are_hidden_give_one_worker_on_the_cpu(
    visible: str, nvidia_smi: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    nvidia_smi(show(TWO_CARDS))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr(devices, "find_obstacle", lambda entry: "torch finds no card")
    assert listed()[0] == [("cpu", None)]


def test_without_a_driver_there_is_one_worker_on_the_cpu_and_nobody_asks_torch(
    asked, nvidia_smi: Stub
) -> None:
    assert listed() == ([("cpu", None)], [])
    assert asked() == []


def test_a_driver_that_fails_is_reported(asked, nvidia_smi: Stub) -> None:
    nvidia_smi("echo NVIDIA-SMI has failed because it could not communicate with the driver; exit 9")
    found, (line,) = listed()
    assert found == [("cpu", None)]
    assert line.startswith("No GPU is used: nvidia-smi failed: NVIDIA-SMI has failed because")
    with pytest.raises(click.ClickException, match="FARM_DEVICE=cuda, but nvidia-smi failed"):
        listed("cuda")


def test_a_driver_that_does_not_answer_is_not_waited_for(
    asked, nvidia_smi: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("farm.fleet.nvidia_smi.SMI_SECONDS", 0.2)
    nvidia_smi("exec /bin/sleep 600")
    began = time.monotonic()
    assert listed() == ([("cpu", None)], ["No GPU is used: nvidia-smi did not answer within 0.2 s."])
    assert time.monotonic() - began < 300


def test_a_torch_for_cpus_gives_one_worker_on_the_cpu_whatever_the_driver_has(
    nvidia_smi: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nvidia_smi(show(TWO_CARDS))
    write_torch(tmp_path, monkeypatch, None)
    reason = "this torch (2.9.0) is a build for CPUs; install one for CUDA"
    assert listed() == ([("cpu", None)], [f"No GPU is used: {reason}."])
    with pytest.raises(click.ClickException) as refused:
        listed("cuda")
    assert refused.value.message == f"FARM_DEVICE=cuda, but {reason}."


def test_a_torch_that_cannot_be_asked_is_reported(
    nvidia_smi: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nvidia_smi(show(TWO_CARDS))
    write_torch(tmp_path, monkeypatch, None)
    (tmp_path / "stub/torch/__init__.py").write_text("raise ImportError('libcudart.so.13 is gone')")
    assert listed()[1] == ["No GPU is used: torch failed: ImportError: libcudart.so.13 is gone."]


def test_an_operator_who_wants_the_cpu_gets_one_worker_there(asked, nvidia_smi: Stub) -> None:
    nvidia_smi(show(TWO_CARDS))
    assert listed("cpu") == ([("cpu", None)], [])
    assert asked() == []


def test_an_operator_who_wants_a_card_gets_torchs_first_where_none_is_listed(
    asked, nvidia_smi: Stub
) -> None:
    assert listed("cuda") == ([("gpu 0", "0")], [])
    assert asked() == ["unset"]


def test_a_card_reaches_its_workers_environment(
    asked, nvidia_smi: Stub, farm_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    workers = [child for child in build_children(fresh_settings()) if "worker" in child.name]
    assert [child.name for child in workers] == ["worker gpu 2", "worker gpu 3"]
    for child, card in zip(workers, "23", strict=True):
        assert child.environment["CUDA_VISIBLE_DEVICES"] == card
        assert child.environment["FARM_DEVICE"] == "cuda"
        assert child.environment["FARM_WORKER_NAME"].startswith(f"gpu{card}@")

"""Commands that start workers: on which devices, under which names, and what happens when one ends."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from farm.cli import main, processes
from farm.cli.devices import CPU, WorkerDevice
from farm.cli.supervisor import Child, build_workers, run_workers
from farm.database.models import WorkClass
from farm.fleet.registry import TWIN_STATUS
from farm.settings import CLASSES
from tests.conftest import fresh_settings

CARDS = [WorkerDevice(f"gpu {number}", {"CUDA_VISIBLE_DEVICES": str(number)}) for number in (0, 1)]


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    caught = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in caught}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_the_classes_of_the_settings_are_those_of_jobs() -> None:
    assert set(CLASSES) == {each.value for each in WorkClass}


@pytest.mark.parametrize(
    ("given", "devices", "names"),
    [
        ("", [CPU], ["cpu@attic"]),
        ("", CARDS, ["gpu0@attic", "gpu1@attic"]),
        ("studio", [CPU], ["studio"]),
        ("studio", CARDS, ["studio-gpu0", "studio-gpu1"]),
    ],
)
def test_workers_are_named_by_device_and_host_unless_the_operator_names_them(
    given: str, devices: list[WorkerDevice], names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "attic")
    monkeypatch.setenv("FARM_WORKER_NAME", given)
    found = build_workers(devices, fresh_settings())
    assert [child.environment["FARM_WORKER_NAME"] for child in found] == names
    assert all(child.final == {0, TWIN_STATUS} for child in found)


@pytest.mark.parametrize(
    ("devices", "expected"),
    [
        ("cpu", {"FARM_DEVICE": "cpu"}),
        ("1, 3", {"CUDA_VISIBLE_DEVICES": "1,3", "FARM_DEVICE": "cuda"}),
        ("MIG-1111-22", {"CUDA_VISIBLE_DEVICES": "MIG-1111-22", "FARM_DEVICE": "cuda"}),
    ],
)
def test_devices_are_chosen_by_number_or_uuid(devices: str, expected: dict[str, str]) -> None:
    assert processes._choose_devices(devices) == expected


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--devices", "gpu0"], "'gpu0' is no device"),
        (["--devices", ""], "'' is no device"),
        (["--devices", "0,cpu"], "'cpu' is no device"),
        (["--classes", "huge"], "--classes: must be"),
        (["--tags", "two words"], "--tags: must be"),
        (["--name", "%h"], "--name: must have"),
    ],
)
def test_garbage_is_refused_in_words(
    options: list[str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ))
    refused = CliRunner().invoke(main, ["worker", *options])
    assert refused.exit_code != 0
    assert words in refused.output + str(refused.exception)
    assert "Traceback" not in refused.output


def test_one_that_died_is_started_again_and_one_that_was_drained_is_not(tmp_path: Path) -> None:
    # Given workers of which one ends well, and one dies, and has a twin when it is started again
    log = tmp_path / "log"
    died = f"import os; p = {str(log)!r}; new = not os.path.exists(p); open(p, 'a').write('x');"
    children = [
        Child("drained", "", [sys.executable, "-c", ""], final=frozenset({0, TWIN_STATUS})),
        Child(
            "died",
            "",
            [sys.executable, "-c", f"{died} raise SystemExit(1 if new else {TWIN_STATUS})"],
            back_off=0.05,
            final=frozenset({0, TWIN_STATUS}),
        ),
    ]
    # When they are supervised, then that ends, with the status of the one with a twin
    assert run_workers(children) == TWIN_STATUS
    assert log.read_text() == "xx"
    assert [child.ended for child in children] == [0, TWIN_STATUS]

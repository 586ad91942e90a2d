"""Monitor of the device: a thread that measures how busy it is, so that nothing waits for a driver."""

from __future__ import annotations

import threading

import psutil
import torch

from farm.engine import device
from farm.fleet import nvidia_smi
from farm.fleet.registry import Machine, Reading

MEASURE_SECONDS = 15.0  # between two measurements


class Monitor(threading.Thread):
    """Measures from the start of the process to its end; `reading` has the newest."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(name="monitor", daemon=True)
        self._machine = machine
        self.reading = Reading()

    def run(self) -> None:
        wait = threading.Event().wait
        while True:
            self.reading = measure(self._machine)
            wait(MEASURE_SECONDS)


def measure(machine: Machine) -> Reading:
    """Return how busy a device is, as far as it tells; of a CPU since the last call."""
    try:
        free = device.read_free_memory(torch.device(machine.device_kind))
    except RuntimeError:  # a card that fails; the next job finds out
        return Reading()
    if machine.device_kind == "cuda":
        return Reading(free, nvidia_smi.read_utilisation(machine.device_uuid))
    return Reading(free, min(1.0, psutil.cpu_percent() / 100))

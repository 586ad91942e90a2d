"""nvidia-smi, which lists cards and knows how busy they are; and programs that may never answer."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from tempfile import TemporaryFile

SMI_SECONDS = 20.0  # for nvidia-smi, which a driver in trouble lets wait for ever


class Unanswered(Exception):
    """A program gave no answer; the message says why."""


def list_cards() -> str:
    """Return the output of `nvidia-smi -L`; "" where there is no such program.

    Raises:
        Unanswered: it fails, or takes longer than `SMI_SECONDS`.
    """
    try:
        return run("nvidia-smi", ["nvidia-smi", "-L"], SMI_SECONDS)
    except FileNotFoundError:
        return ""


def read_utilisation(uuid: str | None) -> float | None:
    """Return the share of the last moments in which a card was at work, 0..1; None: it does not tell, as
    slices of cards do not."""
    query = ["--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
    card = ["--id", uuid] if uuid else []
    try:
        answer = run("nvidia-smi", ["nvidia-smi", *query, *card], SMI_SECONDS)
        return min(1.0, max(0.0, float(answer.splitlines()[0]) / 100))
    except (Unanswered, OSError, ValueError, IndexError):
        return None


def run(name: str, command: list[str], seconds: float, environment: dict[str, str] | None = None) -> str:
    """Return a command's output; name: in messages.

    Raises:
        FileNotFoundError: there is no such program. Unanswered: it fails, or does not end in time.
    """
    given = os.environ | (environment or {})
    with TemporaryFile("w+") as output, TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, env=given, stdout=output, stderr=errors)  # noqa: S603
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            with suppress(subprocess.TimeoutExpired):  # a driver in trouble holds it even so
                process.wait(1.0)
            raise Unanswered(f"{name} did not answer within {seconds:g} s") from None
        output.seek(0)
        errors.seek(0)
        if not status:
            return output.read()
        said = (errors.read().strip() or output.read().strip()).splitlines()
        raise Unanswered(f"{name} failed: {said[-1] if said else f'exit status {status}'}")

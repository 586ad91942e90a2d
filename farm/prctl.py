"""Settings of the calling process by Linux's prctl(2)."""

from __future__ import annotations

import ctypes
import signal

PR_SET_PDEATHSIG = 1
PR_SET_NO_NEW_PRIVS = 38


def end_with_parent(number: signal.Signals) -> None:
    """Receive this signal when the thread that started this process ends, also while it is busy."""
    _prctl(PR_SET_PDEATHSIG, number)


def forbid_new_privileges() -> None:
    """Let no program that this process starts gain privileges by that."""
    _prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def _prctl(option: int, *arguments: int) -> None:
    ctypes.CDLL(None).prctl(option, *map(ctypes.c_ulong, arguments))

"""Fixtures of films that are planned, and not painted."""

from __future__ import annotations

import pytest

from tests.conftest import fresh_settings, use_broker_in_memory
from tests.films.made import know_clips


@pytest.fixture
def clips_without_a_broker(monkeypatch: pytest.MonkeyPatch, database: str) -> None:
    """Take any file for a clip, and send tickets to nobody."""
    use_broker_in_memory(monkeypatch)
    fresh_settings()
    know_clips(monkeypatch)

"""Tests of a group run in one process, with what takes long to make."""

from __future__ import annotations

import pytest


@pytest.mark.xdist_group("shared")
def test_the_scheduler_knows_a_test_by_its_group(request: pytest.FixtureRequest) -> None:
    in_groups = getattr(request.config.option, "loadgroup", False)
    assert request.node.nodeid.endswith("@shared") == in_groups

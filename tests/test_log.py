"""The log: for people, and safe to look at."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from farm import log
from tests.conftest import fresh_settings


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """What these tests configure writes to a stream that ends with them."""
    yield
    structlog.reset_defaults()


def test_what_a_stranger_sent_cannot_steer_the_operators_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log.configure()
    structlog.get_logger().info("refused", path="/jobs/\x1b[31mRED\x00\x9b")
    said = capsys.readouterr().err
    assert "RED" in said
    assert not {"\x1b", "\x00", "\x9b"} & set(said)


def test_a_traceback_is_in_the_log_without_the_values_of_variables(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log.configure()
    secret = "hunter2"  # noqa: F841
    try:
        raise RuntimeError("it broke")
    except RuntimeError:
        structlog.get_logger().exception("failed")
    said = capsys.readouterr().err
    assert "RuntimeError: it broke" in said
    assert "hunter2" not in said
    assert len(said.splitlines()) < 20


def test_json_lines_are_one_object_each(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FARM_LOG_FORMAT", "json")
    fresh_settings()
    log.configure()
    structlog.get_logger().info("two\nlines", job="a")
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["job"] == "a"


def test_each_line_of_a_worker_names_it(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure(worker="painter@attic")
    structlog.get_logger().info("rendering", job="a")
    logging.getLogger("celery").warning("lost the broker")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all("worker=painter@attic" in line for line in lines)


@pytest.mark.parametrize("format", ["console", "json"])
def test_no_secret_is_in_the_log(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    monkeypatch.setenv("FARM_LOG_FORMAT", format)
    fresh_settings()
    log.configure()
    token = "farm_" + "aB3-_" * 8
    said = f"postgresql://farm:hunter2@db:5432/farm refused {token}"
    try:
        raise RuntimeError(said)
    except RuntimeError as error:
        structlog.get_logger().exception("failed", error=str(error), path=f"/jobs?token={token}")
    lines = capsys.readouterr().err
    assert "RuntimeError: postgresql://farm:***@db:5432/farm refused farm_***" in lines
    assert "hunter2" not in lines
    assert "aB3" not in lines

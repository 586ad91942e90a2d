"""Logging: structlog to standard error, for people or as JSON, one line an event.

What libraries log by Python's own `logging` (gunicorn, Celery, Alembic) takes the same way.
"""

from __future__ import annotations

import logging
import re
import sys
from types import TracebackType
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict

from farm.settings import settings

TOKEN = re.compile(r"farm_[\w-]{20,}")
PASSWORD = re.compile(r"(://[^/\s:@]*:)[^/\s@]+@")  # of user:password@host


def _escape_unprintable(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Escape unprintable characters: what a stranger sent must not control the operator's terminal."""
    for key, value in event.items():
        if isinstance(value, str) and key != "exception" and not value.isprintable():
            event[key] = value.encode("unicode_escape").decode()
    return event


def _redact_secrets(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Redact tokens, and passwords in addresses, in every value: an error's text repeats its input."""
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = PASSWORD.sub(r"\1***@", TOKEN.sub("farm_***", value))
    return event


class _StandardError(logging.StreamHandler[TextIO]):
    """Handler that writes to the standard error of the moment."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        """Return where to write."""
        return sys.stderr


def configure(**facts: str) -> None:
    """Set up this process's log. Tracebacks go here and never to a user.

    Args:
        facts: stand in each line of this process, such as the worker's name.
    """
    as_json = settings().log_format == "json"
    for_people = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
    renderer: structlog.typing.Processor = structlog.processors.JSONRenderer() if as_json else for_people
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        lambda _logger, _method, event: {**facts, **event},
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        _escape_unprintable,
        _redact_secrets,
    ]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    _take_in_libraries(shared, renderer)
    if as_json:
        logging.captureWarnings(True)
        sys.excepthook = _log_uncaught


def configure_for_command() -> None:
    """Set up the log of a command that a person runs: warnings alone, to standard error."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def _take_in_libraries(
    shared: list[structlog.typing.Processor], renderer: structlog.typing.Processor
) -> None:
    """Send what is logged by `logging` through the same processors, warnings and worse."""
    root, handler = logging.getLogger(), _StandardError()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[
                structlog.stdlib.add_logger_name,
                *shared,
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                renderer,
            ]
        )
    )
    root.handlers = [each for each in root.handlers if not isinstance(each, _StandardError)]
    root.addHandler(handler)
    root.setLevel(logging.WARNING)


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Log what ends the process as one line."""
    structlog.get_logger().critical("ended by an error", exc_info=(kind, error, trace))

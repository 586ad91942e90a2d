"""Filters of the templates, and the states that they know by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask

from farm.database.disk import describe_shortage
from farm.database.models import DeliveryStatus, State
from farm.recipe.recipe import format_value
from farm.storage import format_bytes
from farm.webhooks import destinations
from web import words
from web.files import build_file_url, build_picture_url, build_preview_url
from web.middleware.headers import get_own_address

FILTERS: dict[str, Callable[..., Any]] = {  # such as `{{ job.created_at|ago }}`
    "duration": words.format_duration,
    "took": words.describe_time,
    "time_left": words.format_time_left,
    "percent": words.format_percent,
    "tenths_painted": words.describe_tenths,
    "ago": words.format_age,
    "gigabytes": format_bytes,
    "rfc3339": words.to_rfc3339,
    "typed": format_value,
    "picture_url": build_picture_url,
    "preview_url": build_preview_url,
    "file_url": build_file_url,
    "host": destinations.extract_host,
}


def init_app(app: Flask) -> None:
    """Make the filters known to this application's templates."""
    app.jinja_env.filters.update(FILTERS)
    app.add_template_global(words.format_short_need, "short_need")
    app.add_template_global(get_own_address, "own_address")
    app.add_template_global(describe_shortage, "shortage")
    app.jinja_env.globals.update(
        WORKER_STATES=words.WORKER_STATES,
        STATES=words.STATES,
        State=State,
        DeliveryStatus=DeliveryStatus,
    )

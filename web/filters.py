"""Filters of the templates, and the states that they know by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask, request, url_for

from farm.counts import format_count
from farm.database.deliveries import DeliveryStatus
from farm.database.disk import describe_shortage
from farm.database.models import State
from farm.fleet import queue
from farm.recipe.typed_values import format_value
from farm.settings import settings
from farm.storage import format_bytes
from farm.webhooks import destinations
from web import words
from web.files import build_file_url, build_picture_url, build_preview_url
from web.film_files import build_poster_url
from web.middleware.authentication import is_let_in, may_operate
from web.middleware.headers import get_own_address

FILTERS: dict[str, Callable[..., Any]] = {  # such as `{{ job.created_at|ago }}`
    "duration": words.format_duration,
    "took": words.describe_time,
    "time_left": words.format_time_left,
    "percent": words.format_percent,
    "counted": format_count,
    "tenths_painted": words.describe_tenths,
    "ago": words.format_age,
    "seen": words.format_seen,
    "speed": words.format_speed,
    "about_time": words.format_about_time,
    "gigabytes": format_bytes,
    "score": words.describe_score,
    "rfc3339": words.to_rfc3339,
    "typed": format_value,
    "picture_url": build_picture_url,
    "preview_url": build_preview_url,
    "poster_url": build_poster_url,
    "seconds": words.format_film_time,
    "film_length": words.describe_film_length,
    "file_url": build_file_url,
    "host": destinations.extract_host,
}
# Of the farm itself, in the order of their navigation.
FARM_PAGES = {
    "pages.list_workers": "Workers",
    "pages.show_queue": "Queue",
    "pages.show_storage": "Storage",
    "pages.list_people": "People",
    "pages.list_events": "Events",
}


def init_app(app: Flask) -> None:
    """Make the filters known to this application's templates."""
    app.jinja_env.filters.update(FILTERS)
    app.add_template_global(words.format_short_need, "short_need")
    app.add_template_global(get_own_address, "own_address")
    app.add_template_global(describe_shortage, "shortage")
    app.add_template_global(_find_pauser, "pauser")
    app.add_template_global(may_operate, "may_operate")
    app.add_template_global(_find_farm_page, "farm_page")
    app.add_template_global(_list_farm_pages, "farm_pages")
    app.jinja_env.globals.update(STATES=words.STATES, State=State, DeliveryStatus=DeliveryStatus)


def _find_pauser() -> str | None:
    """Return who paused the farm, for whoever was let in; None: it is not paused."""
    return queue.find_pauser_for_page() if is_let_in() else None


def _list_farm_pages() -> dict[str, str]:
    """Return the farm's own pages by endpoint; those of people only where people have accounts."""
    return {
        endpoint: title
        for endpoint, title in FARM_PAGES.items()
        if settings().require_token or endpoint != "pages.list_people"
    }


def _find_farm_page() -> str | None:
    """Return which of the farm's own pages this is, by its endpoint; None: another."""
    here = request.script_root + request.path
    return next((each for each in FARM_PAGES if here.startswith(url_for(each))), None)

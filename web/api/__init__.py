"""The REST API, for programs. Errors are RFC 9457.

Each module adds its own addresses to the one blueprint.
"""

from __future__ import annotations

from apiflask import APIBlueprint
from flask import request

from web.middleware.headers import refuse_other_sites

blueprint = APIBlueprint("api", __name__, url_prefix="/api/v1", tag="Jobs")


@blueprint.before_request
def _same_site_only() -> None:
    refuse_other_sites(request)


from web.api import (  # noqa: E402, F401
    bulk,
    comparisons,
    estimates,
    events,
    explorations,
    film_estimates,
    films,
    history,
    jobs,
    looks,
    people,
    ratings,
    storage,
    webhooks,
    workers,
)

"""Pages, for people. Each module adds its own to the one blueprint."""

from __future__ import annotations

from flask import Blueprint

blueprint = Blueprint("pages", __name__)

from web.pages import (  # noqa: E402, F401
    bulk,
    deletion,
    download,
    estimate,
    explorations,
    films,
    gallery,
    job,
    jobs,
    looks,
    new,
    opinions,
    reference,
    sign_in,
    sliders,
    tokens,
    webhooks,
    workers,
)
from web.pages.operators import events, orders, people, queue, storage  # noqa: E402, F401

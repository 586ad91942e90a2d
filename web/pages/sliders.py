"""Sliders between photograph and painting: what pages show of them, and the drafts behind one."""

from __future__ import annotations

from typing import Any

from flask import flash, redirect, url_for
from flask.typing import ResponseReturnValue

from farm.database import sessions
from farm.database.models import Exploration
from farm.errors import FarmError
from farm.explorations import sliders
from farm.jobs import states
from web.files import build_preview_url
from web.middleware.authentication import get_visitor
from web.pages import blueprint
from web.words import describe_error


@blueprint.post("/jobs/<job_id:job_id>/slider")
def make_slider(job_id: str) -> ResponseReturnValue:
    """Submit the drafts of a slider, and go back to the picture, which says why where there are none."""
    with sessions.read_session() as session:
        job = states.get(session, job_id)
    try:
        sliders.make_slider(job, get_visitor())
    except FarmError as error:
        if error.status >= 500:
            raise
        flash(describe_error(error))
    return redirect(url_for("pages.show_job", job_id=job_id) + "#slider", 303)


def describe_slider(found: Exploration) -> list[dict[str, Any]]:
    """Return the rows whose drafts have all ended, for `slider.js`, if there is anything to blend."""
    rows = [
        {
            "label": row.label,
            "cells": [
                {
                    "id": cell.job.id,
                    "label": cell.label,
                    "weight": cell.content_weight,
                    "src": build_preview_url(cell.job),
                    "width": cell.job.width,
                    "height": cell.job.height,
                }
                for cell in row.cells
                if cell.is_done
            ],
        }
        for row in sliders.list_rows(found)
        if all(cell.job.state.ended for cell in row.cells)
    ]
    return [row for row in rows if len(row["cells"]) > 1]

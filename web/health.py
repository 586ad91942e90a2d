"""`/healthz`, for whoever watches over the farm."""

from __future__ import annotations

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue
from sqlalchemy.exc import SQLAlchemyError

from farm.database import sessions
from farm.fleet import registry

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
def check_health() -> ResponseReturnValue:
    """Report whether the database answers, and how many workers are alive. No worker is no illness."""
    try:
        with sessions.read_session() as session:
            workers = len(registry.list_alive(session))
    except SQLAlchemyError:
        return jsonify(status="unavailable", database="unavailable", workers=None), 503
    return jsonify(status="ok", database="ok", workers=workers)

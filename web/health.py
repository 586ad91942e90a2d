"""`/healthz`, for whoever watches over the farm."""

from __future__ import annotations

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue
from sqlalchemy.exc import SQLAlchemyError

from farm.database import reserve, sessions
from farm.fleet import registry

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
def check_health() -> ResponseReturnValue:
    """Report whether the database answers and there is room on the disk, and how many workers are alive.

    No worker is no illness; on a full disk jobs can still be cancelled and deleted, so it is no 503.
    """
    try:
        with sessions.read_session() as session:
            workers = len(registry.list_alive(session))
    except SQLAlchemyError:
        return jsonify(status="unavailable", database="unavailable", workers=None), 503
    disk = "full" if reserve.is_disk_full() else "ok"
    return jsonify(
        status="ok" if disk == "ok" else "disk full", database="ok", disk=disk, workers=workers
    )

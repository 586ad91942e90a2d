"""`/healthz`, for whoever watches over the farm."""

from __future__ import annotations

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue
from sqlalchemy.exc import SQLAlchemyError

from farm.database import disk, sessions
from farm.database.disk import Room
from farm.fleet import registry

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
def check_health() -> ResponseReturnValue:
    """Report whether the database answers and there is room on the disk, and how many workers are alive.

    No worker is no illness; on a full disk jobs can still be cancelled and deleted, on one that is
    nearly full those under way go on, so neither is a 503.
    """
    try:
        with sessions.read_session() as session:
            workers = len(registry.list_alive(session))
    except SQLAlchemyError:
        return jsonify(status="unavailable", database="unavailable", workers=None), 503
    room = disk.find_room()
    status = "ok" if room is Room.OK else f"disk {room.value}"
    return jsonify(status=status, database="ok", disk=room.value, workers=workers)

"""Secrets that all machines of a farm share, made once: in its PostgreSQL, or with SQLite, where all
processes are on one machine, in files of its home.
"""

from __future__ import annotations

import secrets

import structlog

from farm.database import sessions, values
from farm.settings import settings

log = structlog.get_logger()


def read_secret_key() -> str:
    """Return what signs sessions, and with them the forms' CSRF tokens: FARM_SECRET_KEY, or one that is
    made once for all web parts."""
    return settings().session_secret or _share("secret_key")


def read_webhook_key() -> str:
    """Return what signs webhooks: FARM_WEBHOOK_SECRET, or one that is made once for all janitors."""
    return settings().webhook_secret or _share("webhook_secret")


def _share(name: str) -> str:
    """Return the farm's secret of this name. The first machine that asks brings the one that its home
    has from earlier versions, or makes one."""
    if sessions.is_on_one_machine():
        return settings().read_or_make_secret(name)
    with sessions.read_session() as session:
        shared = values.read(session, name)
    own = settings().read_secret(name)
    if shared is None:
        with sessions.write_session() as session:
            shared = values.keep_first(session, name, own or secrets.token_urlsafe(32))
    if own and own != shared:
        file = str(settings().home / name)
        log.warning("this machine's secret is not the farm's, which is used", file=file)
    return shared

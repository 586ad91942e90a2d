"""Descriptors: deep statistics of pictures, by which the form says how well two of them go together.

The web part asks by a row with the picture, a worker answers in it, and both forget it after a while. So
the web part needs no torch, and without a worker nobody answers.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import delete, or_, select, update
from sqlalchemy.orm import Session

from farm.database import sessions
from farm.database.models import Descriptor
from farm.database.upserts import insert

LAYERS = ("relu3_1", "relu4_1")  # whose channels are described, one after the other
PIXELS = 256  # longest side at which a picture is looked at
PATIENCE = timedelta(minutes=5)  # for which a request is worth an answer
RENEWED = timedelta(days=1)  # after which an answer that is asked for again is kept for longer
KEPT = timedelta(days=7)  # since an answer was last asked for
STORED = np.dtype("<f2")


@dataclass(frozen=True)
class Statistics:
    """Answer on one picture."""

    # Whose features they are; of another network they mean something else.
    network: str
    # (2, C): means and standard deviations of the channels of `LAYERS`.
    values: NDArray[np.float32]


def find(session: Session, digests: Collection[str]) -> dict[str, Statistics | None]:
    """Return what is known of pictures, by digest; None: it cannot be decoded."""
    answered = Descriptor.sha256.in_(digests), Descriptor.network.is_not(None)
    rows = session.scalars(select(Descriptor).where(*answered))
    return {row.sha256: _read_statistics(row) for row in rows}


def list_stale(session: Session, digests: Collection[str]) -> set[str]:
    """List the pictures that have to be asked for: those that nobody asked for lately."""
    moment = sessions.read_clock(session)
    rows = session.scalars(select(Descriptor).where(Descriptor.sha256.in_(digests)))
    ages = {row.sha256: (moment - row.asked_at, RENEWED if row.network else PATIENCE) for row in rows}
    return set(digests) - {sha256 for sha256, (age, limit) in ages.items() if age < limit}


def ask_for(session: Session, pictures: Mapping[str, bytes]) -> None:
    """Ask for pictures, or keep what is known of them for longer.

    Args:
        pictures: bytes that show a picture, by the digest of the file that it is.
    """
    moment = sessions.read_clock(session)
    for sha256, picture in sorted(pictures.items()):  # in one order, or two would wait for each other
        asked = insert(session, Descriptor).values(sha256=sha256, picture=picture, asked_at=moment)
        known = asked.on_conflict_do_update(index_elements=["sha256"], set_={"asked_at": moment})
        session.execute(known)


def _read_statistics(row: Descriptor) -> Statistics | None:
    if row.statistics is None:
        return None
    values = np.frombuffer(row.statistics, STORED).astype(np.float32).reshape(2, -1)
    return Statistics(str(row.network), values)


def list_requested(session: Session, limit: int) -> list[tuple[str, bytes]]:
    """List (digest, picture) of requests that wait for an answer, oldest first."""
    recent = Descriptor.asked_at > sessions.read_clock(session) - PATIENCE
    query = select(Descriptor.sha256, Descriptor.picture).where(Descriptor.network.is_(None), recent)
    rows = session.execute(query.order_by(Descriptor.asked_at).limit(limit))
    return [(sha256, picture) for sha256, picture in rows if picture]


def answer(session: Session, sha256: str, network: str, values: NDArray[np.float32] | None) -> None:
    """Store the answer to a request, and forget its picture.

    Args:
        values: None: the picture cannot be decoded.
    """
    stored = None if values is None else values.astype(STORED).tobytes()
    told = update(Descriptor).where(Descriptor.sha256 == sha256)
    sessions.execute_count(session, told.values(picture=None, network=network, statistics=stored))


def forget() -> None:
    """Delete answers that nobody asked for lately, and requests that nobody answered."""
    with sessions.write_session() as session:
        moment = sessions.read_clock(session)
        unanswered = Descriptor.network.is_(None) & (Descriptor.asked_at < moment - PATIENCE)
        old = or_(Descriptor.asked_at < moment - KEPT, unanswered)
        sessions.execute_count(session, delete(Descriptor).where(old))


def compute_closeness(photograph: Statistics, painting: Statistics) -> float | None:
    """Return how close two pictures are, from 0, as far apart as pictures are, to 1, the same; None:
    their statistics are of different networks."""
    if photograph.network != painting.network or photograph.values.shape != painting.values.shape:
        return None
    difference = float(np.square(photograph.values - painting.values).sum())
    energy = float(np.square(photograph.values).sum() + np.square(painting.values).sum())
    return max(0.0, 1.0 - difference / max(energy, 1e-30))

"""How well photograph and paintings go together: a part of the form that changes with what is chosen.

The browser sends small copies of files that are chosen and not sent yet, and names for all others. What
nobody has looked at yet is asked of a worker, and the form asks again a little later.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from flask import render_template, request
from sqlalchemy.orm import Session

from farm.database import sessions
from farm.database.models import Job, Upload
from farm.errors import NotFound
from farm.fleet import registry
from farm.pictures import descriptors
from farm.pictures.descriptors import Statistics
from farm.recipe.recipe import MAX_STYLES
from farm.storage import storage
from web import samples
from web.middleware.authentication import get_visitor
from web.pages import blueprint, recent
from web.pages.form import KEPT
from web.pages.new import load_kept_job

MAX_OFFERED = 60  # tiles that are put in order
MAX_BYTES = 400_000  # of a small copy; a larger one says nothing


@dataclass(frozen=True)
class _Chosen:
    """A picture that was chosen or is offered."""

    # Value of its tile, or the name of its file.
    name: str
    title: str
    # Of the bytes that it stands for.
    sha256: str
    # Returns bytes that show it, small or not.
    read: Callable[[], bytes]


@dataclass(frozen=True)
class Line:
    """What the form says of one painting."""

    title: str
    # From 0, as far apart as pictures are, to 1.
    closeness: float


@blueprint.post("/suit")
def judge_suit() -> str:
    """Return the part of the form that says how well the chosen pictures go together, and in which order
    the offered paintings do; empty while nobody knows.

    Fields `photograph`, `painting` and `offered` name tiles; files `photograph` and `painting` are small
    copies; `from_job` is the job whose pictures are kept.
    """
    with sessions.read_session() as session:
        photograph, paintings, offered = _read_choice(session)
        if photograph is None:
            return _render([], [], pending=False)
        asked = {each.sha256: each for each in (photograph, *paintings, *offered)}
        known = descriptors.find(session, asked)
        answering = bool(registry.list_alive(session))  # or nobody would answer
        stale = descriptors.list_stale(session, asked) if answering else set()
    _ask_for([asked[sha256] for sha256 in stale])
    own = known.get(photograph.sha256)
    lines = [
        Line(each.title, closeness)
        for each in paintings
        if (closeness := _compare(own, known.get(each.sha256))) is not None
    ]
    ranked = {each.name: _compare(own, known.get(each.sha256)) for each in offered}
    order = sorted(
        (name for name, closeness in ranked.items() if closeness is not None),
        key=lambda name: -(ranked[name] or 0),
    )
    return _render(lines, order, pending=answering and not asked.keys() <= known.keys())


def _ask_for(pictures: list[_Chosen]) -> None:
    """Ask a worker for what nobody has looked at yet."""
    if shown := {each.sha256: data for each in pictures if (data := each.read())}:
        with sessions.write_session() as session:
            descriptors.ask_for(session, shown)


def _render(lines: list[Line], order: list[str], *, pending: bool) -> str:
    return render_template("_suit.html", alone=True, lines=lines, order=order, pending=pending)


def _compare(photograph: Statistics | None, painting: Statistics | None) -> float | None:
    if photograph is None or painting is None:
        return None
    return descriptors.compute_closeness(photograph, painting)


def _read_choice(session: Session) -> tuple[_Chosen | None, list[_Chosen], list[_Chosen]]:
    """Read the photograph, the paintings that are chosen and those that are offered."""
    kept = load_kept_job(request.form.get("from_job", ""))
    photographs = [*_read_files("photograph"), *_find_picks(session, "photograph", 1, kept)]
    picked = list(_find_picks(session, "painting", MAX_STYLES, kept))
    offered = list(_find_picks(session, "offered", MAX_OFFERED, kept))
    paintings = [*picked, *_read_files("painting")][:MAX_STYLES]
    return (photographs[0] if photographs else None), paintings, offered


def _read_files(field: str) -> Iterator[_Chosen]:
    for file in request.files.getlist(field)[:MAX_STYLES]:
        data = file.stream.read(MAX_BYTES + 1)
        if 0 < len(data) <= MAX_BYTES:
            title = file.filename or ""
            yield _Chosen(title, title, hashlib.sha256(data).hexdigest(), partial(bytes, data))


def _find_picks(session: Session, field: str, limit: int, kept: Job | None) -> Iterator[_Chosen]:
    """Find what tiles stand for; unknown ones are left out, as sending the form says what is wrong."""
    for pick in request.form.getlist(field)[:limit]:
        if sample := samples.find(pick):
            yield _Chosen(pick, sample.title, sample.sha256, sample.path.read_bytes)
        elif found := _find_upload(session, pick, kept):
            upload, title = found
            yield _Chosen(pick, title, upload.sha256, partial(_read_small, upload))


def _find_upload(session: Session, pick: str, kept: Job | None) -> tuple[Upload, str] | None:
    """Find the upload that a tile stands for, and what it is called."""
    if kept and pick == KEPT:
        return kept.content, "Photograph"
    for style in kept.styles if kept else ():
        if pick == f"{KEPT}-{style.position}":
            return style.upload, style.file_name or f"Painting {style.position + 1}"
    painting = recent.find_painting(session, pick, get_visitor())
    return (painting.upload, painting.file_name or "Painting") if painting else None


def _read_small(upload: Upload) -> bytes:
    """Read an upload's thumbnail; empty if it is gone."""
    try:
        return storage().get(upload.thumbnail_key)
    except NotFound:
        return b""

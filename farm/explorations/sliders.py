"""Sliders between photograph and painting: a row of drafts that differ in their balance alone.

Neighbours are a factor 4 of the photograph's weight apart. Blended pixel by pixel they are so near to
the draft between them (docs/looks.md) that a page may show any balance at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from farm.database.models import Exploration, Job, State, Upload
from farm.errors import InvalidInput, Problem
from farm.explorations import grids
from farm.explorations.axes import Axis, axis
from farm.jobs import states
from farm.jobs.guides import GuideFiles
from farm.jobs.idempotency import FORM, Key
from farm.people.visitors import Visitor
from farm.recipe import Recipe
from farm.settings import settings
from farm.storage import storage

BALANCE = "balance"
STOPS = (-4, -2, 0, 2, 4)  # from a picture's own balance: its row


@dataclass(frozen=True)
class Cell:
    """A draft at one place of a slider."""

    job: Job
    # For a person.
    label: str
    # Of the photograph, in its recipe.
    content_weight: float

    @property
    def is_done(self) -> bool:
        """True when its picture is there."""
        return self.job.state is State.SUCCEEDED


@dataclass(frozen=True)
class Row:
    """Drafts from the one with most of the photograph to the one with most of the paintings."""

    # What they have in common, for a person.
    label: str
    cells: Sequence[Cell]


def list_rows(found: Exploration) -> list[Row]:
    """Return the rows or columns of a grid along which the balance varies; none where it does not."""
    for along, other, by_rows in ((found.across, found.down, True), (found.down, found.across, False)):
        if along["name"] == BALANCE and len(along["labels"]) > 1:
            return [
                _build_row(found, along, label, number, by_rows=by_rows)
                for number, label in enumerate(other["labels"])
            ]
    return []


def _build_row(
    found: Exploration, along: dict[str, Any], label: str, number: int, *, by_rows: bool
) -> Row:
    """Return one row.

    Args:
        along: the axis of balances. number: of the row, or the column, from 0. by_rows: they are rows.
    """
    width = len(found.across["labels"])
    jobs = {job.cell: job for job in found.cells}
    places = [
        number * width + step if by_rows else step * width + number
        for step in range(len(along["labels"]))
    ]
    cells = [
        Cell(jobs[place], words, varied["content_weight"])
        for place, words, varied in zip(places, along["labels"], along["settings"], strict=True)
        if place in jobs  # a draft may be deleted alone
    ]
    return Row(label, sorted(cells, key=lambda cell: -cell.content_weight))


def find_slider(session: Session, job: Job, visitor: Visitor) -> Exploration | None:
    """Return the row of drafts that was made for a picture; None: there is none (any more)."""
    first = _build_key(job, visitor).find_job(session)
    return session.get(Exploration, first.exploration_id) if first else None


def make_slider(job: Job, visitor: Visitor) -> Exploration:
    """Submit a row of drafts of a finished picture with its settings; again it is the same one.

    Raises:
        WrongState: it has not succeeded.
        InvalidInput: the photograph has no weight in it, or one that would leave its limits.
        NotFound: a picture that it was made from is gone. And what `explore` raises.
    """
    states.check_has_picture(job, "make a slider of")
    recipe = Recipe.model_validate(job.recipe)
    if not recipe.content_weight:
        raise InvalidInput(
            Problem("content_weight", "is 0 in this picture: it has no balance to change")
        )
    uploads = [job.content, *(style.upload for style in job.styles)]
    content, *styles = [_load(each) for each in uploads]
    across, down = _build_axes(recipe)
    content_name, style_names = job.source_names
    return grids.explore(
        content,
        styles,
        recipe,
        across,
        down,
        name=job.name,
        size=min(grids.SIZES[-1], recipe.size),
        key=_build_key(job, visitor),
        guides=_load_guides(job),
        file_names=[content_name, *style_names],
        visitor=visitor,
    )


def _load_guides(job: Job) -> GuideFiles:
    """Return what steered a picture besides photograph and paintings.

    Raises:
        NotFound: a file is gone.
    """
    masks = tuple(_load(mask.upload) for mask in job.masks)
    keep, start = (_load(each.upload) if each else None for each in (job.keep, job.start))
    return GuideFiles(masks, keep, start)


def _load(upload: Upload) -> bytes:
    return storage().get_whole(upload.key, upload.sha256)


def _build_axes(recipe: Recipe) -> tuple[Axis, Axis]:
    return axis("across", BALANCE, recipe, STOPS), axis("down", "style_scale", recipe, [1.0])


def _build_key(job: Job, visitor: Visitor) -> Key:
    """Return the key of a picture's slider: one for each visitor who would not see another's."""
    own = "" if visitor.person_id is None or settings().shared else f" {visitor.person_id}"
    return Key(FORM, f"slider {job.id}{own}", visitor=visitor)

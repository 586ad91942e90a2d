"""Explorations: a grid of small pictures in which one setting varies across and another down.

Try settings small, then render large. Each cell is a job of its own with all that a job has; a worker
prepares the pictures once for all of them (`workers/inputs.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session, selectinload

from farm.database import sessions
from farm.database.models import Exploration, Job, State
from farm.errors import InvalidInput, NotFound, Problem, WrongState
from farm.explorations.axes import Axis
from farm.fleet import registry
from farm.fleet.estimates import SharedEstimate, estimate_makespan, estimate_together
from farm.jobs import actions
from farm.jobs.guides import NO_GUIDES, GuideFiles
from farm.jobs.idempotency import Key, Request, submit_once
from farm.jobs.submit import Submission
from farm.jobs.tickets import TicketBatch
from farm.people.visitors import ANYBODY, NO_EXPLORATION, Visitor
from farm.recipe import Recipe
from farm.recipe.picture_sizes import PictureSizes, check_start
from farm.recipe.problems import LONGEST_NAME
from farm.recipe.recipe import get_title

SIZES = range(64, 385)  # px, longest side of a cell: all are previews
SIZE = 256
SIZE_MEANS = "Longest side of a cell, px."
# Every cell is a quick look.
QUICK_LOOK = {"preset": "draft", "format": "jpeg", "iterations": None, "grown_from": None}


def explore(
    content: bytes,
    styles: Sequence[bytes],
    recipe: Recipe,
    across: Axis,
    down: Axis,
    *,
    name: str = "",
    size: int = SIZE,
    key: Key | Request | None = None,
    guides: GuideFiles = NO_GUIDES,
    file_names: Sequence[str | None] = (),
    visitor: Visitor = ANYBODY,
) -> Exploration:
    """Check everything, then store, then commit all cells, then send their tickets.

    Args:
        recipe: at the size that is wanted in the end. size: of each cell's longest side, px.
        key: of the client's own making. The same request with the same one again is the same
            exploration.
        guides: what steers its cells besides photograph and paintings.
        file_names: of the photograph, then of the paintings, as far as they are known.
        visitor: whose the exploration, its cells and its uploads are from then on.

    Raises:
        InvalidInput and its kin: the first field that is wrong; nothing was stored.
        QuotaReached: the visitor's quota is too small for all cells. SignedOut: the token was revoked
            meanwhile.
        KeyReused: the key came before, with another request.
    """
    recipe = guides.complete(recipe)

    def list_parts(text: str, old: Recipe | None) -> list[bytes]:
        sides = [side.rebuild(old) if old else (side.name, side.values) for side in (across, down)]
        grid = repr((text, name, *sides, size)).encode()
        return [b"exploration", content, *styles, grid, *guides.parts]

    request = Request.from_parts(key, recipe, list_parts)

    def submit_new() -> Job:
        _check_grid(across, down, size, paintings=len(styles))
        recipes = _make_cells(recipe, across, down, size)
        sent = Submission.check(
            content,
            styles,
            recipes[0],
            name=name,
            guides=guides,
            file_names=file_names,
            visitor=visitor,
        )
        for each in recipes[1:]:
            each.check_number_of_paintings(len(styles))
            check_start(each, begins=guides.init is not None)
        sent.store(recipes)
        made = Exploration(name=sent.name, recipe=recipe.model_dump(mode="json"))
        made.owner_id = visitor.person_id
        made.across, made.down = asdict(across), asdict(down)
        cells = _create(made, sent, recipes, request)
        _send_tickets(cells)
        return cells[0]

    return get(str(submit_once(request, submit_new).exploration_id))


def _check_grid(across: Axis, down: Axis, size: int, paintings: int | None = None) -> None:
    """Check that these make a grid.

    Args:
        size: of a cell's longest side, px.
        paintings: number of them; None: not known yet.

    Raises:
        InvalidInput: they do not.
    """
    if across.name == down.name:
        raise InvalidInput(Problem("down", f"varies {down.name}, as across does; choose another"))
    if paintings not in (2, None) and "blend" in (across.name, down.name):
        field = "across" if across.name == "blend" else "down"
        raise InvalidInput(Problem(field, f"blend takes two paintings; there are {paintings}"))
    if size not in SIZES:
        raise InvalidInput(Problem("cell_size", f"must be {SIZES[0]} to {SIZES[-1]} px"))


def _create(
    made: Exploration, sent: Submission, recipes: Sequence[Recipe], request: Request | None
) -> list[Job]:
    """Add the exploration's rows, all or none, and return its cells."""
    with sessions.write_session() as session:
        sent.take_quota(session, recipes)
        session.add(made)
        session.flush()
        for number, each in enumerate(recipes):
            job = sent.create_job(session, each)
            job.exploration_id, job.cell = made.id, number
            if request and number == 0:
                request.mark(job)
        session.flush()
        return list(made.cells)


def _send_tickets(cells: Sequence[Job]) -> None:
    tickets = TicketBatch()
    for job in cells:
        tickets.send(job)


def _make_cells(recipe: Recipe, across: Axis, down: Axis, size: int) -> list[Recipe]:
    """Return the recipes of all cells, row by row.

    Raises:
        InvalidInput: a setting left its limits on the way.
    """
    for field, side in (("across", across), ("down", down)):
        for value, varied in zip(side.values, side.settings, strict=True):
            _check_step(field, value, partial(_make_cell, recipe, size, varied, {}))
    return [_make_cell(recipe, size, row, column) for row in down.settings for column in across.settings]


def _check_step(field: str, value: float | str, make: Callable[[], Recipe]) -> None:
    """Check that a value along one side makes a recipe.

    Raises:
        InvalidInput: it makes none; at the side, where a person typed it.
    """
    try:
        make()
    except InvalidInput as error:
        problem = error.problems[0]
        shown = value[:LONGEST_NAME] if isinstance(value, str) else f"{value:g}"
        limit = f"{get_title(problem.field.partition('.')[0])} {problem.message.removeprefix('input ')}"
        message = f"cannot have {shown} among its values: {limit}"
        raise InvalidInput(Problem(field, message)) from None


def _make_cell(recipe: Recipe, size: int, row: dict[str, Any], column: dict[str, Any]) -> Recipe:
    """Return the recipe of one cell.

    Raises:
        InvalidInput: a setting left its limits on the way.
    """
    start = min(recipe.start_size, size)
    fixed = {**QUICK_LOOK, "size": size, "start_size": start}
    return Recipe.parse(recipe.model_dump(mode="json") | fixed | row | column)


def enlarge_cell(exploration: Exploration, job: Job) -> Recipe:
    """Return the recipe that a cell stands for, at the size wanted in the end, growing out of it."""
    width = len(exploration.across["settings"])
    row, column = divmod(job.cell or 0, width)
    varied = exploration.down["settings"][row] | exploration.across["settings"][column]
    whole = Recipe.parse(exploration.recipe | varied)
    cell = {"grown_from": job.recipe["size"] if job.recipe["size"] <= whole.size else None}
    if whole.features == "auto" and job.features:  # the network that painted the cell
        cell["features"] = job.features
    if whole.iterations and len(whole.iterations) > 1:  # for levels that there are no more
        cell["iterations"] = None
    return Recipe.parse(whole.model_dump() | cell)


def get(exploration_id: str) -> Exploration:
    """Return one exploration with its cells, row by row.

    Raises:
        NotFound: no such exploration.
    """
    with sessions.read_session() as session:
        query = _select_with_cells().where(Exploration.id == exploration_id)
        found: Exploration | None = session.scalars(query).one_or_none()
    if found is None:
        raise NotFound(NO_EXPLORATION)
    return found


def list_newest(session: Session, limit: int, visitor: Visitor = ANYBODY) -> list[Exploration]:
    """Return the latest explorations that a visitor sees, newest first."""
    seen = _select_with_cells().where(visitor.match_visible(Exploration.owner_id))
    newest = seen.order_by(Exploration.created_at.desc(), Exploration.id.desc())
    return list(session.scalars(newest.limit(limit)))


def _select_with_cells() -> Select[Exploration]:
    return select(Exploration).options(selectinload(Exploration.cells))


def cancel(exploration_id: str) -> Exploration:
    """Cancel all cells that have not ended. Again is harmless.

    Raises:
        NotFound: no such exploration.
    """
    for job in get(exploration_id).cells:
        if job.state.ended:
            continue
        with suppress(NotFound, WrongState):
            actions.cancel(job.id)
    return get(exploration_id)


def forget(exploration_id: str) -> None:
    """Delete an exploration whose cells have all ended, with their pictures.

    Raises:
        NotFound: no such exploration.
        WrongState: a cell has not ended.
    """
    actions.delete_exploration(exploration_id)


def estimate_grid(
    session: Session, recipe: Recipe, across: Axis, down: Axis, pictures: PictureSizes, size: int = SIZE
) -> tuple[int, SharedEstimate | None]:
    """Return the number of cells that a grid would have, and what they would need; None: there are no
    workers.

    Args:
        recipe: at the size that is wanted in the end. pictures: sizes of photograph and paintings. size:
            of each cell's longest side, px.

    Raises:
        InvalidInput: these make no grid.
    """
    _check_grid(across, down, size)
    cells = _make_cells(recipe, across, down, size)
    workers = registry.list_alive(session)
    pieces = [1.0] * len(cells)
    return len(cells), estimate_together(
        cells[0],
        *pictures.photograph,
        workers,
        pieces,
        pictures.paintings,
        pictures.masks,
        pictures.keeps,
    )


def estimate_left(session: Session, exploration: Exploration) -> float | None:
    """Return the seconds until the last cell is done; None: none is left, or there are no workers.

    Cells that are finished are the measure of the others; before there is one, the workers' own speed.
    """
    waiting = [job for job in exploration.cells if job.state in (State.QUEUED, State.RUNNING)]
    workers = registry.list_alive(session)
    if not waiting or not workers:
        return None
    pieces = [1.0 - job.progress for job in waiting]
    took = [
        (job.finished_at - job.started_at).total_seconds()
        for job in exploration.cells
        if job.state is State.SUCCEEDED and job.started_at and job.finished_at
    ]
    if took:
        return estimate_makespan([sum(took) / len(took)] * len(workers), pieces)
    recipe, sizes = Recipe.model_validate(waiting[0].recipe), waiting[0].picture_sizes
    found = estimate_together(
        recipe, *sizes.photograph, workers, pieces, sizes.paintings, sizes.masks, sizes.keeps
    )
    return found.seconds if found else None

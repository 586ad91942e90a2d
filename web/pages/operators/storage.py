"""Storage, for operators: what takes how much of it, how much room is left, what retention deletes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from flask import Response, render_template, request
from flask.typing import ResponseReturnValue
from pydantic import ValidationError

from farm.database import disk, sessions
from farm.database.disk import Disk
from farm.jobs import holdings, retention
from farm.jobs.holdings import TITLES, Holdings
from farm.jobs.retention import Rules
from farm.recipe.problems import list_problems
from farm.settings import settings
from farm.storage import find_local_folder
from web.api.storage import RetentionQuery
from web.middleware.authentication import require_operator
from web.pages import blueprint
from web.pages.fragments import send_fragment

BAR_WIDTH = 1000.0  # a bar's own units, however wide it is on a page
MOST_OWNERS = 30  # that are shown
NARROWEST = 12.0  # of them, so that what there is is seen


@dataclass(frozen=True)
class Segment:
    """Part of a bar, with its line in the legend."""

    # By which it has its colour.
    kind: str
    title: str
    size_bytes: int
    # Number of things; None: they are not counted.
    count: int | None = None
    # Where it begins and how wide it is, of `BAR_WIDTH`.
    x: float = 0.0
    width: float = 0.0


@dataclass(frozen=True)
class Bar:
    """Picture of what takes how much of something."""

    title: str
    total_bytes: int
    segments: list[Segment]
    # Where the reserve begins, of `BAR_WIDTH`; None: there is none.
    reserve_x: float | None = None
    reserve_bytes: int = 0


@blueprint.get("/operators/storage")
@require_operator
def show_storage() -> ResponseReturnValue:
    """Show what the storage holds, and what would be deleted by the operator's limits, or by others."""
    given = {name: request.args.get(name, "").strip() for name in RetentionQuery.model_fields}
    problems, rules = [], Rules.from_settings()
    try:
        rules = RetentionQuery.model_validate({name: text for name, text in given.items() if text}).rules
    except ValidationError as error:
        problems = [f"{each.field} {each.message}" for each in list_problems(error, "query")]
    held = _read_held()
    with sessions.read_session() as session:
        plan = retention.plan(session, rules, held)
        owners = holdings.list_owners(session)
    page = render_template(
        "operators/storage.html",
        given=given,
        problems=problems,
        rules=rules,
        own_rules=Rules.from_settings(),
        describe_rules=retention.describe_rules,
        plan=plan,
        owners=owners[:MOST_OWNERS],
        more_owners=len(owners[MOST_OWNERS:]),
        would_go=retention.describe_plan(plan),
        **_draw(held),
    )
    return page, 422 if problems else 200


@blueprint.get("/operators/storage/held")
@require_operator
def refresh_storage() -> Response:
    """Return the part of it that changes, alone."""
    return send_fragment("operators/_storage.html", **_draw(_read_held()))


def _read_held() -> Holdings:
    with sessions.read_session() as session:
        return holdings.read(session)


def _draw(found: Holdings) -> dict[str, Any]:
    """Return what that part shows."""
    disks = disk.list_disks()
    return {"held": found, "bars": [_draw_held(found), *(_draw_disk(each, found) for each in disks)]}


def _draw_held(found: Holdings) -> Bar:
    segments = [
        Segment(kind, TITLES[kind], part.size_bytes, part.count) for kind, part in found.parts.items()
    ]
    return Bar("In the storage", found.total_bytes, _lay_out(segments, found.total_bytes))


def _draw_disk(found: Disk, held: Holdings) -> Bar:
    """Draw a disk; what the farm's pictures take of it is known of their own alone."""
    used = found.total - found.free
    mine = 0
    title = "Disk of the database"
    if found.folder == find_local_folder(settings().storage):
        mine, title = min(held.total_bytes, used), "Disk of the pictures"
    segments = [
        Segment("farm", "Pictures of this farm", mine),
        Segment("others", "Everything else", used - mine),
        Segment("free", "Free", found.free),
    ]
    reserve_x = BAR_WIDTH * (1 - found.reserve / found.total) if found.reserve else None
    shown = [each for each in segments if each.kind != "farm" or mine]
    return Bar(title, found.total, _lay_out(shown, found.total), reserve_x, found.reserve)


def _lay_out(segments: Sequence[Segment], total: int) -> list[Segment]:
    """Return the same with their places; what is there at all is wide enough to be seen."""
    shares = [each.size_bytes / total if total else 0.0 for each in segments]
    wanted = [max(BAR_WIDTH * share, NARROWEST) if share else 0.0 for share in shares]
    scale = BAR_WIDTH / sum(wanted) if sum(wanted) else 0.0
    widths = [width * scale for width in wanted]
    starts = accumulate(widths, initial=0.0)
    return [
        Segment(each.kind, each.title, each.size_bytes, each.count, round(start, 2), round(width, 2))
        for each, start, width in zip(segments, starts, widths, strict=False)
    ]

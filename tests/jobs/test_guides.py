"""Masks, what stays and a start: checked against the photograph, and part of the request."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import update

from farm.database import sessions
from farm.database.models import Job, State, Upload
from farm.errors import InvalidInput, KeyReused, NotAPicture
from farm.jobs import actions, cleanup, states
from farm.jobs.guides import GuideFiles
from farm.jobs.idempotency import Key, compute_digest
from farm.jobs.submit import submit
from farm.people.visitors import ANYBODY
from farm.recipe import Recipe
from farm.storage import storage
from tests.jobs.test_submit import picture, rows

pytestmark = pytest.mark.usefixtures("database")

PHOTOGRAPH, PAINTINGS = picture(0, 120, 80), [picture(1), picture(2)]
RECIPE = Recipe(size=96)


def half(side: str, width: int = 120, height: int = 80, mode: str = "L") -> bytes:
    """A mask that is white in the left or the right half."""
    marked = np.zeros((height, width), np.uint8)
    marked[:, slice(width // 2) if side == "left" else slice(width // 2, None)] = 255
    buffer = io.BytesIO()
    Image.fromarray(marked).convert(mode).save(buffer, "PNG")
    return buffer.getvalue()


BOTH = GuideFiles(
    masks=(half("left"), half("right", 240, 160)), keep=half("left"), init=picture(3, 60, 40)
)


def submitted(guides: GuideFiles, **given: Any) -> Job:
    return submit(PHOTOGRAPH, PAINTINGS, RECIPE, guides=guides, **given)


def test_they_are_bound_to_the_job_by_their_roles_and_go_with_it() -> None:
    job = submitted(BOTH)
    assert [(each.role.value, each.position, each.upload.size) for each in job.guides] == [
        ("mask", 0, (80, 120)),
        ("mask", 1, (160, 240)),
        ("keep", 0, (80, 120)),  # the same bytes as the first mask: one upload
        ("init", 0, (40, 60)),
    ]
    assert rows(Upload) == 6
    assert storage().get(job.masks[1].upload.key) == BOTH.masks[1]

    # They are kept as long as the job uses them, whatever their age, and no longer
    with sessions.write_session() as session:
        session.execute(update(Upload).values(sent_at=job.created_at.replace(year=2020)))
    cleanup.sweep()
    assert rows(Upload) == 6
    with sessions.write_session() as session:
        states.cancel(session, job.id)
        states.retry(session, job.id)
    assert len(now(job).guides) == 4
    with sessions.write_session() as session:
        states.cancel(session, job.id)
    actions.delete(job.id)
    cleanup.sweep()
    assert rows(Upload) == 0


def now(job: Job) -> Job:
    with sessions.read_session() as session:
        return states.get(session, job.id)


def black(mode: str = "L") -> bytes:
    return flat(0, mode)


def flat(level: int, mode: str = "L") -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (120, 80), level).convert(mode).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("guides", "error", "message"),
    [
        (
            GuideFiles((half("left"),)),
            InvalidInput,
            "mask: was sent once for 2 paintings; send one for each",
        ),
        (GuideFiles((half("left"),) * 3), InvalidInput, "mask: was sent 3 times for 2 paintings"),
        (GuideFiles((half("left"), black())), InvalidInput, "mask 2: is black all over"),
        (GuideFiles((half("left"), b"hay")), NotAPicture, "mask 2: is not a JPEG"),
        (GuideFiles((b"", half("left"))), InvalidInput, "mask 1: is empty"),
        (
            GuideFiles((half("left"), half("right", 120, 82))),
            InvalidInput,
            "mask 2: is 120 x 82 px, the photograph 120 x 80; it needs the same proportion",
        ),
        (GuideFiles(keep=half("left", 80, 120)), InvalidInput, "keep: is 80 x 120 px, the photograph"),
        (GuideFiles(keep=black("RGB")), InvalidInput, "keep: is black all over"),
        (GuideFiles(keep=flat(255)), InvalidInput, "keep: is white all over, so that nothing is left"),
        (
            GuideFiles((half("left"), half("left")), half("left")),
            InvalidInput,
            "mask: paints only where the photograph stays, so that nothing is left to paint;"
            " keep: is white wherever a mask paints",
        ),
        (
            GuideFiles((half("left"),) * 2, half("left", 240, 160)),
            InvalidInput,
            "mask: paints only where",
        ),
        (
            GuideFiles((half("left", 240, 160),) * 2, half("left")),
            InvalidInput,
            "mask: paints only where",
        ),
        (GuideFiles(init=picture(3, 80)), InvalidInput, "init: is 80 x 80 px, the photograph"),
    ],
)
def test_what_is_wrong_names_its_field_and_leaves_no_row_and_no_file(
    guides: GuideFiles, error: type[InvalidInput], message: str
) -> None:
    with pytest.raises(error) as caught:
        submitted(guides)
    assert type(caught.value) is error
    assert str(caught.value).startswith(message)
    assert (rows(Job), rows(Upload), storage().list_keys()) == (0, 0, [])


def test_black_all_over_marks_nothing_also_where_the_same_file_came_as_a_picture() -> None:
    submit(black("RGB"), PAINTINGS, RECIPE)
    with pytest.raises(InvalidInput, match="keep: is black all over"):
        submitted(GuideFiles(keep=black("RGB")))


def test_a_proportion_may_be_off_by_what_rounding_makes_of_it() -> None:
    assert submitted(GuideFiles(keep=half("left", 1024, 680))).state is State.QUEUED


def test_they_are_part_of_the_request_and_without_them_it_is_what_it_was() -> None:
    key = Key.from_client("mine", ANYBODY)
    first = submitted(BOTH, key=key)
    assert submitted(BOTH, key=key).id == first.id
    for other in (
        GuideFiles(),
        GuideFiles(BOTH.masks[::-1], BOTH.keep, BOTH.init),
        GuideFiles(BOTH.masks, None, BOTH.init),
        GuideFiles(BOTH.masks, BOTH.keep),
        GuideFiles((*BOTH.masks, b"keep"), None, BOTH.init),
    ):
        with pytest.raises(KeyReused):
            submitted(other, key=key)

    # A request of before there were any has the digest that it had
    plain = submit(PHOTOGRAPH, PAINTINGS, RECIPE, key=Key.from_client("other", ANYBODY))
    as_before = [PHOTOGRAPH, *PAINTINGS, RECIPE.dump_given().encode(), b"", b"0"]
    assert plain.request_sha256 == compute_digest(as_before)

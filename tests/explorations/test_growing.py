"""Large pictures that go on from the pixels of a finished one."""

from __future__ import annotations

from typing import Any

import pytest

from farm.database import sessions
from farm.database.models import Job, State
from farm.errors import InvalidInput
from farm.explorations import grids, growing
from farm.explorations.axes import axis
from farm.explorations.grids import explore
from farm.jobs import actions, states
from farm.jobs.guides import GuideFiles
from farm.jobs.submit import submit
from farm.recipe import Recipe
from farm.storage import storage
from tests.jobs.test_guides import half
from tests.jobs.test_submit import picture
from tests.web.conftest import bring_to

pytestmark = pytest.mark.usefixtures("database")

PHOTOGRAPH, PAINTINGS = picture(0, 96, 72), [picture(1), picture(2)]
KEPT = half("left", 96, 72)


def make_draft(state: State = State.SUCCEEDED, **recipe: Any) -> Job:
    """A job with a map of what stays, whose result is 96 px wide."""
    settings = Recipe.parse({"size": 96, "preset": "draft", "seed": 5} | recipe)
    job = submit(PHOTOGRAPH, PAINTINGS, settings, name="Liked", guides=GuideFiles(keep=KEPT))
    bring_to(job, state)
    with sessions.read_session() as session:
        return states.get(session, job.id)


def grow(job_id: str, **given: Any) -> growing.Parts:
    return growing.prepare(job_id, Recipe.parse(given))


def test_a_finished_picture_grows_with_its_own_pictures_and_settings_from_its_own_pixels() -> None:
    draft = make_draft(iterations=(5, 4), start_size=64)
    parts = grow(draft.id, size=200, preset="fine")
    assert (parts.content, parts.styles, parts.name) == (PHOTOGRAPH, PAINTINGS, "Liked")
    assert parts.guides == GuideFiles(keep=KEPT, init=storage().get(draft.result_key))
    recipe = parts.recipe
    assert (recipe.size, recipe.preset, recipe.seed) == (200, "fine", 5)
    assert (recipe.init, recipe.grown_from, recipe.iterations) == ("picture", 96, None)
    assert recipe.level_sizes[0] > 96

    # And is a job like any other, which lives on without the draft
    larger = submit(parts.content, parts.styles, recipe, guides=parts.guides)
    actions.delete(draft.id)
    with sessions.read_session() as session:
        found = states.get(session, larger.id)
        assert found.start
        assert storage().get(found.start.upload.key) == parts.guides.init


def test_the_same_pictures_may_be_sent_again() -> None:
    draft = make_draft()
    parts = growing.prepare(draft.id, Recipe(size=128), PHOTOGRAPH, PAINTINGS)
    assert parts == grow(draft.id, size=128)


def test_another_start_than_the_picture_that_grows_is_refused() -> None:
    draft = make_draft()
    with pytest.raises(InvalidInput, match="init: is noise, and the finished picture is the start"):
        grow(draft.id, size=128, init="noise")
    assert grow(draft.id, size=128, init="picture").recipe.init == "picture"


@pytest.mark.parametrize(
    ("sent", "missing"), [((None, PAINTINGS), "content"), ((PHOTOGRAPH, []), "style")]
)
def test_some_of_its_pictures_alone_are_refused_by_what_is_missing(
    sent: tuple[bytes | None, list[bytes]], missing: str
) -> None:
    with pytest.raises(InvalidInput, match=f"{missing}: is missing beside the others; with from_job"):
        growing.prepare(make_draft().id, Recipe(size=128), *sent)


@pytest.mark.parametrize("state", [State.QUEUED, State.RUNNING, State.FAILED, State.CANCELLED])
def test_what_has_not_finished_does_not_grow(state: State) -> None:
    with pytest.raises(InvalidInput, match=f"from_job: is {state}; a job grows once it has succeeded"):
        grow(make_draft(state).id, size=128)


@pytest.mark.parametrize("job_id", ["0" * 32, "no id", "../../etc"])
def test_what_is_not_there_does_not_grow(job_id: str) -> None:
    with pytest.raises(InvalidInput, match="from_job: is no job that is here"):
        grow(job_id, size=128)


def test_a_draft_that_was_deleted_or_lost_its_file_is_named() -> None:
    draft = make_draft()
    storage().delete(draft.result_key)
    with pytest.raises(InvalidInput, match="from_job: has files that are no longer whole"):
        grow(draft.id, size=128)
    actions.delete(draft.id)
    with pytest.raises(InvalidInput, match="perhaps it was deleted"):
        grow(draft.id, size=128)


@pytest.mark.parametrize("size", [64, 96, None])
def test_a_picture_grows_larger_or_not_at_all(size: int | None) -> None:
    draft, given = make_draft(), {} if size is None else {"size": size}
    message = f"size: is {size or 96} px, and the picture that grows has 96 already"
    with pytest.raises(InvalidInput, match=message):
        grow(draft.id, **given)


@pytest.mark.parametrize(
    ("content", "styles"),
    [
        (picture(3), PAINTINGS),
        (PHOTOGRAPH, PAINTINGS[::-1]),
        (PHOTOGRAPH, PAINTINGS[:1]),
    ],
)
def test_other_pictures_are_refused(content: bytes, styles: list[bytes]) -> None:
    with pytest.raises(InvalidInput, match="from_job: was made from other pictures than were sent"):
        growing.prepare(make_draft().id, Recipe(size=128), content, styles)


def test_masks_of_its_own_are_not_replaced() -> None:
    files = GuideFiles(masks=(KEPT, KEPT), keep=KEPT, init=PHOTOGRAPH)
    with pytest.raises(InvalidInput) as caught:
        growing.prepare(make_draft().id, Recipe(size=128), guides=files)
    own = "came, and a picture that grows has the finished job's own; leave it out"
    assert [(each.field, each.message) for each in caught.value.problems] == [
        ("mask", own),
        ("keep", own),
        ("init", "came, and the finished picture is the start; leave it out"),
    ]


def test_the_size_of_the_draft_is_its_own() -> None:
    draft = make_draft()
    with pytest.raises(InvalidInput, match="grown_from: is 80, and the picture that grows has 96 px"):
        grow(draft.id, size=128, grown_from=80)
    assert grow(draft.id, size=128, grown_from=96).recipe.grown_from == 96


def test_a_setting_that_is_given_goes_before_the_drafts_also_where_it_is_the_default() -> None:
    draft = make_draft(colour="photograph", stroke_arrows="0,0,1,1")
    assert grow(draft.id, size=128).recipe.colour == "photograph"
    recipe = grow(draft.id, size=128, colour="painting", stroke_arrows=()).recipe
    assert (recipe.colour, recipe.stroke_arrows) == ("painting", ())


def test_a_draft_is_not_larger_than_the_picture() -> None:
    for size in (128, 96):
        submit(PHOTOGRAPH, PAINTINGS, Recipe(size=size, grown_from=96))
    with pytest.raises(InvalidInput, match="grown_from: is 96 px, more than the 90 of the picture"):
        submit(PHOTOGRAPH, PAINTINGS, Recipe(size=90, grown_from=96))


def test_a_cell_that_is_larger_than_what_it_stands_for_is_no_draft_of_it() -> None:
    recipe = Recipe(size=80)
    sides = axis("across", "balance", recipe, [0, 2]), axis("down", "style_scale", recipe, [1])
    made = explore(PHOTOGRAPH, PAINTINGS, recipe, *sides, size=96)
    assert grids.enlarge_cell(made, made.cells[0]).grown_from is None


def test_a_cell_grows_to_what_it_stands_for() -> None:
    recipe = Recipe(size=512, preset="fine", tv_weight=3.0)
    sides = axis("across", "balance", recipe, [0, 2]), axis("down", "style_scale", recipe, [1])
    made = explore(PHOTOGRAPH, PAINTINGS, recipe, *sides, size=96)
    bring_to(made.cells[0], State.SUCCEEDED)
    grown = grow(made.cells[0].id).recipe
    wanted = {"init": "picture", "grown_from": 96}
    assert grown == recipe.model_copy(update=wanted)

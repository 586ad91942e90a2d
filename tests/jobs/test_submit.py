"""Submission on both databases: everything is checked before anything is kept."""

from __future__ import annotations

import io
import threading
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import func, select

from farm.database import sessions
from farm.database.models import Job, State, Upload, WorkClass
from farm.database.people import Role
from farm.errors import InvalidInput, KeyReused, QuotaReached
from farm.jobs import tickets
from farm.jobs.idempotency import FORM, ID, Key, compute_digest
from farm.jobs.submit import Photograph, submit, submit_together
from farm.people import accounts, quotas
from farm.people.quotas import Limits
from farm.people.visitors import ANYBODY, Visitor
from farm.recipe import Recipe
from farm.storage import storage

pytestmark = pytest.mark.usefixtures("database")

MINE = Key.from_client("mine", ANYBODY)


def picture(seed: int, width: int = 80, height: int | None = None) -> bytes:
    shape = (height or width, width, 3)
    pixels = np.random.default_rng(seed).integers(0, 255, shape, dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def veil(alpha: int) -> bytes:
    """A picture with transparency."""
    buffer = io.BytesIO()
    Image.new("RGBA", (80, 80), (200, 100, 50, alpha)).save(buffer, "PNG")
    return buffer.getvalue()


def rows(table: type) -> int:
    with sessions.read_session() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def test_a_job_is_accepted_while_the_queue_is_away_and_its_ticket_is_due() -> None:
    job = submit(picture(0), [picture(1)], Recipe(size=200), name="  two   words ")
    assert (job.state, job.name, job.width, job.height) == (State.QUEUED, "two words", 200, 200)
    assert storage().get(job.content.key) == picture(0)
    with sessions.write_session() as session:
        assert tickets.collect_due_tickets(session, 60) == [WorkClass.PREVIEW]


@pytest.mark.parametrize(
    ("styles", "options", "field"),
    [
        ([], {}, "style"),
        ([b"no picture"], {}, "style"),
        ([picture(1, 20)], {}, "style"),
        ([picture(1)] * 9, {}, "style"),
        ([picture(1)], {"recipe": Recipe(blend=(1, 1))}, "blend"),
        ([picture(1)], {"recipe": Recipe(style_scale=(1, 2))}, "style_scale"),
        ([picture(1)], {"name": "x" * 121}, "name"),
        ([picture(1)], {"name": "nul\x00"}, "name"),
        ([picture(1)], {"priority": 1000}, "priority"),
        ([picture(1)], {"content": picture(0, 640, 32), "recipe": Recipe(size=64)}, "size"),
        ([picture(1)], {"content": veil(0)}, "content"),
    ],
)
def test_what_is_wrong_leaves_no_row_and_no_file(
    styles: list[bytes], options: dict[str, object], field: str
) -> None:
    options = dict(options)
    recipe = options.pop("recipe", Recipe())
    with pytest.raises(InvalidInput) as caught:
        submit(options.pop("content", picture(0)), styles, recipe, **options)  # type: ignore[arg-type]
    assert [problem.field for problem in caught.value.problems] == [field]
    assert (rows(Job), rows(Upload), storage().list_keys()) == (0, 0, [])


@pytest.mark.usefixtures("any_storage")
def test_the_same_pictures_at_once_are_kept_once() -> None:
    failed: list[BaseException] = []

    def one() -> None:
        try:
            submit(picture(0), [picture(1)], Recipe())
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert (rows(Job), rows(Upload)) == (8, 2)
    assert len(storage().list_keys()) == 4  # two pictures and their thumbnails


def test_the_same_request_with_the_same_key_is_the_same_job_even_at_once() -> None:
    ids: list[str] = []

    def one() -> None:
        ids.append(submit(picture(0), [picture(1)], Recipe(), name="a", key=MINE).id)

    threads = [threading.Thread(target=one) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 6
    assert len(set(ids)) == 1
    assert rows(Job) == 1


@pytest.mark.parametrize(
    "other",
    [{"content": picture(2)}, {"styles": [picture(1)] * 2}, {"recipe": Recipe(seed=9)}, {"name": "b"}],
)
def test_another_request_with_the_same_key_is_refused(other: dict[str, Any]) -> None:
    request: dict[str, Any] = {
        "content": picture(0),
        "styles": [picture(1)],
        "recipe": Recipe(),
        "name": "a",
    }
    submit(**request, key=MINE)
    with pytest.raises(KeyReused):
        submit(**request | other, key=MINE)
    assert rows(Job) == 1


class LaterRecipe(Recipe):
    """The recipe of a version to come: another default, and a setting more."""

    tv_weight: float = 3.0
    grain: float = 0.0


def test_a_key_finds_its_job_after_an_upgrade_that_brought_a_setting() -> None:
    sent: dict[str, Any] = {"content": picture(0), "styles": [picture(1)], "name": "a", "key": MINE}
    made = submit(**sent, recipe=Recipe(seed=7))
    assert submit(**sent, recipe=LaterRecipe(seed=7)).id == made.id
    with pytest.raises(KeyReused):
        submit(**sent, recipe=LaterRecipe(seed=7, grain=1.0))


WRITTEN_BY_0_2 = (
    '{"version":"0.2","size":512,"preset":"standard","format":"png","content_weight":0.06,'
    '"style_weight":1.0,"tv_weight":1.0,"content_layers":{"relu4_2":1.0},"style_layers":{"relu1_1":16.0,'
    '"relu2_1":8.0,"relu3_1":4.0,"relu4_1":2.0,"relu5_1":1.0},"style_loss":"wasserstein",'
    '"style_scale":1.0,"blend":null,"start_size":128,"grown_from":null,"iterations":null,'
    '"tolerance":0.0,"optimizer":"adam","init":"content","seed":7,"precision":"auto","features":"auto"}'
)


def test_a_key_of_0_2_which_took_all_settings_for_the_request_finds_its_job() -> None:
    parts = [picture(0), picture(1), WRITTEN_BY_0_2.encode(), b"a", b"0"]
    sent: dict[str, Any] = {"content": picture(0), "styles": [picture(1)], "name": "a", "key": MINE}
    made = submit(**sent, recipe=Recipe(seed=7))
    with sessions.write_session() as session:
        session.get_one(Job, made.id).request_sha256 = compute_digest(parts)
    assert submit(**sent, recipe=Recipe(seed=7)).id == made.id


def test_keys_of_two_owners_never_meet() -> None:
    text = "0" * 32
    keys = [Key.from_client(text, ANYBODY)]
    keys += [Key(owner, text) for owner in ("person 1", "token ada", "token form", "token id")]
    keys += [Key(FORM, text), Key(ID, text)]
    for seed, key in enumerate(keys):
        made = submit(picture(0), [picture(1)], Recipe(seed=seed), key=key)
        assert submit(picture(0), [picture(1)], Recipe(seed=seed), key=key).id == made.id
    assert rows(Job) == len(keys)


def test_an_id_that_another_job_has_is_refused() -> None:
    known = submit(picture(0), [picture(1)], Recipe())
    with pytest.raises(KeyReused, match="There is a job with this id already"):
        submit(picture(0), [picture(1)], Recipe(), job_id=known.id)
    assert rows(Job) == 1


@pytest.mark.parametrize("key", ["", "x" * 201, "ö", "a\nb"])
def test_a_key_that_is_none_is_refused(key: str) -> None:
    with pytest.raises(InvalidInput, match="Idempotency-Key"):
        Key.from_client(key, ANYBODY)


@pytest.mark.parametrize(("content", "keeps"), [(picture(0), False), (veil(128), True)])
def test_what_a_photographs_transparency_takes_is_counted_before_it_is_accepted(
    content: bytes, keeps: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr("farm.jobs.submit.estimate", lambda *_, **given: asked.append(given["keeps"]))
    submit(content, [picture(1)], Recipe(size=200))
    assert asked == [keeps, keeps]


@pytest.mark.parametrize(("waiting", "words"), [(2, "and this makes 3"), (3, "and 1 wait")])
def test_pictures_that_are_submitted_together_are_all_or_none(waiting: int, words: str) -> None:
    # Given a person with a picture that waits, whose quota has no room for three more
    with sessions.write_session() as session:
        person = accounts.add(session, "Ada", Role.USER, by="a test")
        quotas.change_limits(session, "Ada", Limits(waiting=waiting), by="a test")
        ada = Visitor(person.id, "Ada", Role.USER)
    submit(picture(0), [picture(1)], Recipe(), visitor=ada)
    frames = [Photograph(picture(number), f"frame {number}", "frame.png") for number in (3, 4, 5)]

    # When three are submitted together, none is made
    with pytest.raises(QuotaReached, match=words):
        submit_together(frames, [picture(1)], Recipe(), visitor=ada)
    assert (rows(Job), rows(Upload)) == (1, 2)

    # And with room all three are, once for each key
    with sessions.write_session() as session:
        quotas.change_limits(session, "Ada", Limits(waiting=4), by="a test")
    key = Key.from_client("three", ada)
    first = submit_together(frames, [picture(1)], Recipe(), key=key, tag="studio", visitor=ada)
    assert (
        submit_together(frames, [picture(1)], Recipe(), key=key, tag="studio", visitor=ada).id
        == first.id
    )
    with sessions.read_session() as session:
        made = session.scalars(select(Job).where(Job.tag == "studio").order_by(Job.name)).all()
    assert [(job.name, job.owner_id) for job in made] == [
        (f"frame {n}", ada.person_id) for n in (3, 4, 5)
    ]

"""Films on both databases: their parts begin, end, fail, are cancelled and go on."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import Session

from farm.database import disk, sessions
from farm.database.deliveries import Delivery
from farm.database.films import Film, FilmFrame
from farm.database.models import Job, JobPicture, State, Upload, WorkClass
from farm.database.people import Role as RoleOfPerson
from farm.errors import (
    AttemptLost,
    InvalidInput,
    KeyReused,
    NoRoom,
    NotFound,
    QuotaReached,
    QuotaTooSmall,
    WrongState,
)
from farm.films import films
from farm.films.settings import FilmSettings
from farm.jobs import actions, attempts, cleanup, lists, retention, states
from farm.jobs.guides import GuideFiles
from farm.jobs.idempotency import Key
from farm.people import accounts, quotas
from farm.people.quotas import Limits
from farm.people.visitors import ANYBODY, Visitor
from farm.recipe.film import Role
from farm.storage import storage
from farm.webhooks import deliveries, payload
from tests.films.made import (
    FRAMES,
    claim_part,
    finish,
    get_part,
    list_parts,
    make_film,
    make_picture,
)

pytestmark = pytest.mark.usefixtures("database", "clips_without_a_broker")
QUEUED, RUNNING, DONE = State.QUEUED, State.RUNNING, State.SUCCEEDED


def paint_all(film: Film) -> None:
    """Paint a film to its end, part after part, as one worker does."""
    while claim := claim_part():
        finish(claim)
    assert films.get(film.id).outcome is not None


def test_parts_begin_once_those_they_need_are_done_and_the_last_one_is_the_films_end() -> None:
    # Given a film, of which the first anchor alone can begin
    film = make_film()
    assert list_parts(film) == {0: QUEUED}
    assert films.compute_state(film) is QUEUED
    assert get_part(film, 0).work_class is WorkClass.STANDARD  # of 64 px, yet no quick look

    # When it is done, the next anchor can, and then the stretch between them and one more anchor
    begun = [claim_part()]
    assert begun[0] is not None
    assert films.compute_state(films.get(film.id)) is RUNNING
    finish(begun[0])
    assert list_parts(film) == {0: DONE, 1: QUEUED}
    second = claim_part()
    assert second is not None
    finish(second)
    assert list_parts(film) == {0: DONE, 1: DONE, 2: QUEUED, 3: QUEUED}
    assert [get_part(film, part).film_role for part in (1, 2)] == [Role.ANCHOR, Role.STRETCH]
    assert get_part(film, 2).name == "Walk, frames 2 to 4"

    # And at last the join, whose end is the film's
    paint_all(film)
    found = films.get(film.id)
    assert [job.film_part for job in found.parts] == list(range(7))
    assert films.compute_state(found) is DONE
    with sessions.read_session() as session:
        assert [frame.number for frame in films.list_frames(session, film.id)] == list(range(FRAMES))
    assert films.compute_progress(found, FRAMES) == 1.0


def test_two_who_advance_a_film_at_one_moment_begin_each_part_once() -> None:
    # Given a film whose first part is done, though nobody has begun the next
    film = make_film()
    claim = claim_part()
    assert claim is not None
    with sessions.write_session() as session:
        states.succeed(session, claim.attempt, {})

    # When two go on with it at one moment, and the janitor after them
    both = threading.Barrier(2)

    def settle() -> None:
        both.wait()
        films.settle(film.id)

    threads = [threading.Thread(target=settle) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    films.settle_all()

    assert list_parts(film) == {0: DONE, 1: QUEUED}


def test_parts_are_in_no_list_and_are_neither_retried_nor_deleted_alone() -> None:
    film = make_film()
    with sessions.read_session() as session:
        assert lists.page(session, lists.ListQuery()).jobs == []
        assert lists.count_by_state(session)[QUEUED] == 0
    part = get_part(film, 0)
    assert part.look_sha256 is None
    actions.cancel(part.id)
    for action in (actions.retry, actions.delete):
        with pytest.raises(WrongState, match="part of a film"):
            action(part.id)

    # And a part that is cancelled stops its film
    films.settle_all()
    assert films.compute_state(films.get(film.id)) is State.CANCELLED


def test_a_cancelled_film_stops_all_its_parts_and_begins_none_until_it_is_retried() -> None:
    # Given a film with two parts waiting and one at work
    film = make_film()
    for _ in range(2):
        claim = claim_part()
        assert claim is not None
        finish(claim)
    at_work = claim_part()
    assert at_work is not None

    # When it is cancelled, what waits is cancelled at once, and what is at work stops soon
    assert films.compute_state(films.cancel(film.id)) is State.CANCELLING
    films.cancel(film.id)  # again is harmless
    assert sorted(list_parts(film).values()) == sorted([DONE, DONE, State.CANCELLED, State.CANCELLING])
    with pytest.raises(WrongState, match="still stopping"):
        films.retry(film.id)
    with sessions.write_session() as session:
        states.confirm_cancelled(session, at_work.attempt)
    films.settle_all()
    assert claim_part() is None
    assert films.compute_state(films.get(film.id)) is State.CANCELLED

    # And retried, it goes on to its end
    assert films.compute_state(films.retry(film.id)) is RUNNING
    with pytest.raises(WrongState, match="not ended"):
        films.retry(film.id)
    paint_all(film)
    assert films.compute_state(films.get(film.id)) is DONE
    with pytest.raises(WrongState, match="already succeeded"):
        films.cancel(film.id)


def test_more_parts_than_may_wait_are_retried_once_nothing_else_waits() -> None:
    # Given a person of whose jobs one may wait, and two of whose film's parts were cancelled
    with sessions.write_session() as session:
        person = accounts.add(session, "Ada", RoleOfPerson.USER, by="a test")
        quotas.change_limits(session, "Ada", Limits(waiting=1), by="a test")
        ada = Visitor(person.id, "Ada", RoleOfPerson.USER)
    film = make_film(visitor=ada)
    for _ in range(2):
        claim = claim_part()
        assert claim is not None
        finish(claim)
    films.cancel(film.id)

    # While something else waits, it is not retried
    with sessions.write_session() as session:
        other = Job(name="a", work_class=WorkClass.PREVIEW, recipe={}, width=1, height=1)
        other.owner_id = ada.person_id
        session.add(other)
    with pytest.raises(QuotaReached, match="quota of waiting jobs is 1, and 1 wait"):
        films.retry(film.id)
    assert films.compute_state(films.get(film.id)) is State.CANCELLED
    actions.cancel(other.id)
    films.retry(film.id)
    assert list(list_parts(film).values()).count(QUEUED) == 2


def test_a_film_whose_frames_find_no_room_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    # 10 frames of 43 x 64 px, 3 bytes each: 82,560 bytes at most
    with sessions.write_session() as session:
        person = accounts.add(session, "Ada", RoleOfPerson.USER, by="a test")
        quotas.change_limits(session, "Ada", Limits(storage_gb=0.00008), by="a test")
        ada = Visitor(person.id, "Ada", RoleOfPerson.USER)
    with pytest.raises(QuotaTooSmall, match="take 0 kB, and this may take 83 kB"):
        make_film(visitor=ada)
    with monkeypatch.context() as small:
        few = disk.Disk(Path("pictures"), free=90_000, total=10**9, reserve=10_000)
        small.setattr(disk, "_measure", lambda folder: few)
        small.setattr(disk, "describe_shortage", lambda: None)
        with pytest.raises(NoRoom, match="has 80 kB for new pictures, and this may take 83 kB"):
            make_film()
    with sessions.read_session() as session:
        assert session.scalar(select(func.count()).select_from(Upload)) == 0
    make_film()


def test_lists_read_of_parts_and_frames_what_they_show() -> None:
    film, other = make_film(), make_film(name="Another")
    paint_all(film)  # and the other one
    with sessions.read_session() as session:
        listed = films.list_newest(session, 9)
        painted = films.list_painted(session, [each.id for each in listed])
        for unread in ("pictures", "recipe"):
            with pytest.raises(InvalidRequestError):
                getattr(listed[0].parts[0], unread)
    assert {each.id: films.compute_state(each) for each in listed} == {film.id: DONE, other.id: DONE}
    assert painted == {each.id: list(range(FRAMES)) for each in (film, other)}

    # And of one film the pictures of a part alone, which are those of all
    parts = films.get(film.id).parts
    assert ["pictures" in vars(job) for job in parts] == [True, *[False] * 6]


def test_a_film_that_cannot_be_settled_hinders_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    broken, other = make_film(), make_film(name="Another")
    actions.cancel(get_part(broken, 0).id)
    actions.cancel(get_part(other, 0).id)
    advance = films.advance

    def break_off(session: Session, film_id: str) -> list[Job]:
        if film_id == broken.id:
            raise ValueError("a film that nobody can read")
        return advance(session, film_id)

    monkeypatch.setattr(films, "advance", break_off)
    films.settle_all()
    assert [films.get(film.id).outcome for film in (broken, other)] == [None, State.CANCELLED]


def test_a_part_that_fails_fails_its_film_in_words_that_name_its_frames() -> None:
    film = make_film(webhook_url="https://example.org/hook")
    for _ in range(2):
        claim = claim_part()
        assert claim is not None
        finish(claim)
    anchor, stretch = sorted(
        filter(None, (claim_part(), claim_part())), key=lambda c: -(c.job.film_part or 0)
    )

    # When a stretch fails while an anchor is at work
    with sessions.write_session() as session:
        states.fail(session, stretch.attempt, "The renderer broke.")
        films.advance(session, film.id)
    films.settle(film.id)
    films.settle_all()

    # Then the film has failed, once, and the anchor is to stop
    found = films.get(film.id)
    assert (found.outcome, found.error) == (State.FAILED, "Frames 2 to 4: The renderer broke.")
    assert list_parts(film)[anchor.job.film_part] is State.CANCELLING
    with sessions.read_session() as session:
        assert session.scalar(select(func.count()).select_from(Delivery)) == 1

    # And its receiver is told of the film, not of a part
    with sessions.write_session() as session:
        told = deliveries.claim(session)
    assert told is not None
    assert told.url == "https://example.org/hook"
    notice = payload.build_notice(told)
    assert isinstance(notice, payload.FilmNotice)
    assert (notice.event, notice.film.id, notice.film.error) == ("film.failed", film.id, found.error)


def test_frames_of_earlier_attempts_stay_until_the_film_is_deleted() -> None:
    # Given a part whose first attempt stored a frame and half a one, and was lost
    film = make_film()
    claim = claim_part()
    assert claim is not None
    keys = [f"jobs/{claim.job.id}/1/frames/{number}.png" for number in (0, 1)]
    for key in keys:
        storage().put(key, b"a frame")
    with sessions.write_session() as session:
        attempts.record_frame(session, claim.attempt, film.id, 0, 7)
        states.requeue(session, claim.attempt, "its worker was stopped")

    # When another has begun, the frame that is recorded stays
    again = claim_part()
    assert again is not None
    cleanup.remove_files(claim.job.id)
    assert [storage().exists(key) for key in keys] == [True, False]

    # And a stale attempt records none
    with pytest.raises(AttemptLost), sessions.write_session() as session:
        attempts.record_frame(session, claim.attempt, film.id, 2, 7)

    # When the film is deleted, so are its frames and its parts; the clip goes when nobody has used it
    with pytest.raises(WrongState, match="cancel it first"):
        films.delete(film.id)
    films.cancel(film.id)
    with pytest.raises(WrongState):
        films.delete(film.id)
    with sessions.write_session() as session:
        states.confirm_cancelled(session, again.attempt)
    films.delete(film.id)
    assert not storage().exists(keys[0])
    with sessions.read_session() as session:
        for table in (Film, FilmFrame, Job, JobPicture):
            assert session.scalar(select(func.count()).select_from(table)) == 0
    with pytest.raises(NotFound):
        films.get(film.id)


def test_the_same_request_is_the_same_film() -> None:
    key = Key.from_client("walk", ANYBODY)
    first = make_film(key=key)
    assert make_film(key=key).id == first.id
    with pytest.raises(KeyReused):
        make_film(key=key, settings=FilmSettings(every=2))
    with sessions.read_session() as session:
        assert session.scalar(select(func.count()).select_from(Film)) == 1
        clip = session.scalars(select(Upload).where(Upload.frames > 1)).one()
    assert (clip.frames, clip.size) == (FRAMES, (32, 48))


@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("frames", {"settings": FilmSettings(first=10)}),
        ("every", {"settings": FilmSettings(first=8, every=3)}),
        ("blend", {"settings": FilmSettings.parse({"moving": {"blend": {"0": [1, 2]}}})}),
        ("init", {"guides": GuideFiles(init=make_picture())}),
        ("mask", {"guides": GuideFiles(masks=(make_picture(size=(10, 64)),))}),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_stored(field: str, options: dict) -> None:
    with pytest.raises(InvalidInput) as refused:
        make_film(**options)
    assert refused.value.problems[0].field == field
    with sessions.read_session() as session:
        assert session.scalar(select(func.count()).select_from(Upload)) == 0


def test_settings_that_are_none_are_named() -> None:
    with pytest.raises(InvalidInput) as refused:
        FilmSettings.parse('{"every": 0, "sound": true}')
    assert {problem.field for problem in refused.value.problems} == {"film.every", "film.sound"}


def test_retention_deletes_films_whole_once_they_have_ended() -> None:
    made, going = make_film(), None
    paint_all(made)
    going = make_film(name="Another")
    with sessions.write_session() as session:
        session.execute(update(Job).values(stored_bytes=100))
    rules = retention.Rules(size_bytes=1)
    with sessions.read_session() as session:
        due = retention.list_due(session, rules, 9)
    assert [(item.id, item.pictures, item.size_bytes) for item in due] == [(made.id, 7, 700)]
    retention.forget_some(rules)
    with pytest.raises(NotFound):
        films.get(made.id)
    assert films.get(going.id).parts

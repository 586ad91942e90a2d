"""What is no longer needed goes, and nothing else does."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from farm.database import sessions
from farm.database.base import now
from farm.database.models import Job, Upload
from farm.errors import StorageAway, WrongState
from farm.jobs import actions, attempts, cleanup, states
from farm.jobs.states import AttemptRef
from farm.jobs.submit import submit
from farm.pictures import sources
from farm.recipe import Recipe
from farm.storage import MARK, Storage, storage
from tests.jobs.test_jobs import claim, lose
from tests.jobs.test_submit import picture

pytestmark = pytest.mark.usefixtures("database")
# What lists, deletes and finds a mark; `tests/test_storage.py` holds the rest of a bucket.
on_any_storage = pytest.mark.usefixtures("any_storage")


def twice_begun() -> str:
    """A job whose second attempt runs, with files of both."""
    job_id = submit(picture(0), [picture(1)], Recipe(size=256)).id
    for number in (1, 2):
        assert claim() is not None
        for name in ("preview.jpg", "checkpoint.safetensors"):
            storage().put(f"jobs/{job_id}/{number}/{name}", b"1")
        with sessions.write_session() as session:
            attempts.record_checkpoint(session, AttemptRef(job_id, number))
        if number == 1:
            lose(job_id, 1)
    return job_id


def stored_bytes(job_id: str) -> int | None:
    """What the row says of the bytes of its files."""
    with sessions.read_session() as session:
        return states.get(session, job_id).stored_bytes


def left(job_id: str) -> list[str]:
    return [key.removeprefix(f"jobs/{job_id}/") for key in storage().list_keys(f"jobs/{job_id}")]


@on_any_storage
def test_a_running_job_keeps_its_newest_checkpoint_alone() -> None:
    job_id = twice_begun()
    cleanup.sweep()
    assert left(job_id) == ["2/checkpoint.safetensors", "2/preview.jpg"]


def test_a_job_taken_again_keeps_the_checkpoint_it_goes_on_from() -> None:
    job_id = twice_begun()
    lose(job_id, 2)
    assert claim() is not None
    cleanup.remove_files(job_id)
    assert left(job_id) == ["2/checkpoint.safetensors", "2/preview.jpg"]


def test_an_ended_job_keeps_its_pictures_and_what_is_not_ours() -> None:
    job_id = twice_begun()
    storage().put(f"jobs/{job_id}/.DS_Store", b"1")
    storage().put(f"jobs/{job_id}/2/result.png", b"1")
    with sessions.write_session() as session:
        states.succeed(session, AttemptRef(job_id, 2), {})
    cleanup.remove_files(job_id)
    assert left(job_id) == [".DS_Store", "2/preview.jpg", "2/result.png"]


@on_any_storage
def test_a_deleted_job_leaves_its_uploads_for_a_day() -> None:
    job_id = twice_begun()
    with pytest.raises(WrongState):
        actions.delete(job_id)
    with sessions.write_session() as session:
        states.fail(session, AttemptRef(job_id, 2), "it broke")
        content = states.get(session, job_id).content
        key, _ = sources.provide_clean(content)
        storage().put(f"{content.frames_folder}/0.jpg", b"of a clip")
    actions.delete(job_id)
    cleanup.sweep()
    assert len(storage().list_keys()) == 6  # two pictures, their thumbnails, and what pages show
    assert key in storage().list_keys()
    with sessions.write_session() as session:
        session.execute(update(Upload).values(sent_at=now() - timedelta(days=2)))
    cleanup.sweep()
    assert storage().list_keys() == []


def test_an_upload_of_a_job_stays_however_old_it_is() -> None:
    submit(picture(0), [picture(1)], Recipe())
    with sessions.write_session() as session:
        session.execute(update(Upload).values(sent_at=now() - timedelta(days=400)))
    cleanup.sweep()
    assert len(storage().list_keys()) == 4


@on_any_storage
def test_files_of_a_job_that_is_gone_are_removed_and_what_is_not_ours_stays() -> None:
    storage().put(f"jobs/{'a' * 32}/1/result.png", b"1")
    storage().put("notes.txt", b"an operator's own")
    storage().put("uploads/half.part", b"somebody may be writing this")
    cleanup.sweep()
    assert storage().list_keys() == ["notes.txt", "uploads/half.part"]


@on_any_storage
def test_while_the_storage_is_away_nothing_is_forgotten() -> None:
    # Given uploads that have expired, in a storage that is not mounted
    job_id = submit(picture(0), [picture(1)], Recipe(size=256)).id
    with sessions.write_session() as session:
        states.cancel(session, job_id)
        session.execute(update(Upload).values(sent_at=now() - timedelta(days=2)))
    actions.delete(job_id)
    storage().delete(MARK)
    with pytest.raises(StorageAway):
        cleanup.sweep()
    # Then they go when it is back, row and file
    storage().mark()
    cleanup.sweep()
    assert storage().list_keys() == []
    with sessions.read_session() as session:
        assert session.scalars(select(Upload)).all() == []


def test_a_picture_sent_again_while_its_upload_is_removed_is_stored_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given an upload that has expired
    job_id = submit(picture(0), [picture(1)], Recipe(size=256)).id
    with sessions.write_session() as session:
        states.cancel(session, job_id)
    actions.delete(job_id)
    with sessions.write_session() as session:
        session.execute(update(Upload).values(sent_at=now() - timedelta(days=2)))
    # When somebody sends it while its row is gone and its file not yet
    sent: list[Job] = []
    sender = threading.Thread(
        target=lambda: sent.append(submit(picture(0), [picture(1)], Recipe(size=256)))
    )
    remove = Storage.delete

    def slowly(store: Storage, key: str) -> None:
        if not sender.ident:
            sender.start()
            sender.join(0.1)
        remove(store, key)

    monkeypatch.setattr(Storage, "delete", slowly)
    cleanup.sweep()
    sender.join()
    # Then the new job has its pictures
    assert storage().get(sent[0].content.key) == picture(0)
    assert storage().get(sent[0].styles[0].upload.key) == picture(1)


def test_a_row_knows_the_bytes_of_its_files() -> None:
    # Given a job at work, whose attempts say what they store
    job_id = submit(picture(0), [picture(1)], Recipe(size=256)).id
    assert stored_bytes(job_id) == 0
    assert claim() is not None
    attempt = AttemptRef(job_id, 1)
    for name, size in (("preview.jpg", 3), ("checkpoint.safetensors", 40), ("result.png", 500)):
        storage().put(f"jobs/{job_id}/1/{name}", b"1" * size)
    with sessions.write_session() as session:
        attempts.record_preview(session, attempt, 3)
        attempts.record_checkpoint(session, attempt, 43)
    # While it runs, nobody else says so
    cleanup.sweep()
    assert stored_bytes(job_id) == 43
    # When it ends, it is what is left
    with sessions.write_session() as session:
        states.succeed(session, attempt, {}, 503)
    assert stored_bytes(job_id) == 503
    storage().put(f"jobs/{job_id}/1/view.jpg", b"1" * 20)
    cleanup.remove_files(job_id)
    assert stored_bytes(job_id) == 523


def test_jobs_of_earlier_versions_get_the_bytes_of_their_files(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given ended jobs with and without files, more than are looked at at once
    monkeypatch.setattr(cleanup, "AT_ONCE", 2)
    ids = [submit(picture(0), [picture(1)], Recipe(size=256)).id for _ in range(5)]
    for job_id in ids:
        with sessions.write_session() as session:
            states.cancel(session, job_id)
    for job_id in ids[:2]:
        storage().put(f"jobs/{job_id}/0/preview.jpg", b"1" * 7)
    running = submit(picture(0), [picture(1)], Recipe(size=256)).id
    assert claim() is not None
    with sessions.write_session() as session:
        session.execute(update(Job).values(stored_bytes=None))
    # When the janitor cleans up
    cleanup.sweep()
    # Then their rows know, but for those at work
    assert [stored_bytes(job_id) for job_id in [*ids, running]] == [7, 7, 0, 0, 0, None]

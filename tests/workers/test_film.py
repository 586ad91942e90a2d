"""Parts of a film in this process: painted, interrupted between two frames, gone on with, and joined."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from farm.database import sessions
from farm.database.films import Film
from farm.database.models import State
from farm.database.people import Person, Role
from farm.engine.film.paint import FrameStep, PaintedFrame
from farm.errors import QuotaTooSmall
from farm.films import films
from farm.films.settings import FilmSettings
from farm.films.submit import submit_film
from farm.jobs import attempts, claims, cleanup
from farm.jobs.claims import Taker
from farm.people import accounts, quotas
from farm.people.visitors import Visitor
from farm.recipe import Recipe
from farm.recipe.film import Part
from farm.storage import storage
from tests.films.made import claim_part, get_part, list_parts, make_moving_clip
from tests.jobs.test_submit import picture
from workers import interrupts
from workers.render import Ending, render

RECIPE = Recipe(size=64)
FRAMES = 6
SETTINGS = FilmSettings(spacing=4, format="zip")  # parts: anchors 0 and 1, stretches 2 and 3, joining 4

pytestmark = pytest.mark.usefixtures("database")
# Frames and parts in rows are held on both by `tests/films/test_films.py`, and below.
sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
LOSSES = SimpleNamespace(content=1.0, style=1.0, tv=1.0)


@pytest.fixture(autouse=True)
def quick_painter(monkeypatch: pytest.MonkeyPatch, database: str) -> Iterator[None]:
    """Mix each frame with its painted neighbour instead of painting it, and send no tickets."""
    from tests.conftest import fresh_settings, use_broker_in_memory

    use_broker_in_memory(monkeypatch)
    fresh_settings()
    monkeypatch.setattr("workers.film.paint_part", mix_part)
    monkeypatch.setattr("workers.render.engine", lambda features, form: NETWORK)
    yield
    interrupts.stopping.clear()


def mix_part(
    part: Part, read_frame: Any, read_painted: Any, *given: Any, done: int, on_tile: Any, **named: Any
) -> Iterator[FrameStep | PaintedFrame]:
    """Yield what `paint_part` does: a frame depends on the clip's and on the one it is held to."""
    count = len(part.frames)
    for place in range(done, count):
        number = part.frames[place]
        before = part.frames[place - 1] if place else part.before
        step = SimpleNamespace(total=1, done=1, progress=1.0, losses=LOSSES, seconds=0.1)
        on_tile()
        yield FrameStep(number, place, count, (place + 1) / count, step)  # type: ignore[arg-type]
        held = read_frame(number) if before is None else read_painted(before)
        yield PaintedFrame(number, read_frame(number) // 2 + held // 2, place + 1, count)


NETWORK: Any = SimpleNamespace(
    device=torch.device("cpu"),
    vgg=SimpleNamespace(network="vgg16"),
    number_format=SimpleNamespace(name="float32"),
    with_budget=lambda limit: NETWORK,
)


def submit(**options: Any) -> Film:
    settings = options.pop("settings", SETTINGS)
    return submit_film(make_moving_clip(FRAMES), [picture(1)], RECIPE, settings, name="Walk", **options)


def render_next(worker: str = "worker@test") -> bool:
    """Render what waits first, as a worker does; False: nothing waits."""
    claim = claim_part(worker)
    if claim is None:
        return False
    assert render(claim, Taker(worker), lambda: None) == Ending()
    cleanup.remove_files(claim.job.id)
    films.settle(str(claim.job.film_id))
    return True


def read_files(film: Film) -> list[bytes]:
    """Return the painted frames, then the film."""
    with sessions.read_session() as session:
        frames = films.list_frames(session, film.id)
    assert [frame.number for frame in frames] == list(range(FRAMES))
    joined = films.find_join(films.get(film.id))
    assert joined is not None
    return [storage().get(key) for key in (*(frame.key for frame in frames), joined.result_key)]


@sqlite
@pytest.mark.slow
def test_a_film_goes_on_after_the_last_stored_frame_and_is_the_same_whoever_painted_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given a film that one worker painted undisturbed
    whole = submit()
    while render_next():
        pass
    assert films.compute_state(films.get(whole.id)) is State.SUCCEEDED, films.get(whole.id).error
    assert get_part(whole, 0).features == "vgg16"

    # And the same one, whose worker is stopped when it has stored the first frame of a stretch
    film, record = submit(), attempts.record_frame

    def stop_after(session: Any, attempt: Any, film_id: str, number: int, stored: int) -> None:
        record(session, attempt, film_id, number, stored)
        if number == 1:
            interrupts.stopping.set()

    monkeypatch.setattr(attempts, "record_frame", stop_after)
    while not interrupts.stopping.is_set():
        assert render_next("first@test")
    interrupts.stopping.clear()
    assert get_part(film, 2).state is State.QUEUED
    with sessions.read_session() as session:
        painted = [frame.number for frame in films.list_frames(session, film.id)]
    assert painted in ([0, 1, 4], [0, 1, 4, 5])

    # When another goes on, it paints the frames that are missing alone, and the film is the same
    again: list[int] = []

    def note(session: Any, attempt: Any, film_id: str, number: int, stored: int) -> None:
        record(session, attempt, film_id, number, stored)
        again.append(number)

    monkeypatch.setattr(attempts, "record_frame", note)
    while render_next("second@test"):
        pass
    assert sorted(again) == sorted(set(range(FRAMES)) - set(painted))
    assert read_files(film) == read_files(whole)


@pytest.mark.slow
def test_a_film_is_stopped_in_the_middle_of_a_part(monkeypatch: pytest.MonkeyPatch) -> None:
    film, record = submit(), attempts.record_frame

    def cancel(session: Any, attempt: Any, film_id: str, number: int, stored: int) -> None:
        record(session, attempt, film_id, number, stored)
        if number == 1:
            stopper.start()

    stopper = threading.Thread(target=films.cancel, args=(film.id,))
    monkeypatch.setattr(attempts, "record_frame", cancel)
    while not stopper.ident:
        assert render_next()
    stopper.join()
    films.settle_all()
    while render_next():
        pass
    assert films.compute_state(films.get(film.id)) is State.CANCELLED
    assert all(state.ended for state in list_parts(film).values())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("database", "rounds", "lost", "damaged", "words", "parts"),
    [
        ("sqlite", 1, [0], False, "Frame 5: The painted frame 1 of", {0: State.QUEUED}),
        # The join finds one that is damaged; the retry finds all that are gone.
        pytest.param(
            *("postgres", 4, [2, 5], True, "Joining all frames: The painted frame 3 of", None),
            marks=pytest.mark.postgres,
        ),
    ],
    indirect=["database"],
)
def test_frames_that_are_gone_fail_the_film_in_words_and_a_retry_paints_them_again(
    rounds: int, lost: list[int], damaged: bool, words: str, parts: dict[int, State] | None
) -> None:
    whole = submit()
    while render_next():
        pass
    expected = read_files(whole)

    # Given a film of which files are lost before the next part
    film = submit()
    for _ in range(rounds):
        assert render_next()
    with sessions.read_session() as session:
        keys = [films.get_frame(session, film.id, number).key for number in lost]
    storage().put(keys[0], b"no picture") if damaged else storage().delete(keys[0])
    for key in keys[1:]:
        storage().delete(key)
    assert render_next()
    found = films.get(film.id)
    assert (found.outcome, str(found.error).startswith(words)) == (State.FAILED, True), found.error

    # When it is retried, their parts wait, and what needs them later
    films.retry(film.id)
    done = State.SUCCEEDED
    again = {0: done, 1: done, 2: State.QUEUED, 3: State.QUEUED}
    assert list_parts(film) == (parts or again)

    # And the film is as it was to be
    while render_next():
        pass
    assert films.compute_state(films.get(film.id)) is done, films.get(film.id).error
    assert read_files(film) == expected


@pytest.mark.slow
def test_a_film_whose_owner_may_store_no_more_fails_in_words_and_keeps_its_frames() -> None:
    # Given a person's film, which is being painted
    with sessions.write_session() as session:
        person = accounts.add(session, "Ada", Role.USER, by="a test")
        ada = Visitor(person.id, "Ada", Role.USER)
    film = submit(visitor=ada)
    for _ in range(2):
        assert render_next()

    # When they store as much as they may after a frame of a stretch
    def limit(stored_bytes: int | None) -> None:
        with sessions.write_session() as session:
            session.get_one(Person, ada.person_id).max_stored_bytes = stored_bytes

    with sessions.read_session() as session:
        stored = quotas.measure(session, person).stored_bytes.used
    limit(int(stored) + 1)
    assert render_next()
    found = films.get(film.id)
    words = "Frames 2 to 4: Your quota of storage is "
    assert (found.outcome, str(found.error).startswith(words)) == (State.FAILED, True), found.error
    with sessions.read_session() as session:
        assert [frame.number for frame in films.list_frames(session, film.id)] == [0, 1, 4]
    with pytest.raises(QuotaTooSmall):
        films.retry(film.id)

    # Then, with room, it goes on
    limit(None)
    films.retry(film.id)
    while render_next():
        pass
    assert films.compute_state(films.get(film.id)) is State.SUCCEEDED
    with sessions.read_session() as session:
        used = quotas.measure(session, person).stored_bytes.used
    uploads = sum(storage().list_sizes("uploads").values()) - _sum_thumbnails()
    assert used == uploads + sum(storage().list_sizes("jobs").values())


def _sum_thumbnails() -> int:
    sizes = storage().list_sizes("uploads")
    return sum(size for key, size in sizes.items() if key.endswith(".thumbnail.jpg"))


def test_workers_without_what_films_need_take_no_part() -> None:
    film = submit()
    without = replace(Taker("worker@test"), films=False)
    with sessions.write_session() as session:
        assert claims.claim(session, without) is None
        assert not without.can_take(get_part(film, 0))
    assert claim_part() is not None

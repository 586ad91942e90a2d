"""The same film, byte for byte, from two workers of a farm, from the command line, and from a worker
that steps aside, or is killed, in the middle of a frame."""

from __future__ import annotations

import io
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from farm.cli.film_files import paint_film
from farm.cli.film_options import Choice
from farm.cli.sent_files import Guides
from farm.database import sessions
from farm.database.films import Film
from farm.database.models import State
from farm.engine.checkpoint_writer import CheckpointThread
from farm.films import films
from farm.films.settings import FilmSettings
from farm.films.submit import submit_film
from farm.jobs import cleanup, details, losses
from farm.jobs.claims import Taker
from farm.jobs.guides import NO_GUIDES, GuideFiles
from farm.recipe import Recipe
from farm.storage import storage
from tests.conftest import fresh_settings, use_broker_in_memory
from tests.films.made import claim_part, make_moving_clip
from tests.jobs.test_submit import picture
from workers import film as film_parts
from workers.render import Ending, render

RECIPE = Recipe(size=64, start_size=64, iterations=(2,), features="vgg16")
FRAMES, SPACING = 6, 3  # anchors 0 and 3, two stretches, which two workers can paint at once
SETTINGS = FilmSettings(spacing=SPACING, format="zip")
SHORT = FilmSettings(spacing=SPACING, end=SPACING + 1, format="zip")  # anchors 0 and 1, stretch 2

pytestmark = pytest.mark.xdist_group("short film")  # which is painted undisturbed once


@pytest.fixture(autouse=True)
def no_broker(farm_with_tables: Path, weights_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_broker_in_memory(monkeypatch)
    fresh_settings()
    storage().mark()


def make_mask() -> bytes:
    """Return a mask of the left half of the clip's first frame."""
    file, mask = io.BytesIO(), np.zeros((48, 64), np.uint8)
    mask[:, :32] = 255
    Image.fromarray(mask).save(file, "PNG")
    return file.getvalue()


def submit_clip(settings: FilmSettings, guides: GuideFiles = NO_GUIDES) -> Film:
    return submit_film(make_moving_clip(FRAMES), [picture(1)], RECIPE, settings, guides=guides)


def make_film(
    *workers: str, settings: FilmSettings = SETTINGS, guides: GuideFiles = NO_GUIDES
) -> tuple[Film, list[set[str]]]:
    """Make the film; where several workers hold parts at the same time, the last one paints first.

    Returns:
        the film, and who held parts at the same time.
    """
    film = submit_clip(settings, guides)
    rounds = []
    while held := [(name, claim) for name in workers if (claim := claim_part(name))]:
        for name, claim in reversed(held):
            assert render(claim, Taker(name), lambda: None) == Ending()
            films.settle(film.id)
        rounds.append({name for name, _ in held})
    return films.get(film.id), rounds


def read_files(film: Film) -> list[bytes]:
    """Return the painted frames, then the film."""
    assert films.compute_state(film) is State.SUCCEEDED, film.error
    joined = films.find_join(film)
    assert joined is not None
    with sessions.read_session() as session:
        keys = [frame.key for frame in films.list_frames(session, film.id)]
    return [storage().get(key) for key in (*keys, joined.result_key)]


@cache
def read_short_film() -> list[bytes]:
    """Return the files of a short film that was painted undisturbed, in the farm of who asks first."""
    return read_files(make_film("worker@test", settings=SHORT)[0])


def test_a_film_has_the_same_bytes_whoever_painted_which_part(tmp_path: Path) -> None:
    # Given a film of two workers that had parts at the same time
    guides = GuideFiles(masks=(make_mask(),))
    shared, rounds = make_film("first@test", "second@test", guides=guides)
    assert {"first@test", "second@test"} in rounds
    expected = read_files(shared)

    # When one machine paints it without a farm, part by part
    (tmp_path / "clip.gif").write_bytes(make_moving_clip(FRAMES))
    (tmp_path / "painting.png").write_bytes(picture(1))
    (tmp_path / "mask.png").write_bytes(make_mask())
    paint_film(
        tmp_path / "clip.gif",
        [tmp_path / "painting.png"],
        tmp_path / "film.zip",
        RECIPE,
        Choice(spacing=SPACING),
        guides=Guides((tmp_path / "mask.png",)),
        keep=tmp_path / "frames",
        say=lambda line: None,
        show=lambda sight: None,
    )

    # Then frames and film are the same
    frames = sorted((tmp_path / "frames").glob("frame_*.png"))
    assert [frame.read_bytes() for frame in frames] == expected[:-1]
    assert (tmp_path / "film.zip").read_bytes() == expected[-1]
    # And the mask went with what it was on: a pixel a frame to the left
    maps = [np.asarray(Image.open(tmp_path / "frames" / f"maps_frame_00000{n}.png")) for n in (0, 3)]
    widths = [64 * float((each >= 128).mean()) for each in maps]
    assert widths == pytest.approx([32, 29], abs=0.6)


def test_a_part_that_steps_aside_in_the_middle_of_a_frame_goes_on_within_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = read_short_film()

    # Given a worker that makes way for drafts once in each part, after the first iteration of a frame
    moved: dict[str, int] = {}  # parts that have done so, and the iterations they made
    report = film_parts._report

    def note_iteration(task: Any, news: Any, pace: Any) -> None:
        moved[task.job.id] = moved.get(task.job.id, 0) + 1
        report(task, news, pace)

    def drafts_wait(session: Any, attempt: Any, taker: Taker) -> bool:
        return moved.get(attempt.job_id, 0) == 1 and attempt.number == 1

    monkeypatch.setattr(film_parts, "_report", note_iteration)
    monkeypatch.setattr("workers.reporter.WATCH_SECONDS", 0.0)
    monkeypatch.setattr("farm.jobs.overtaking.must_step_aside", drafts_wait)
    monkeypatch.setattr("workers.reporter.Reports.is_due", lambda reports: True)

    # When it paints the film
    film, endings = submit_clip(SHORT), []
    while claim := claim_part("worker@test"):
        endings.append(render(claim, Taker("worker@test"), lambda: None))
        cleanup.remove_files(claim.job.id)
        films.settle(film.id)

    # Then each part went on where it was, anchors within their frame, and the film is the same
    film = films.get(film.id)
    assert endings.count(Ending(made_way=True)) == 3
    assert [job.attempt for job in film.parts] == [2, 2, 2, 1]
    anchor, other, stretch, _ = film.parts
    with sessions.read_session() as session:
        notes = [event.message for event in details.get_with_history(session, anchor.id).events]
    assert "resumed at level 1, iteration 1" in notes
    assert (moved[anchor.id], moved[other.id], moved[stretch.id]) == (2, 2, 2), "iterations were lost"
    assert read_files(film) == expected
    assert not [key for key in storage().list_keys() if "checkpoint" in key]


class Killed(BaseException):
    """Stands for SIGKILL: what is raised here is caught by nobody, and nothing is recorded after it."""


@pytest.mark.slow
def test_a_part_whose_worker_is_killed_in_the_middle_of_a_frame_goes_on_from_its_checkpoint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = read_short_film()

    # Given workers that are killed after the second iteration of a part: of an anchor after a checkpoint
    # within its frame, of the stretch within its second frame, whose iteration is the only one
    made: dict[str, list[int]] = {}  # of each part, the iterations that were made
    report = film_parts._report

    def die_in_second(task: Any, news: Any, pace: Any) -> None:
        made.setdefault(task.job.id, []).append(news.step.done)
        if len(made[task.job.id]) == 2:
            raise Killed
        report(task, news, pace)

    monkeypatch.setattr(film_parts, "_report", die_in_second)
    monkeypatch.setattr(CheckpointThread, "is_due", lambda thread: thread._pending is None)

    # When others take its parts, once it was found to be lost
    film, names = submit_clip(SHORT), iter(f"worker{number}@test" for number in range(9))
    while claim := claim_part(name := next(names)):
        with suppress(Killed):
            assert render(claim, Taker(name), lambda: None) == Ending()
            cleanup.remove_files(claim.job.id)
            films.settle(film.id)
            continue
        with sessions.write_session() as session:
            losses.release_interrupted(session, claim.attempt, losses.LOST, "its worker was lost")

    # Then anchors went on within their frame, the stretch after its first, and the film is the same
    film = films.get(film.id)
    assert [job.attempt for job in film.parts] == [2, 2, 2, 1]
    *anchors, stretch, _ = film.parts
    assert [made[job.id] for job in (*anchors, stretch)] == [[1, 2, 2], [1, 2, 2], [1, 1, 1]]
    for anchor in anchors:
        with sessions.read_session() as session:
            events = details.get_with_history(session, anchor.id).events
        assert "resumed at level 1, iteration 1" in [event.message for event in events]
    assert read_files(film) == expected
    assert not [key for key in storage().list_keys() if "checkpoint" in key]

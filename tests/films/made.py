"""Films of the tests: clips that nobody decodes, and attempts that paint nothing."""

from __future__ import annotations

import io
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from PIL import Image

from farm.clips.clip import Clip
from farm.database import sessions
from farm.database.films import Film, frame_key
from farm.database.models import Job, State
from farm.films import films
from farm.films.parts import read_plan
from farm.films.settings import FilmSettings
from farm.films.submit import submit_film
from farm.jobs import attempts, claims, states
from farm.jobs.claims import Taker
from farm.jobs.states import Claim
from farm.recipe import Recipe
from farm.storage import storage

FRAMES = 10
CLIP = Clip(32, 48, tuple(Fraction(number, 25) for number in range(FRAMES)), Fraction(FRAMES, 25))
SETTINGS = FilmSettings(spacing=4)
# Parts: anchors 0, 1 (frame 4), 3 (frame 8); stretches 2 (1 to 3), 4 (5 to 7), 5 (9); joining 6.


def make_picture(
    colour: tuple[int, int, int] = (200, 90, 30), size: tuple[int, int] = (64, 64)
) -> bytes:
    """Return a picture of one colour, PNG."""
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "PNG")
    return file.getvalue()


def make_moving_clip(frames: int) -> bytes:
    """Return a GIF of a texture that moves a pixel each frame, 64 x 48 px."""
    ground = np.random.default_rng(7).integers(0, 256, (12, 20, 3), np.uint8)
    whole = Image.fromarray(ground).resize((100, 60), Image.Resampling.BICUBIC)
    first, *others = (whole.crop((number, 0, 64 + number, 48)) for number in range(frames))
    file = io.BytesIO()
    first.save(file, "GIF", save_all=True, append_images=others, duration=40)
    return file.getvalue()


def know_clips(patch: pytest.MonkeyPatch, clip: Clip = CLIP) -> None:
    """Let each file be this clip."""
    patch.setattr("farm.films.submit.check_clip", lambda data, field: (clip, b"a small JPEG"))


def make_film(recipe: Recipe | None = None, settings: FilmSettings = SETTINGS, **options: Any) -> Film:
    """Submit a film of `CLIP`."""
    recipe = recipe or Recipe(size=64)
    return submit_film(b"a clip", [make_picture()], recipe, settings, **{"name": "Walk", **options})


def claim_part(worker: str = "worker@test") -> Claim | None:
    """Claim what waits first, as a worker does."""
    with sessions.write_session() as session:
        return claims.claim(session, Taker(worker))


def finish(claim: Claim) -> None:
    """End a part as its worker does when it has painted all of it, frames that are no pictures."""
    film_id, part = claim.job.film_id, claim.job.film_part
    assert film_id is not None
    assert part is not None
    planned = read_plan(films.get(film_id))[part]
    painted = planned.frames if planned.role != "join" else ()
    for number in painted:
        storage().put(frame_key(claim.job.id, claim.attempt.number, number), b"a frame")
    with sessions.write_session() as session:
        for number in painted:
            attempts.record_frame(session, claim.attempt, film_id, number, 10)
        states.succeed(session, claim.attempt, {})
        added = films.advance(session, film_id)
    films.send_tickets(added)


def list_parts(film: Film) -> dict[int | None, State]:
    """Return the state of each part that has a job."""
    return {job.film_part: job.state for job in films.get(film.id).parts}


def get_part(film: Film, number: int) -> Job:
    """Return the job of a part."""
    return next(job for job in films.get(film.id).parts if job.film_part == number)

"""A film on one worker and on two: how much of the time is saved.

    python -m benchmarks.film_farm [--frames 96] [--seconds 0.5]

Workers are the farm's own, with an engine that only waits (`testbed/stub_worker.py`): `--seconds` for
each frame, three times as long for an anchor. The clip is one shot, so that its anchors are a chain;
with 96 frames it has four stretches. Printed: the seconds from submission to the joined film, and their
ratio.
"""

from __future__ import annotations

import argparse
import io
import os
from collections import Counter
from fractions import Fraction
from unittest.mock import patch

from PIL import Image
from sqlalchemy import select

from benchmarks.farm import count_alive, run_farm
from benchmarks.testbed.processes import wait_for
from farm.clips.clip import Clip
from farm.database import sessions
from farm.database.films import Film
from farm.database.models import Attempt, Job, State
from farm.films import films
from farm.films.settings import FilmSettings
from farm.films.submit import submit_film
from farm.recipe import Recipe

ALLOWED = 0.6  # of one worker's time, for two


def make_painting() -> bytes:
    """Return a picture, PNG."""
    file = io.BytesIO()
    Image.new("RGB", (64, 64), (200, 90, 30)).save(file, "PNG")
    return file.getvalue()


def submit(frames: int) -> Film:
    """Submit a film of a clip that nobody decodes."""
    clip = Clip(288, 512, tuple(Fraction(n, 24) for n in range(frames)), Fraction(frames, 24))
    with patch("farm.films.submit.check_clip", lambda data, field: (clip, make_painting())):
        return submit_film(b"a clip", [make_painting()], Recipe(size=512), FilmSettings())


def measure(frames: int) -> float:
    """Return the seconds that a film takes on the workers that there are."""
    film_id = submit(frames).id
    ended = wait_for(lambda: (found := films.get(film_id)).outcome and found, 3600, 0.5)
    assert ended.outcome is State.SUCCEEDED, ended.error
    with sessions.read_session() as session:
        mine = select(Attempt.worker).join(Job, Job.id == Attempt.job_id).where(Job.film_id == film_id)
        shares = Counter(session.scalars(mine))
    took = float((ended.finished_at - ended.created_at).total_seconds())
    print(f"{len(shares)} workers  {took:6.1f} s  parts each: {sorted(shares.values())}", flush=True)
    return took


def main() -> None:
    """Measure one worker, then two."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=96)
    parser.add_argument("--seconds", type=float, default=0.5, help="of a frame")
    asked = parser.parse_args()
    os.environ["STUB_FRAME_SECONDS"] = str(asked.seconds)
    with run_farm(1) as crew:
        alone = measure(asked.frames)
        crew.start(1)
        wait_for(lambda: count_alive() == len(crew.running), 600, 1)
        together = measure(asked.frames)
    share = together / alone
    print(f"two take {share:.0%} of one's time; {'as' if share <= ALLOWED else 'NOT as'} wanted")


if __name__ == "__main__":
    main()

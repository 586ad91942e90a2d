"""Work that is left of films: that of parts which have no job yet, too."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from farm.clips.clip import Clip
from farm.database.films import Film
from farm.database.models import Job, State
from farm.recipe import Recipe
from farm.recipe.film import count_whole_frames, plan_parts, select_frames
from farm.recipe.levels import compute_levels, count_work

SAMPLE = 20  # films whose parts are computed; all others are as large as these on the mean


def list_pieces(session: Session) -> list[float]:
    """Return the work that is left of each part of the films that have not ended: iterations, each times
    its megapixels."""
    going = Film.outcome.is_(None)
    films = session.scalars(select(Film).where(going).order_by(Film.created_at).limit(SAMPLE)).all()
    pieces = [piece for film in films for piece in _list_left(session, film)]
    if len(films) == SAMPLE:
        pieces *= round((session.scalar(select(func.count()).where(going)) or SAMPLE) / SAMPLE)
    return pieces


def _list_left(session: Session, film: Film) -> list[float]:
    parts = select(Job.film_part, Job.state, Job.progress).where(Job.film_id == film.id)
    done = {
        part: 1.0 if state is State.SUCCEEDED else progress
        for part, state, progress in session.execute(parts)
    }
    clip, recipe = Clip.from_json(film.clip), Recipe.model_validate(film.recipe)
    chosen = select_frames(clip.frames, *(film.settings[key] for key in ("first", "end", "every")))
    frame = count_work(recipe, compute_levels(recipe, *clip.size)) / 1e6
    planned = plan_parts(clip.shots, chosen, film.settings["spacing"])
    pieces = [frame * count_whole_frames(part) * (1 - done.get(part.number, 0.0)) for part in planned]
    return [piece for piece in pieces if piece]

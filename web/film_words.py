"""Words for films: what their settings say, and what became of the clip's sound."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from farm.clips.clip import Sound
from farm.films.settings import FilmSettings
from farm.recipe.film_formats import FILM_FORMATS
from farm.recipe.recipe import get_title
from farm.recipe.typed_values import format_value
from web import words

SOUNDS = {
    Sound.NONE: "without sound",
    Sound.COPIED: "with the clip's sound",
    Sound.ENCODED: "with the clip's sound, encoded anew",
    Sound.LOST: "without the clip's sound, which could not be read to its end",
}


def list_film_settings(settings: FilmSettings, count: int) -> list[tuple[str, str]]:
    """Return title and words of what belongs to a film as a whole.

    Args:
        count: frames of the clip.
    """
    moving = [
        (f"{get_title(name)} over time", "; ".join(_describe_keys(keys)))
        for name in type(settings.moving).model_fields
        if (keys := getattr(settings.moving, name))
    ]
    return [
        ("Frames", describe_range(settings, count)),
        ("Painted whole", _describe_spacing(settings.spacing)),
        *moving,
        ("File", FILM_FORMATS[settings.format].title),
    ]


def describe_range(settings: FilmSettings, count: int) -> str:
    """Return `all 48 of the clip`, `5 to 20 of the clip's 48, each second one`; counted from 1."""
    end = count if settings.end is None else settings.end
    whole = settings.first == 0 and end == count
    every = {1: "", 2: ", each second one", 3: ", each third one"}
    text = (
        f"all {count} of the clip" if whole else f"{settings.first + 1} to {end} of the clip's {count}"
    )
    return text + every.get(settings.every, f", one of every {settings.every}")


def _describe_spacing(spacing: int) -> str:
    if spacing == 1:
        return "each frame"
    return f"one frame of every {spacing}; those between them go on from it"


def _describe_keys(keys: Mapping[int, Any]) -> Iterator[str]:
    """Yield `1,0 at frame 1`, `0,1 at frame 48`, counted from 1."""
    for frame, value in sorted(keys.items()):
        yield f"{format_value(value).replace(',', ' : ')} at frame {frame + 1}"


def describe_film(frames: int, seconds: float, metrics: Mapping[str, Any] | None) -> str:
    """Return `The film, 24 frames, 1.0 s, with the clip's sound`.

    Args:
        metrics: of the part that joined it.
    """
    known = (metrics or {}).get("sound")
    sound = f", {SOUNDS[Sound(known)]}" if known in list(Sound) else ""
    return f"The film: {words.describe_length(frames, seconds)}{sound}"

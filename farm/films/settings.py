"""Settings of a film as a whole; those of its frames are a recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field

from farm.clips.clip import Clip
from farm.recipe.film import (
    LONGEST_SPACING,
    SPACING,
    STILL,
    FrameNumber,
    Moving,
    Part,
    Regions,
    plan_parts,
    select_frames,
)
from farm.recipe.film_formats import FilmKind
from farm.recipe.problems import Untrusted, parse_untrusted


class FilmSettings(Untrusted):
    """What belongs to a film: its file, which frames of the clip are painted, and what moves."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: FilmKind = Field("mp4", description="File format of the finished film.")
    first: FrameNumber = Field(0, description="Number of the first frame that is painted, from 0.")
    end: FrameNumber | None = Field(
        None, description="Number of the frame behind the last; the clip's end when left out."
    )
    every: Annotated[int, Field(ge=1)] = Field(
        1, description="2 paints each second frame, 3 each third."
    )
    spacing: Annotated[int, Field(ge=1, le=LONGEST_SPACING)] = Field(
        SPACING,
        description="Frames from anchor to anchor: those are painted first, one after the other; what"
        " is between them by as many workers as there are.",
    )
    regions: Regions = Field(
        "follow",
        description="follow: masks and what stays go, from each shot's first frame on, with what they"
        " are on there. stay: they are the same in all frames.",
    )
    moving: Moving = Field(
        STILL, description="Settings that move over the film: values by numbers of frames."
    )

    @classmethod
    def parse(cls, values: Any) -> Self:
        """Validate untrusted values, a dictionary or JSON.

        Raises:
            InvalidInput: naming each field that is wrong and its limit.
        """
        return parse_untrusted(cls, values, "film", within="film.")

    @classmethod
    def restore(cls, stored: Mapping[str, Any]) -> Self:
        """Return the settings of a film as they are stored; regions of earlier versions' stay."""
        return cls.model_validate({"regions": "stay", **stored})

    def dump_request(self) -> str:
        """Return the JSON of which digests of requests are made: the same as before there were settings
        that came later, where these have their defaults."""
        later = {"regions"} if self.regions == "follow" else set()
        return self.model_dump_json(exclude=later)

    def select_frames(self, count: int) -> tuple[int, ...]:
        """Return the numbers of the frames that are painted, rising, of a clip with so many.

        Raises:
            InvalidInput: the clip has none of them.
        """
        return select_frames(count, self.first, self.end, self.every)

    def plan(self, clip: Clip) -> Sequence[Part]:
        """Return the parts of the film.

        Raises:
            InvalidInput: the clip has none of the frames that are asked for.
        """
        return plan_parts(clip.shots, self.select_frames(clip.frames), self.spacing)

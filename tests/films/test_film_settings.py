"""Settings of a film as a whole, as they are stored and as requests are known again by them."""

from __future__ import annotations

import json

from farm.films.settings import FilmSettings


def test_regions_of_an_earlier_versions_film_stay() -> None:
    stored = FilmSettings(spacing=4).model_dump(mode="json")
    assert FilmSettings.restore(stored).regions == "follow"
    del stored["regions"]
    assert FilmSettings.restore(stored) == FilmSettings(spacing=4, regions="stay")


def test_an_earlier_versions_request_is_known_again() -> None:
    told = json.loads(FilmSettings(spacing=4).dump_request())
    assert list(told) == ["format", "first", "end", "every", "spacing", "moving"]
    assert json.loads(FilmSettings(regions="stay").dump_request())["regions"] == "stay"

"""The network of a film: one for all of its frames, whichever parts begin at the same time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from farm.database import sessions
from farm.films import films
from tests.conftest import fresh_settings, use_broker_in_memory
from tests.films.made import CLIP, claim_part, get_part, know_clips, make_film

pytestmark = pytest.mark.usefixtures("database")


def test_shots_that_begin_at_once_on_workers_with_other_networks_have_the_same(
    monkeypatch: pytest.MonkeyPatch, database: str
) -> None:
    # Given a film of two shots, whose first frames two workers have at the same time
    use_broker_in_memory(monkeypatch)
    fresh_settings()
    know_clips(monkeypatch, replace(CLIP, shots=(0, 5)))
    film = make_film()
    claims = [claim_part("first@test"), claim_part("second@test")]
    chosen = []
    # When each would choose another network
    for claim, found in zip(claims, ("vgg16", "vgg19"), strict=True):
        assert claim is not None
        with sessions.write_session() as session:
            chosen.append(films.choose_features(session, claim.attempt, film.id, found))
    # Then both take the one of whoever came first, and later parts, too
    assert chosen == ["vgg16", "vgg16"]
    features = {job.features for job in films.get(film.id).parts if job.features}
    assert features == {"vgg16"}
    assert get_part(film, 0).features == "vgg16"

"""A film that is retried while others still do what follows from its end: no fresh part is cancelled."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from sqlalchemy.orm import Session

from farm.database import sessions
from farm.database.films import Film
from farm.database.models import State
from farm.films import films
from farm.jobs import states
from farm.people import quotas
from tests.films.made import claim_part, get_part, list_parts, make_film

pytestmark = pytest.mark.usefixtures("database", "clips_without_a_broker")


def fail_first_part() -> Film:
    """Return a film whose only part so far has failed; nobody has settled it yet."""
    film, claim = make_film(), claim_part()
    assert claim is not None
    with sessions.write_session() as session:
        states.fail(session, claim.attempt, "The renderer broke.")
    return film


def before(call: Callable[..., object], first: Callable[[], object]) -> Callable[..., object]:
    """Return `call` that does something else first, once."""
    left = [first]

    def do(*given: object) -> object:
        if left:
            left.pop()()
        return call(*given)

    return do


@pytest.mark.parametrize("moment", ["_cancel_parts", "_cancel_part"])
def test_a_film_retried_while_the_janitor_settles_it_keeps_its_fresh_parts(
    moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a film that was cancelled with a part that waits
    film = make_film()
    with monkeypatch.context() as cut_off:
        cut_off.setattr(films, "_cancel_parts", lambda film_id: None)
        films.cancel(film.id)
    assert list_parts(film) == {0: State.QUEUED}

    # When the janitor has seen that, and another stops the part before it and the film is retried
    def stop_and_retry() -> None:
        with sessions.write_session() as session:
            states.cancel(session, get_part(film, 0).id)
        films.retry(film.id)

    monkeypatch.setattr(films, moment, before(getattr(films, moment), stop_and_retry))
    films.settle_all()

    # Then it goes on
    assert list_parts(film) == {0: State.QUEUED}
    assert films.get(film.id).outcome is None
    assert claim_part() is not None


def test_no_part_is_cancelled_in_the_midst_of_a_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a film that failed, and somebody who would stop its part
    film = fail_first_part()
    films.settle(film.id)
    part, take_places = get_part(film, 0).id, quotas.take_places
    late = threading.Thread(target=films._cancel_part, args=(film.id, part))

    # When they begin in the midst of the retry, whichever of them has to wait for the other
    def begin(session: Session, owner_id: int | None, count: int) -> None:
        late.start()
        take_places(session, owner_id, count)

    monkeypatch.setattr(quotas, "take_places", begin)
    films.retry(film.id)
    late.join()
    assert list_parts(film) == {0: State.QUEUED}
    assert films.get(film.id).outcome is None

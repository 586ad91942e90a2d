"""Descriptors on both databases: asked for, answered, kept for a while, and compared."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from sqlalchemy import select

from farm.database import sessions
from farm.database.models import Descriptor
from farm.pictures import descriptors
from farm.pictures.descriptors import Statistics

ONE, OTHER, BROKEN = "1" * 64, "2" * 64, "3" * 64
VALUES = np.arange(12, dtype=np.float32).reshape(2, 6)


def ask(**pictures: bytes) -> None:
    with sessions.write_session() as session:
        descriptors.ask_for(session, pictures)


def age(sha256: str, by: timedelta) -> None:
    with sessions.write_session() as session:
        row = session.get_one(Descriptor, sha256)
        row.asked_at -= by


def list_waiting() -> list[tuple[str, bytes]]:
    with sessions.read_session() as session:
        return descriptors.list_requested(session, 10)


def list_stale() -> set[str]:
    with sessions.read_session() as session:
        return descriptors.list_stale(session, [ONE, OTHER, BROKEN])


@pytest.mark.usefixtures("database")
def test_a_picture_is_asked_for_until_it_is_answered_and_then_forgotten_but_for_its_statistics() -> None:
    assert list_stale() == {ONE, OTHER, BROKEN}
    ask(**{ONE: b"one", BROKEN: b"broken"})
    ask(**{ONE: b"one", OTHER: b"other"})
    assert sorted(list_waiting()) == [(ONE, b"one"), (OTHER, b"other"), (BROKEN, b"broken")]
    assert list_stale() == set()
    with sessions.write_session() as session:
        descriptors.answer(session, ONE, "vgg16", VALUES)
        descriptors.answer(session, BROKEN, "vgg16", None)
    assert list_waiting() == [(OTHER, b"other")]
    with sessions.read_session() as session:
        found = descriptors.find(session, [ONE, OTHER, BROKEN])
        assert list(session.scalars(select(Descriptor.picture).where(Descriptor.sha256 != OTHER))) == [
            None,
            None,
        ]
    assert found.keys() == {ONE, BROKEN}
    assert found[BROKEN] is None
    answered = found[ONE]
    assert answered is not None
    assert answered.network == "vgg16"
    assert np.array_equal(answered.values, VALUES)


@pytest.mark.usefixtures("database")
def test_what_nobody_waits_for_is_not_answered_and_what_nobody_asks_for_is_forgotten() -> None:
    ask(**{ONE: b"one", OTHER: b"other"})
    with sessions.write_session() as session:
        descriptors.answer(session, ONE, "vgg16", VALUES)
    age(OTHER, descriptors.PATIENCE)
    assert list_waiting() == []
    assert list_stale() == {OTHER, BROKEN}
    # Asked for again, it is worth an answer again; an answer is kept for longer
    ask(**{OTHER: b"other"})
    assert list_waiting() == [(OTHER, b"other")]
    age(ONE, descriptors.RENEWED)
    assert list_stale() == {ONE, BROKEN}
    # And both end
    age(ONE, descriptors.KEPT)
    age(OTHER, descriptors.PATIENCE)
    descriptors.forget()
    with sessions.read_session() as session:
        assert list(session.scalars(select(Descriptor))) == []


def test_the_same_picture_is_closest_and_other_networks_say_nothing() -> None:
    generator = np.random.default_rng(1)
    one = Statistics("vgg16", generator.uniform(0, 5, (2, 768)).astype(np.float32))
    near = Statistics("vgg16", one.values * 1.1)
    far = Statistics("vgg16", generator.uniform(0, 5, (2, 768)).astype(np.float32) ** 2)
    found = [descriptors.compute_closeness(one, other) for other in (one, near, far)]
    assert found[0] == 1
    assert found == sorted(found, reverse=True)  # type: ignore[type-var]
    assert all(0 <= each <= 1 for each in found)  # type: ignore[operator]
    assert descriptors.compute_closeness(one, Statistics("vgg19", one.values)) is None

"""Looks: as files, on both databases, and those that come with the farm."""

from __future__ import annotations

import json
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from PIL import Image
from sqlalchemy.orm import Session

import web
from farm.database import sessions
from farm.database.looks import SavedLook
from farm.database.people import Person
from farm.errors import InvalidInput, NotFound, NotYours
from farm.looks import saved
from farm.looks.built_in import USUAL, list_built_in
from farm.looks.look import SETTINGS, Look, list_left_out
from farm.people import accounts, audit
from farm.people.visitors import ANYBODY, Visitor
from farm.recipe import Recipe
from tests.conftest import fresh_settings

PICTURES = Path(web.__file__).parent / "static" / "looks"
EVENING = {"style_farm_look": 1, "name": "Evening", "settings": {"version": "0.2", "style_scale": 2.0}}


def read(**changes: Any) -> Look:
    return Look.from_json(json.dumps(EVENING | changes))


def test_a_look_is_the_manner_of_a_recipe_without_size_effort_or_what_its_pictures_need() -> None:
    recipe = Recipe(size=2048, preset="fine", format="jpeg", seed=7, tv_weight=3, blend=(1, 2))
    recipe = recipe.model_copy(update={"style_scale": (1.0, 2.0), "init": "picture"})
    look = Look.from_recipe("Evening", recipe)
    assert look.settings == {"version": "0.2", "tv_weight": 3.0}
    assert look.resolve({"size": 96}) == Recipe(size=96, tv_weight=3)
    assert look.resolve({"tv_weight": 0}).tv_weight == 0
    assert look.manner.keys() == {"version", *SETTINGS}


def test_what_belongs_to_its_pictures_is_listed_as_left_out_and_a_size_for_all_paintings_is_kept() -> (
    None
):
    assert list_left_out(Recipe(size=2048, preset="fine", seed=7, style_scale=2, init="noise")) == []
    recipe = Recipe(style_scale=(1, 2), stroke_arrows=[(0, 0, 1, 1)], blend=(1, 2), init="picture")
    assert list_left_out(recipe) == ["style_scale", "stroke_arrows", "blend", "init"]
    alike = Recipe(style_scale=(2, 2))
    assert list_left_out(alike) == []
    assert Look.from_recipe("Evening", alike) == read()
    # And all others are a look's, or are size, effort and the like
    kept = Look.from_recipe("Evening", recipe).manner.keys()
    left = {
        "size",
        "grown_from",
        "preset",
        "format",
        "iterations",
        "tolerance",
        "precision",
        "features",
        "seed",
    }
    assert {*kept, *list_left_out(recipe), *left} == Recipe.model_fields.keys()


def test_a_look_of_an_old_recipe_means_what_it_meant() -> None:
    old = Recipe.parse({"version": "0.1"})
    assert Look.from_recipe("Old", old).settings == {"version": "0.1"}
    assert Look.from_recipe("Old", old).resolve({}) == old


def test_a_look_goes_out_as_a_file_and_comes_in_as_the_same() -> None:
    look = read()
    assert look.to_file().model_dump() == EVENING
    assert Look.from_json(look.to_file().model_dump_json()) == look


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"style_farm_look": 2, "tint": 1}, "style_farm_look: is 2: the look is of a newer farm"),
        ({"style_farm_look": 0}, "style_farm_look: must be 1"),
        ({"settings": {"version": "0.9", "brush": 1}}, r"version: is 0\.9: the look is of a newer farm"),
        ({"settings": {"version": None}}, "version: must be text, such as 0.2"),
        ({"settings": {"version": ["0.2"]}}, "version: must be text, such as 0.2"),
        ({"settings": {"brush": 1, "size": 64}}, r"^settings\.brush: is nothing .*; nor settings\.size"),
        ({"tint": 1, "hue": 2}, "tint: is not a field of a look's file; nor hue"),
        ({"settings": {"style_weight": 0}}, r"^settings\.style_weight: must not be 0"),
        ({"settings": {"style_layers": {"relu1_1": 0}}}, r"^settings\.style_weight: must not be 0"),
        ({"settings": {"style_layers": []}}, r"^settings\.style_layers: input should be an object$"),
        ({"settings": {"style_scale": 99}}, r"^settings\.style_scale: .* less than or equal to 4"),
        ({"settings": []}, "^settings: input should be an object"),
        ({"settings": {"style_scale": [1, 2]}}, r"^settings\.style_scale: has a size for each painting"),
        ({"settings": {"init": "picture"}}, r"^settings\.init: is a picture of one's own"),
        ({"name": None}, "name: input should be a valid string"),
    ],
)
def test_a_file_that_is_no_look_of_this_farm_says_why(changes: dict, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        read(**changes)


@pytest.mark.parametrize("text", ["", "[]", "\x89PNG", '{"name": "x"}', "x" * 100_001])
def test_what_is_no_look_at_all_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        Look.from_json(text)


def test_each_look_of_the_farm_has_a_picture_and_differs_from_the_others() -> None:
    found = list_built_in()
    assert (found[0].id, found[0].look.resolve({})) == (USUAL, Recipe())
    assert len({json.dumps(each.look.manner, sort_keys=True) for each in found}) == len(found) > 4
    for each in found:
        assert 10 <= len(each.words) <= 90
        picture = PICTURES / f"{each.id}.jpg"
        assert picture.stat().st_size <= 40_000
        with Image.open(picture) as image:
            assert image.size == (240, 180)
    assert {path.stem for path in PICTURES.iterdir()} == {each.id for each in found}


# Saved ------------------------------------------------------------------------------------------


@pytest.fixture
def people(database: str) -> dict[str, Visitor]:
    """Ada and Bob, who are users, and Olga, who is an operator."""
    found = {}
    with sessions.write_session() as session:
        for name in ("Ada", "Bob", "Olga"):
            person = accounts.add(session, name, Person.role.type.enum_class.USER, by="test")
            if name == "Olga":
                person.role = type(person.role).OPERATOR
            found[name] = Visitor(person.id, name, person.role)
    return found


def save(visitor: Visitor, name: str = "Evening", **options: Any) -> str:
    with sessions.write_session() as session:
        made = saved.save(session, visitor, read(name=name), **options)
        session.flush()
        return made.id


def names(session: Session, visitor: Visitor) -> list[tuple[str, str | None]]:
    return [(row.name, owner) for row, owner in saved.list_seen(session, visitor)]


def test_a_look_is_its_owners_alone_until_it_is_shared(people: dict[str, Visitor]) -> None:
    ada, bob, olga = people.values()
    look_id = save(ada)
    save(bob)  # the same name, of another person
    with sessions.write_session() as session:
        assert [names(session, each) for each in (ada, olga)] == [[("Evening", "Ada")], []]
        with pytest.raises(NotFound):
            saved.get(session, bob, look_id)
        saved.share(session, ada, look_id, shared=True)
    with sessions.write_session() as session:
        assert names(session, bob) == [("Evening", "Bob"), ("Evening", "Ada")]
        assert saved.read_look(saved.get(session, bob, look_id)) == read()
        for change in (
            lambda: saved.rename(session, bob, look_id, "Mine"),
            lambda: saved.share(session, bob, look_id, shared=False),
            lambda: saved.delete(session, bob, look_id),
        ):
            with pytest.raises(NotYours, match="another person's"):
                change()
        saved.rename(session, ada, look_id, "  Late \n evening ")
        saved.share(session, ada, look_id, shared=False)
    with sessions.write_session() as session:
        assert names(session, bob) == [("Evening", "Bob")]
        assert saved.delete(session, ada, look_id) == "Late evening"
        assert [line.action for line in audit.list_newest(session).lines][:1] == ["add person"]


def test_what_an_operator_does_with_anothers_look_is_in_the_audit(people: dict[str, Visitor]) -> None:
    ada, _, olga = people.values()
    look_id = save(ada, shared=True)
    with sessions.write_session() as session:
        saved.rename(session, olga, look_id, "Decent")
        saved.delete(session, olga, look_id)
    with sessions.read_session() as session:
        found = [
            (line.person, line.action, line.subject) for line in audit.list_newest(session, 2).lines
        ]
    assert found == [("Olga", "delete look", "Decent"), ("Olga", "rename look", "Evening")]


def test_a_name_is_one_looks_of_its_owner(people: dict[str, Visitor]) -> None:
    for visitor in (people["Ada"], ANYBODY):
        first, second = save(visitor), save(visitor, "Noon")
        with sessions.write_session() as session:
            for name, words in (
                ("Evening", "is another look's"),
                ("EVENING", "'EVENING' is too like 'Evening', another look"),
                ("", "1 to 80"),
                ("x" * 81, "1 to 80"),
            ):
                with pytest.raises(InvalidInput, match=words):
                    saved.rename(session, visitor, second, name)
            with pytest.raises(InvalidInput, match="is another look's"):
                saved.save(session, visitor, read())
            with pytest.raises(InvalidInput, match="is too like"):
                saved.save(session, visitor, read(name="evening"))
            saved.rename(session, visitor, first, "EVENING")  # its own name is free
            saved.rename(session, visitor, first, "Evening")
    with sessions.read_session() as session:
        assert names(session, ANYBODY)[:2] == [("Evening", None), ("Noon", None)]


def test_names_that_differ_in_capitals_alone_stay_where_both_were_saved_before(
    people: dict[str, Visitor],
) -> None:
    ada = people["Ada"]
    with sessions.write_session() as session:
        for name in ("Fine", "FINE", "Finé"):
            session.add(SavedLook(owner_id=ada.person_id, name=name, settings=read().settings))
    with sessions.write_session() as session:
        found = {row.name: row.id for row, _ in saved.list_seen(session, ada)}
        assert found.keys() == {"Fine", "FINE", "Finé"}
        saved.share(session, ada, found["FINE"], shared=True)
        assert saved.rename(session, ada, found["FINE"], "FINE").shared
        with pytest.raises(InvalidInput, match="is too like"):
            saved.rename(session, ada, found["FINE"], "fine")
        saved.delete(session, ada, found["Fine"])
        saved.rename(session, ada, found["FINE"], "fine")
    with pytest.raises(InvalidInput, match="is too like"):
        save(ada, "Fine")


@pytest.mark.slow
def test_of_two_who_save_one_name_at_the_same_moment_one_is_refused(people: dict[str, Visitor]) -> None:
    refused: list[InvalidInput] = []

    def save_like() -> None:
        try:
            save(ANYBODY, "EVENING")
        except InvalidInput as error:
            refused.append(error)

    with sessions.write_session() as session:
        saved.save(session, ANYBODY, read())
        session.flush()
        other = Thread(target=save_like)
        other.start()
        other.join(0.5)  # s, in which it is through where nothing holds it
    other.join()
    assert [str(each) for each in refused] == [
        "name: 'EVENING' is too like 'Evening', another look; choose another"
    ]


def test_looks_go_with_their_owners_account_and_are_not_more_than_the_limit(
    people: dict[str, Visitor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saved, "MAX_OWN", 1)
    look_id = save(people["Ada"], shared=True)
    with pytest.raises(InvalidInput, match="one too many"):
        save(people["Ada"], "Noon")
    with sessions.write_session() as session:
        accounts.remove(session, "Ada", by="Olga")
    with sessions.read_session() as session, pytest.raises(NotFound):
        saved.get(session, people["Bob"], look_id)


def test_looks_are_everybodys_where_all_is_common(
    people: dict[str, Visitor], monkeypatch: pytest.MonkeyPatch
) -> None:
    look_id = save(people["Ada"])
    monkeypatch.setenv("FARM_SHARED", "1")
    fresh_settings()
    with sessions.write_session() as session:
        assert names(session, people["Bob"]) == [("Evening", "Ada")]
        saved.rename(session, people["Bob"], look_id, "Ours")

"""People's own looks: saved, found, renamed, shared and deleted.

A look is its owner's alone until it is shared with everybody; where nobody has an account, or all is
common, everybody sees and changes all.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from sqlalchemy import ColumnElement, func, select, text, true
from sqlalchemy.orm import Session

from farm.database.looks import SavedLook
from farm.database.names import fold, fold_case
from farm.database.people import Person
from farm.errors import InvalidInput, NotFound, NotYours, Problem
from farm.looks.built_in import find_built_in, list_built_in
from farm.looks.look import Look
from farm.people import audit
from farm.people.accounts import check_name
from farm.people.visitors import Visitor
from farm.settings import settings

MAX_OWN = 100  # looks of a person
MAX_SHARED = 200  # looks of others that a list shows
ID = re.compile("[0-9a-f]{32}")
NO_LOOK = "There is no look of this name or id; perhaps it was deleted."


def save(session: Session, visitor: Visitor, look: Look, *, shared: bool = False) -> SavedLook:
    """Save a look as the visitor's.

    Raises:
        InvalidInput: its name cannot be one or is taken, or they have as many as one may have.
    """
    name = check_name(look.name)
    _lock_names(session)
    mine = _match_owner(visitor.person_id)
    if (session.scalar(select(func.count()).select_from(SavedLook).where(mine)) or 0) >= MAX_OWN:
        raise InvalidInput(Problem("name", f"is one too many: there are {MAX_OWN} looks; delete some"))
    _check_free(session, visitor.person_id, name)
    made = SavedLook(owner_id=visitor.person_id, name=name, settings=look.settings, shared=shared)
    session.add(made)
    return made


def list_seen(session: Session, visitor: Visitor) -> Sequence[tuple[SavedLook, str | None]]:
    """Return the looks that a visitor is offered, each with its owner's name: their own, then
    others' that are shared, by name. Operators are offered no more than others."""
    query = select(SavedLook, Person.name).outerjoin(Person, Person.id == SavedLook.owner_id)
    query = query.order_by(SavedLook.name, SavedLook.id)
    own = session.execute(query.where(_match_owner(visitor.person_id))).all()
    offered = SavedLook.owner_id.is_distinct_from(visitor.person_id) & _match_offered(visitor)
    others = session.execute(query.where(offered).limit(MAX_SHARED)).all()
    return [(row[0], row[1]) for row in (*own, *others)]


def get(session: Session, visitor: Visitor, look_id: str) -> SavedLook:
    """Return a look that the visitor may use.

    Raises:
        NotFound: there is none of this id that they see.
    """
    found = session.get(SavedLook, look_id) if ID.fullmatch(look_id) else None
    if found is None or not (found.shared or visitor.may_see(found.owner_id)):
        raise NotFound(NO_LOOK)
    return found


def get_with_owner(session: Session, visitor: Visitor, look_id: str) -> tuple[SavedLook, str | None]:
    """Return the same with its owner's name; None: nobody's.

    Raises:
        NotFound: there is none of this id that they see.
    """
    found = get(session, visitor, look_id)
    owner = session.get(Person, found.owner_id) if found.owner_id is not None else None
    return found, owner.name if owner else None


def read_look(row: SavedLook) -> Look:
    """Return the look that a row holds."""
    return Look(row.name, row.settings)


def rename(session: Session, visitor: Visitor, look_id: str, name: str) -> SavedLook:
    """Give a look another name.

    Raises:
        NotFound: there is none that they see. NotYours: it is another's. InvalidInput: the name cannot
            be one, or is taken.
    """
    found = _get_own(session, visitor, look_id)
    name = check_name(name)
    if name == found.name:
        return found  # which an earlier version may have let be like another's but for capitals
    _lock_names(session)
    _check_free(session, found.owner_id, name, but=found.id)
    _record(session, visitor, "rename look", found, f"{found.name} to {name}")
    found.name = name
    return found


def share(session: Session, visitor: Visitor, look_id: str, *, shared: bool) -> SavedLook:
    """Show a look to everybody, or to its owner alone.

    Raises:
        NotFound: there is none that they see. NotYours: it is another's.
    """
    found = _get_own(session, visitor, look_id)
    found.shared = shared
    _record(session, visitor, "share look" if shared else "stop sharing look", found)
    return found


def delete(session: Session, visitor: Visitor, look_id: str) -> str:
    """Delete a look, and return its name. Pictures that were made by it keep their recipes.

    Raises:
        NotFound: there is none that they see. NotYours: it is another's.
    """
    found = _get_own(session, visitor, look_id)
    session.delete(found)
    _record(session, visitor, "delete look", found)
    return found.name


def may_change(visitor: Visitor, look: SavedLook) -> bool:
    """Check whether a visitor may rename, share and delete a look."""
    return visitor.may_see(look.owner_id)


def _get_own(session: Session, visitor: Visitor, look_id: str) -> SavedLook:
    if known := find_built_in(look_id):
        message = f"“{known.look.name}” is one of the farm's own looks and stays as it is."
        raise NotYours(f"{message} Save it under another name to change it.")
    found = get(session, visitor, look_id)
    if not may_change(visitor, found):
        raise NotYours("This look is another person's, who alone may change it.")
    return found


def _match_owner(owner_id: int | None) -> ColumnElement[bool]:
    return SavedLook.owner_id.is_not_distinct_from(owner_id)


def _match_offered(visitor: Visitor) -> ColumnElement[bool]:
    everything = visitor.person_id is None or settings().shared
    return true() if everything else SavedLook.shared.is_(True)


def _lock_names(session: Session) -> None:
    """Let nobody else write looks until this transaction ends, so that names stay as they are compared:
    SQLite has one writer at a time anyway."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("LOCK TABLE looks IN SHARE ROW EXCLUSIVE MODE"))


def _check_free(session: Session, owner_id: int | None, name: str, but: str = "") -> None:
    """Check that a name is none of an owner's looks nor of the farm's, whatever the capitals.

    Args:
        but: id of the look that is to have it.

    Raises:
        InvalidInput: it is.
    """
    if any(fold(name) == fold(each.look.name) for each in list_built_in()):
        raise InvalidInput(Problem("name", f"{name!r} is a look of the farm's own; choose another"))
    others = select(SavedLook.name).where(_match_owner(owner_id), SavedLook.id != but)
    taken = [other for other in session.scalars(others) if fold_case(other) == fold_case(name)]
    if taken:
        whose = "another look's already" if name in taken else f"too like {taken[0]!r}, another look"
        raise InvalidInput(Problem("name", f"{name!r} is {whose}; choose another"))


def _record(session: Session, visitor: Visitor, action: str, look: SavedLook, detail: str = "") -> None:
    """Leave a line in the audit where an operator changes what is another person's."""
    if look.owner_id is not None and look.owner_id != visitor.person_id:
        audit.record(session, visitor.name, action, look.name, detail)

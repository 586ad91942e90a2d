"""Looks: the farm's own, and people's, saved, shared, renamed, deleted, and as files."""

from __future__ import annotations

from typing import Annotated, Any, Self

from flask import Response, url_for
from flask.typing import ResponseReturnValue
from pydantic import BaseModel, ConfigDict, Field, model_validator

from farm.database import sessions
from farm.database.looks import SavedLook
from farm.database.people import NAME_LENGTH
from farm.jobs import states
from farm.looks import saved
from farm.looks.built_in import BuiltIn, find_built_in, list_built_in
from farm.looks.look import Look, LookFile, list_left_out
from farm.people.visitors import Visitor
from farm.recipe import Recipe
from farm.recipe.problems import Untrusted
from web.api import answers, blueprint
from web.api.requests import find_look, respond_conditionally
from web.middleware.authentication import get_visitor

NO_LOOK = {404: "No such look."}
NOT_OWN = {403: "One of the farm's own or another person's, or sent by another site's page."}
MADE = "Saved."
Name = Annotated[str, Field(min_length=1, max_length=NAME_LENGTH, description="For people.")]


class LookOut(BaseModel):
    """Look as the API describes it."""

    id: str = Field(description="For `look` of a submission.")
    name: str
    words: str = Field(description="What it does, for people; empty for people's own.")
    owner: str | None = Field(description="Null: the farm's, or nobody's.")
    mine: bool = Field(description="Whoever asks may rename, share and delete it.")
    shared: bool = Field(description="With everybody.")
    settings: dict[str, Any] = Field(description="What it sets.")
    manner: dict[str, Any] = Field(description="The same, with what it leaves as it is by default.")
    picture: str | None = Field(description="What it does, as a small picture.")

    @classmethod
    def from_built_in(cls, found: BuiltIn) -> LookOut:
        """Describe one of the farm's."""
        return cls(
            id=found.id,
            name=found.look.name,
            words=found.words,
            owner=None,
            mine=False,
            shared=True,
            settings=found.look.settings,
            manner=found.look.manner,
            picture=build_picture_url(found),
        )

    @classmethod
    def from_row(cls, row: SavedLook, owner: str | None, visitor: Visitor) -> LookOut:
        """Describe a person's."""
        return cls(
            id=row.id,
            name=row.name,
            words="",
            owner=owner,
            mine=saved.may_change(visitor, row),
            shared=row.shared,
            settings=row.settings,
            manner=saved.read_look(row).manner,
            picture=None,
        )


class LookOfJobOut(LookOut):
    """Look that was saved from a job."""

    left_out: list[str] = Field(
        description="Settings of the job that belong to its pictures, so that no look has them: weights"
        " and sizes of strokes for each painting, arrows, a picture to begin from. Size, quality,"
        " iterations, tolerance, file, chance, precision and network are never part of a look."
    )


class Looks(BaseModel):
    """Looks that are offered to whoever asks."""

    items: list[LookOut] = Field(description="The farm's, then one's own, then others' that are shared.")


class LookIn(LookFile):
    """Look to be saved: a file as it was exported, or name and settings alone."""

    shared: bool = Field(False, description="With everybody.")


class LookOfJob(Untrusted):
    """Name for the look of a job."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    shared: bool = Field(False, description="With everybody.")


class LookChange(Untrusted):
    """Change of a look; what is left out stays."""

    model_config = ConfigDict(extra="forbid")

    name: Name | None = None
    shared: bool | None = None

    @model_validator(mode="after")
    def _check_not_empty(self) -> Self:
        if self.name is None and self.shared is None:
            raise ValueError("body: must have a name, or say whether it is shared")
        return self


def build_picture_url(found: BuiltIn) -> str:
    """Return the address of the picture of what one of the farm's looks does."""
    return url_for("static", filename=f"looks/{found.id}.jpg")


def list_looks_for(visitor: Visitor) -> list[LookOut]:
    """Return all looks that a visitor is offered."""
    with sessions.read_session() as session:
        rows = saved.list_seen(session, visitor)
        found = [LookOut.from_row(row, owner, visitor) for row, owner in rows]
    return [*(LookOut.from_built_in(each) for each in list_built_in()), *found]


@blueprint.get("/looks")
@blueprint.output(Looks)
@blueprint.doc(tags=["Looks"])
def list_looks() -> Looks:
    """List the looks: the farm's, one's own, and others' that are shared."""
    return Looks(items=list_looks_for(get_visitor()))


@blueprint.get("/looks/<look_id>")
@blueprint.output(LookOut)
@blueprint.doc(tags=["Looks"], responses=NO_LOOK | answers.UNCHANGED)
def get_look(look_id: str) -> Response:
    """Return one look."""
    if known := find_built_in(look_id):
        return respond_conditionally(LookOut.from_built_in(known))
    with sessions.read_session() as session:
        return respond_conditionally(_describe(saved.get_with_owner(session, get_visitor(), look_id)))


@blueprint.get("/looks/<look_id>/file")
@blueprint.output(LookFile)
@blueprint.doc(tags=["Looks"], responses=NO_LOOK | answers.UNCHANGED)
def export_look(look_id: str) -> Response:
    """Return one look as a file, which any farm of this version takes."""
    return respond_conditionally(find_look(look_id).to_file())


@blueprint.post("/looks")
@blueprint.input(LookIn, location="json")
@blueprint.output(LookOut, 201, description=MADE)
@blueprint.doc(tags=["Looks"], responses=answers.BAD_JSON)
def save_look(json_data: LookIn) -> tuple[LookOut, int]:
    """Save a look as one's own."""
    return save_as_own(Look.from_file(json_data), shared=json_data.shared), 201


@blueprint.post("/jobs/<job_id:job_id>/look")
@blueprint.input(LookOfJob, location="json")
@blueprint.output(LookOfJobOut, 201, description=MADE)
@blueprint.doc(tags=["Looks"], responses=answers.NO_JOB | answers.BAD_JSON)
def save_look_of_job(job_id: str, json_data: LookOfJob) -> tuple[LookOfJobOut, int]:
    """Save the look of a job as one's own, without what belongs to its pictures."""
    return save_look_of(job_id, json_data.name, shared=json_data.shared), 201


@blueprint.patch("/looks/<look_id>")
@blueprint.input(LookChange, location="json")
@blueprint.output(LookOut)
@blueprint.doc(tags=["Looks"], responses=NO_LOOK | answers.BAD_JSON | NOT_OWN)
def change_look(look_id: str, json_data: LookChange) -> LookOut:
    """Give a look of one's own another name, share it, or share it no more."""
    with sessions.write_session() as session:
        if json_data.name is not None:
            saved.rename(session, get_visitor(), look_id, json_data.name)
        if json_data.shared is not None:
            saved.share(session, get_visitor(), look_id, shared=json_data.shared)
        return _describe(saved.get_with_owner(session, get_visitor(), look_id))


@blueprint.delete("/looks/<look_id>")
@blueprint.output({}, 204, description="It is gone. Pictures that were made by it keep their recipes.")
@blueprint.doc(tags=["Looks"], responses=NO_LOOK | NOT_OWN)
def delete_look(look_id: str) -> ResponseReturnValue:
    """Delete a look of one's own."""
    with sessions.write_session() as session:
        saved.delete(session, get_visitor(), look_id)
    return "", 204


def save_look_of(job_id: str, name: str, *, shared: bool) -> LookOfJobOut:
    """Save the look of a job as that of whoever asks, and list what of the job is not in it.

    Raises:
        NotFound: no such job. InvalidInput: its name cannot be one or is taken, or there are too many.
    """
    with sessions.read_session() as session:
        recipe = Recipe.model_validate(states.get(session, job_id).recipe)
    made = save_as_own(Look.from_recipe(name, recipe), shared=shared)
    return LookOfJobOut(**made.model_dump(), left_out=list_left_out(recipe))


def save_as_own(look: Look, *, shared: bool) -> LookOut:
    """Save a look as that of whoever asks.

    Raises:
        InvalidInput: its name cannot be one or is taken, or there are as many as there may be.
    """
    visitor = get_visitor()
    with sessions.write_session() as session:
        row = saved.save(session, visitor, look, shared=shared)
        session.flush()
        return LookOut.from_row(row, visitor.name or None, visitor)


def _describe(found: tuple[SavedLook, str | None]) -> LookOut:
    return LookOut.from_row(*found, get_visitor())

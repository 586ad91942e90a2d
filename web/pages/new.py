"""Form for a new picture: the page, and what becomes of it when it is sent."""

from __future__ import annotations

import math
import re
import secrets
from collections.abc import Callable
from contextlib import suppress
from operator import itemgetter
from pathlib import PurePosixPath
from typing import Any

import structlog
from flask import current_app, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_wtf import FlaskForm

from farm.clips.recognise import is_clip
from farm.database import sessions
from farm.database.models import Job, State
from farm.database.people import Person
from farm.errors import InvalidInput, NoRoom, NotFound, Problem, QuotaReached
from farm.explorations import grids, growing
from farm.films.submit import submit_film
from farm.fleet import registry
from farm.jobs import states
from farm.jobs.fields import NAME_LENGTH
from farm.jobs.guides import GuideFiles
from farm.jobs.idempotency import FORM, Key, compute_digest
from farm.jobs.names import clean_file_name
from farm.jobs.submit import Photograph, submit, submit_together
from farm.looks.look import Look, list_left_out
from farm.people import quotas
from farm.people.visitors import NO_JOB, check_job
from farm.recipe import Recipe
from farm.recipe.recipe import MAX_STYLES, SMALLEST_STYLE
from farm.settings import settings
from web import samples, words
from web.api.looks import list_looks_for, save_as_own
from web.api.requests import find_look, read_from_start, read_whole_number
from web.files import build_source_url
from web.middleware.authentication import get_visitor
from web.middleware.errors import list_headers
from web.pages import blueprint, clip, recent
from web.pages.chosen_pictures import Picture, name_start, read_contents, read_form
from web.pages.film_form import (
    FILM_FIELDS,
    fill_film_values,
    find_kept_film,
    name_fields,
    read_film_settings,
)
from web.pages.form import PictureForm, find_larger_size, list_choices, offer_tags
from web.pages.form_values import (
    fill_values,
    make_draft,
    read_axis,
    read_recipe,
    set_content_weight,
    show_problems,
    take_look,
)

SENT_BEFORE = "You have sent this form before; this came of it. Change something in it for another one."
NOT_SAVED = "Not saved as a look yet"
FRAME = ", frame "  # in the names of drafts of a clip's frames, before their numbers
JOB_ID = re.compile("[0-9a-f]{32}")
BY_SCRIPT = "XMLHttpRequest"  # in X-Requested-With: form/sending.js asks, which goes on by itself

log = structlog.get_logger()


@blueprint.get("/")
def show_form() -> str:
    """Show the form; `?from=<job>` fills it in from that job, `&size=` with another size, `&grow=1` to
    go on from its pixels, `&settings=newest` with today's settings instead of the job's,
    `&content_weight=` with another balance; `?look=<id>` takes a look."""
    kept = load_kept_job(request.args.get("from", ""))
    values = fill_values(kept, _find_recipe(kept)) if kept else {}
    if film := find_kept_film(kept):
        values |= fill_film_values(film)
    form = PictureForm(formdata=None, data=values)
    if kept and _is_growing(kept):
        form.grow.data = "1"
    if kept and request.args.get("settings") == "newest":
        kept_settings = _find_recipe(kept).model_dump(include={"size", "preset", "format", "blend"})
        form = PictureForm(formdata=None, data=fill_values(kept, Recipe.parse(kept_settings)))
    if kept and request.args.get("size", "").isdecimal():
        form.size.data = request.args["size"]
    if look_id := request.args.get("look"):
        take_look(form, look_id, find_look(look_id))
    if kept and (weight := request.args.get("content_weight", type=float)) and 0 < weight < math.inf:
        set_content_weight(form, float(f"{weight:.3g}"))
    return _render_form(form, kept)


def _is_growing(kept: Job) -> bool:
    return bool(request.args.get("grow")) and kept.state is State.SUCCEEDED


def _find_recipe(job: Job) -> Recipe:
    """Return a job's recipe; of an exploration's cell, the one it stands for at full size; of a picture
    that is to grow, the larger one's."""
    if _is_growing(job):
        size = request.args.get("size", "")
        larger = int(size) if size.isdecimal() else None if job.exploration_id else find_larger_size(job)
        with suppress(InvalidInput):  # it cannot grow so; the form says why when it is sent
            return growing.make_recipe(job, Recipe.parse({"size": larger} if larger else {}))
    if job.exploration_id is None:
        return Recipe.model_validate(job.recipe)
    return grids.enlarge_cell(grids.get(job.exploration_id), job)


@blueprint.post("/")
def create() -> ResponseReturnValue:
    """Submit; on success to the job's page, else the form again with what is wrong."""
    return _handle_form(_submit_form, _find_page)


@blueprint.post("/explore")
def explore() -> ResponseReturnValue:
    """Submit a grid of small pictures around these settings; on success to its page."""
    return _handle_form(_explore_form, _find_page)


@blueprint.post("/films/try")
def try_frames() -> ResponseReturnValue:
    """Submit small drafts of three of a clip's frames; on success to the list that has them."""
    return _handle_form(_try_frames, _find_frames)


@blueprint.post("/clip")
def check_clip() -> ResponseReturnValue:
    """Look at a clip that was chosen or picked, keep it, and return what is known of it, or what is
    wrong."""
    form, problems, sent = PictureForm(), list[Problem](), None
    try:
        sent = next(read_contents(form, _load_kept_job_or_none(form), problems), None)
        if sent is None:
            raise InvalidInput(*problems or [Problem("clip", "is missing; choose one")])
        checked = clip.check_and_store(sent.data, get_visitor())
    except InvalidInput as error:
        log.info("clip refused", problems=[problem.message for problem in error.problems])
        name = clean_file_name(sent.file_name if sent else None) or "The clip"
        wrong = [f"{name} {problem.message}." for problem in error.problems]
        return render_template("_clip.html", alone=True, wrong=wrong), error.status
    except (NoRoom, QuotaReached) as error:
        return render_template("_clip.html", alone=True, wrong=[str(error)]), error.status
    return render_template("_clip.html", alone=True, checked=checked, file_name=sent.file_name)


@blueprint.post("/look")
def change_look() -> ResponseReturnValue:
    """Show the form again with a look that was taken, or with what became of saving one."""
    form = PictureForm()
    kept = _load_kept_job_or_none(form)
    if form.look.data:
        try:
            take_look(form, form.look.data, find_look(form.look.data))
        except NotFound as error:
            return _render_form(form, kept, [("", str(error))], refused="Not changed"), error.status
        return _render_form(form, kept)
    try:
        recipe = read_recipe(form)
        look = Look.from_recipe(form.look_name.data or "", recipe)
        made = save_as_own(look, shared=form.look_shared.data)
    except InvalidInput as error:
        problems = [
            Problem("look_name" if each.field == "name" else each.field, each.message)
            for each in error.problems
        ]
        messages = show_problems(form, problems)
        return _render_form(form, kept, messages, refused=NOT_SAVED), error.status
    form.look_taken.data, form.look_name.data, form.look_shared.data = made.id, "", False
    left_out = words.describe_left_out(list_left_out(recipe))
    return _render_form(form, kept, look_saved=made.name, look_left_out=left_out), 201


def _handle_form(
    take: Callable[[FlaskForm, Job | None, Key | None], Job], find_place: Callable[[Job], str]
) -> ResponseReturnValue:
    """Answer a form that was sent: go where it leads, or show it again with what is wrong.

    Args:
        take: submits the form; returns the job that has its key. find_place: returns the address to go
            to for that job.
    """
    form = PictureForm()
    key = _compute_key(form)
    if earlier := _find_earlier(key):
        flash(SENT_BEFORE)
        return _lead_to(find_place(earlier))
    kept = _load_kept_job_or_none(form)
    try:
        job = take(form, kept, key)
    except InvalidInput as error:
        log.info("form refused", problems=[problem.field for problem in error.problems])
        return _render_form(form, kept, show_problems(form, name_fields(error.problems))), error.status
    except (NoRoom, QuotaReached) as error:
        log.warning("form not taken", reason=str(error))
        return _render_form(form, kept, [("", str(error))]), error.status, list_headers(error)
    return _lead_to(find_place(job))


def _lead_to(place: str) -> ResponseReturnValue:
    if request.headers.get("X-Requested-With") == BY_SCRIPT:
        return "", 201, {"Location": place}
    return redirect(place, 303)


def _find_page(job: Job) -> str:
    """Return the address of what a form became whose key this job has."""
    if job.film_id:
        return url_for("pages.show_film", film_id=job.film_id)
    if job.exploration_id:
        return url_for("pages.show_exploration", exploration_id=job.exploration_id)
    return url_for("pages.show_job", job_id=job.id)


def _find_frames(job: Job) -> str:
    """Return the address of the list of three frames' drafts, of which this is the first."""
    return url_for("pages.list_jobs", q=job.name.removesuffix(job.name.rpartition(FRAME)[2]))


def _load_kept_job_or_none(form: FlaskForm) -> Job | None:
    """Load the job that a form was filled in from; None without one, or where it was deleted."""
    try:
        return load_kept_job(form.from_job.data or "")
    except NotFound:
        form.from_job.data = ""
        return None


def load_kept_job(job_id: str) -> Job | None:
    """Load the job whose pictures are used again, None without one.

    Raises:
        NotFound: there is none of this id.
    """
    if not job_id:
        return None
    if not JOB_ID.fullmatch(job_id):
        raise NotFound(NO_JOB)
    check_job(get_visitor(), job_id)
    with sessions.read_session() as session:
        return states.get(session, job_id)


def _render_form(
    form: FlaskForm,
    kept: Job | None,
    messages: list[tuple[str, str]] | None = None,
    **said: str,
) -> str:
    """Return the page.

    Args:
        said: what became of saving a look.
    """
    form.once.data = form.once.data or secrets.token_hex(16)
    with sessions.read_session() as session:
        tags = registry.list_tags(session)
        used = recent.list_recent(session, get_visitor())
    shown = {sample.sha256 for sample in samples.list_offered(samples.STYLES)}
    shown |= {style.upload_sha256 for style in kept.styles} if kept else set()
    film = find_kept_film(kept)
    return render_template(
        "new.html",
        form=form,
        kept=kept,
        kept_name=film.name if film else kept.name if kept else "",
        kept_film=film,
        recent=[each for each in used if each.upload.sha256 not in shown],
        messages=messages or [],
        megabytes=settings().max_upload_mb,
        clip_limits=words.describe_clip_limits(),
        clip_megabytes=settings().max_clip_mb,
        film_fields=FILM_FIELDS,
        body_limit=current_app.config["MAX_CONTENT_LENGTH"],
        most_styles=MAX_STYLES,
        grown_from=growing.measure_draft(kept) if kept and form.grow.data else None,
        smallest_style=SMALLEST_STYLE,
        has_tags=offer_tags(form, tags),
        quotas=_describe_own_quotas(),
        masks_of_kept=[build_source_url(kept, mask, whole=True) for mask in kept.masks] if kept else [],
        keep_of_kept=build_source_url(kept, kept.keep, whole=True) if kept and kept.keep else "",
        looks=list_looks_for(get_visitor()),
        look_has_owner=get_visitor().person_id is not None,
        **said,
        **list_choices(form.version.data),
    )


def _describe_own_quotas() -> str:
    """Return what is left of the visitor's quotas; "": they have none."""
    person_id = get_visitor().person_id
    if person_id is None:
        return ""
    with sessions.read_session() as session:
        person = session.get(Person, person_id)
        return words.describe_quotas_left(quotas.measure(session, person)) if person else ""


def _submit_form(form: FlaskForm, kept: Job | None, key: Key | None) -> Job:
    pictures, guides, recipe = read_form(form, kept)
    content, *styles = [each.data for each in pictures]
    options = _list_options(form, pictures, guides, key)
    if is_clip(content):
        film = read_film_settings(form, find_kept_film(kept))
        with name_start():
            return submit_film(content, styles, recipe, film, **options).parts[0]
    with name_start():
        return submit(content, styles, recipe, **options)


def _list_options(
    form: FlaskForm, pictures: list[Picture], guides: GuideFiles, key: Key | None
) -> dict[str, Any]:
    """List what jobs and films are submitted with alike, beside pictures and recipe."""
    return {
        "name": form["name"].data or "",
        "webhook_url": form.webhook_url.data or "",
        "tag": form.tag.data or "",
        "guides": guides,
        "key": key,
        "file_names": [each.file_name for each in pictures],
        "visitor": get_visitor(),
    }


def _try_frames(form: FlaskForm, kept: Job | None, key: Key | None) -> Job:
    pictures, _, recipe = read_form(form, kept)
    (content, file_name), *_ = [(each.data, each.file_name) for each in pictures]
    if not is_clip(content):
        raise InvalidInput(Problem("content", "is no clip; three frames are tried of a clip"))
    name = form["name"].data or (file_name and PurePosixPath(file_name).stem) or "Clip"
    styles = [each.data for each in pictures[1:]]
    draft = make_draft(recipe)
    drawn = clip.draw_three(content, read_film_settings(form), draft.size, get_visitor())
    frames = [
        Photograph(frame, f"{name[: NAME_LENGTH - 20]}{FRAME}{number + 1}", f"frame-{number + 1}.png")
        for number, frame in drawn
    ]
    first = submit_together(
        frames,
        styles,
        draft,
        tag=form.tag.data or "",
        key=key,
        file_names=[each.file_name for each in pictures[1:]],
        visitor=get_visitor(),
    )
    flash("Three drafts, of the first, the middle and the last frame. The form still has your clip.")
    return first


def _explore_form(form: FlaskForm, kept: Job | None, key: Key | None) -> Job:
    if form.grow.data:
        message = "makes one larger picture; begin anew to explore"
        raise InvalidInput(Problem(growing.FROM_JOB, message))
    pictures, guides, recipe = read_form(form, kept)
    content, *styles = [each.data for each in pictures]
    if is_clip(content):
        message = "is a clip; an exploration takes a photograph. Try three frames first instead"
        raise InvalidInput(Problem("content", message))
    across, down = (read_axis(form, field, recipe) for field in ("across", "down"))
    with name_start():
        made = grids.explore(
            content,
            styles,
            recipe,
            across,
            down,
            name=form["name"].data or "",
            size=read_whole_number("cell_size", grids.SIZE),
            guides=guides,
            key=key,
            file_names=[each.file_name for each in pictures],
            visitor=get_visitor(),
        )
    return made.cells[0]


def _compute_key(form: FlaskForm) -> Key | None:
    """Compute the idempotency key of this very form, filled in like this, whatever became of what it
    names: sent again, by a double click or after going back, it makes nothing new; with any change it
    does. None: the form has no id."""
    if not form.once.data:
        return None
    typed = sorted(pair for pair in request.form.items(multi=True) if pair[0] != form.csrf_token.name)
    visitor = get_visitor()
    filled_in = repr((request.endpoint, typed, *filter(None, [visitor.person_id])))
    files = [
        part
        for name, file in sorted(request.files.items(multi=True), key=itemgetter(0))
        if file.filename
        for part in (name.encode(), read_from_start(file))
    ]
    return Key(FORM, compute_digest([filled_in.encode(), *files]), visitor=visitor)


def _find_earlier(key: Key | None) -> Job | None:
    """Return the job that this very form became before; None: it has none."""
    if key is None:
        return None
    with sessions.read_session() as session:
        return key.find_job(session)

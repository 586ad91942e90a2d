"""A job's recipe as commands to copy: `farm submit`, curl."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass

from farm.database.models import Job
from farm.recipe import Recipe
from farm.recipe.typed_values import format_value
from farm.recipe.versions import NEWEST
from farm.settings import settings

OPTIONS = ("mask", "keep", "init")  # that name files


@dataclass(frozen=True)
class _Source:
    """A picture of the job, as a command fetches and sends it."""

    # In the folder where the command runs.
    file: str
    # Address on this farm.
    path: str
    # Field of a request that it is sent in.
    field: str


def build_farm_submit(job: Job, url: str) -> str:
    """Build the commands that fetch the job's pictures and send them again with the same recipe."""
    sources = _list_sources(job)
    options = [
        f"--{name.replace('_', '-')} {shlex.quote(format_value(value))}"
        for name, value in _select_differing(job).items()
    ]
    options += [f"--{each.field} {shlex.quote(each.file)}" for each in sources if each.field in OPTIONS]
    files = [shlex.quote(source.file) for source in sources if source.field not in OPTIONS]
    submit = " ".join(["farm submit", *files, f"--url {shlex.quote(url)}", *options])
    return "\n".join([*_fetch(sources, url), submit])


def build_curl(job: Job, url: str) -> str:
    """Build the same without the farm's command line."""
    sources = _list_sources(job)
    files = [
        f"-F {shlex.quote(f'{source.field}=@{_escape_for_curl(source.file)}')}" for source in sources
    ]
    recipe = shlex.quote(f"recipe={json.dumps(_select_differing(job))}")
    address = shlex.quote(f"{url}/api/v1/jobs")
    send = " ".join(["curl", *_build_authorisation(), *files, f"-F {recipe}", address])
    return "\n".join([*_fetch(sources, url), send])


def _list_sources(job: Job) -> list[_Source]:
    """List the photograph, then the paintings, under the names that they came with, each once; then what
    else steers the picture."""
    taken: set[str] = set()
    photograph = _choose_name(job.content_name or "photograph.jpg", taken)
    found = [_Source(photograph, f"/jobs/{job.id}/content/whole", "content")]
    for style in job.styles:
        usual = "painting.jpg" if len(job.styles) == 1 else f"painting{style.position + 1}.jpg"
        path = f"/jobs/{job.id}/styles/{style.position}/whole"
        found.append(_Source(_choose_name(style.file_name or usual, taken), path, "style"))
    for guide in job.guides:
        role = guide.role.value
        usual = f"{role}{guide.position + 1}.png" if role == "mask" else f"{role}.png"
        path = f"/jobs/{job.id}/{role}/{guide.position}/whole"
        found.append(_Source(_choose_name(usual, taken), path, role))
    return found


def _choose_name(name: str, taken: set[str]) -> str:
    """Return the name, or one beside it if it is taken; a command takes neither for an option."""
    chosen, number = name, 1
    while chosen in taken:
        number += 1
        chosen = f"{number}-{name}"
    taken.add(chosen)
    return f"./{chosen}" if chosen.startswith("-") else chosen


def _fetch(sources: list[_Source], url: str) -> list[str]:
    """Build the commands that fetch these."""
    return [
        " ".join(
            [
                "curl -fsS",
                *_build_authorisation(),
                f"-o {shlex.quote(each.file)} {shlex.quote(url + each.path)}",
            ]
        )
        for each in sources
    ]


def _build_authorisation() -> list[str]:
    return ['-H "Authorization: Bearer $FARM_TOKEN"'] if settings().require_token else []


def _escape_for_curl(name: str) -> str:
    """Quote a file's name where curl reads commas and semicolons as its own."""
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _select_differing(job: Job) -> dict[str, object]:
    """Return the settings that are not the defaults, and the size."""
    recipe = Recipe.model_validate(job.recipe)
    usual = Recipe.parse({"version": recipe.version}).model_dump(mode="json") | {"version": NEWEST}
    return {
        name: value
        for name, value in recipe.model_dump(mode="json").items()
        if name == "size" or name not in usual or value != usual[name]
    }

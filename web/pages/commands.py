"""A job's recipe as commands to copy: `farm submit`, curl."""

from __future__ import annotations

import json
import shlex

from farm.database.models import Job
from farm.recipe import Recipe
from farm.recipe.recipe import NEWEST, format_value
from farm.settings import settings


def build_farm_submit(job: Job, url: str) -> str:
    """Build the command that sends the same pictures, by names of one's own, with the same recipe."""
    settings = _select_differing(job)
    options = [
        f"--{name.replace('_', '-')} {shlex.quote(format_value(value))}"
        for name, value in settings.items()
    ]
    return " ".join(
        ["farm submit photograph.jpg", *_list_paintings(job), f"--url {shlex.quote(url)}", *options]
    )


def build_curl(job: Job, url: str) -> str:
    """Build the same without the farm's command line."""
    recipe = shlex.quote(f"recipe={json.dumps(_select_differing(job))}")
    styles = [f"-F 'style=@{painting}'" for painting in _list_paintings(job)]
    key = ['-H "Authorization: Bearer $FARM_TOKEN"'] if settings().require_token else []
    address = shlex.quote(f"{url}/api/v1/jobs")
    return " ".join(["curl", *key, "-F 'content=@photograph.jpg'", *styles, f"-F {recipe}", address])


def _list_paintings(job: Job) -> list[str]:
    if len(job.styles) == 1:
        return ["painting.jpg"]
    return [f"painting{style.position + 1}.jpg" for style in job.styles]


def _select_differing(job: Job) -> dict[str, object]:
    """Return the settings that are not the defaults, and the size."""
    recipe = Recipe.model_validate(job.recipe)
    usual = Recipe.parse({"version": recipe.version}).model_dump(mode="json") | {"version": NEWEST}
    return {
        name: value
        for name, value in recipe.model_dump(mode="json").items()
        if name == "size" or value != usual[name]
    }

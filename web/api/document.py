"""`/openapi.json`: what the framework cannot see for itself is described here."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, cast

from apiflask import APIFlask
from flask import Blueprint, Response, current_app, jsonify, request
from pydantic import BaseModel

from farm.database.models import WEBHOOK_LENGTH
from farm.explorations.axes import ACROSS, DOWN, KINDS, VALUES_MEAN
from farm.explorations.grids import SIZE as CELL_SIZE
from farm.explorations.grids import SIZE_MEANS as CELL_SIZE_MEANS
from farm.explorations.grids import SIZES as CELL_SIZES
from farm.explorations.growing import FROM_JOB, FROM_JOB_MEANS
from farm.jobs.fields import (
    NAME_LENGTH,
    NAME_MEANS,
    PRIORITIES,
    PRIORITY_MEANS,
    TAG_MEANS,
    WEBHOOK_MEANS,
)
from farm.jobs.guides import INIT_MEANS, KEEP_MEANS, MASK_MEANS
from farm.jobs.idempotency import KEY_LENGTH
from farm.pictures.kinds import ACCEPTED
from farm.recipe import Recipe
from farm.recipe.film_formats import FILM_FORMATS
from farm.recipe.formats import FORMATS
from farm.recipe.recipe import MAX_STYLES
from farm.settings import TAG, settings
from farm.webhooks import payload

blueprint = Blueprint("openapi_document", __name__)

DOCUMENT = "openapi_document"  # among an application's extensions: its document, once made

PROBLEM = {
    "type": "object",
    "description": "Problem details, RFC 9457.",
    "required": ["type", "title", "status", "detail", "errors"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "message"],
                "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
            },
        },
    },
}
PICTURE = {"type": "string", "format": "binary", "description": f"{ACCEPTED}."}
STRING = {"type": "string"}
_PICTURES_AND_RECIPE: dict[str, Any] = {
    "content": PICTURE,
    "style": {"type": "array", "minItems": 1, "maxItems": MAX_STYLES, "items": PICTURE},
    "mask": {"type": "array", "maxItems": MAX_STYLES, "items": PICTURE, "description": MASK_MEANS},
    "keep": PICTURE | {"description": KEEP_MEANS},
    "init": PICTURE | {"description": INIT_MEANS},
    "recipe": {"$ref": "#/components/schemas/Recipe"},
    "look": {
        "type": "string",
        "description": "Of `GET /api/v1/looks`, by its id; what the recipe sets goes before it.",
    },
    "name": {"type": "string", "maxLength": NAME_LENGTH, "description": NAME_MEANS},
}
SUBMISSION: dict[str, Any] = {
    "type": "object",
    # Not `anyOf`, of which client generators make no class.
    "description": f"With `content` and `style`, or with `{FROM_JOB}` and no file.",
    "additionalProperties": False,
    "properties": _PICTURES_AND_RECIPE
    | {
        FROM_JOB: {"type": "string", "pattern": "^[0-9a-f]{32}$", "description": FROM_JOB_MEANS},
        "priority": {
            "type": "integer",
            "minimum": PRIORITIES[0],
            "maximum": PRIORITIES[-1],
            "description": PRIORITY_MEANS,
        },
        "tag": {"type": "string", "pattern": f"^({TAG.pattern})?$", "description": TAG_MEANS},
        "webhook_url": {
            "type": "string",
            "format": "uri",
            "maxLength": WEBHOOK_LENGTH,
            "description": f"{WEBHOOK_MEANS} See `webhooks`.",
        },
    },
}
_AXIS = {"type": "string", "enum": list(KINDS)}
_VALUES = {
    "type": "string",
    "contentMediaType": "application/json",
    "description": VALUES_MEAN,
}
EXPLORATION: dict[str, Any] = {
    "type": "object",
    "required": ["content", "style"],
    "additionalProperties": False,
    "properties": _PICTURES_AND_RECIPE
    | {
        "across": _AXIS | {"default": ACROSS},
        "across_values": _VALUES,
        "down": _AXIS | {"default": DOWN},
        "down_values": _VALUES,
        "cell_size": {
            "type": "integer",
            "minimum": CELL_SIZES[0],
            "maximum": CELL_SIZES[-1],
            "default": CELL_SIZE,
            "description": CELL_SIZE_MEANS,
        },
    },
}
CLIP = {
    "type": "string",
    "format": "binary",
    "description": "MP4, MOV, WebM, MKV, GIF, animated WebP or PNG, or a zip of frames.",
}
FILM: dict[str, Any] = {
    "type": "object",
    "required": ["clip", "style"],
    "additionalProperties": False,
    "properties": {"clip": CLIP}
    | {name: part for name, part in _PICTURES_AND_RECIPE.items() if name not in ("content", "init")}
    | {"film": {"$ref": "#/components/schemas/FilmSettings"}}
    | {name: SUBMISSION["properties"][name] for name in ("priority", "tag", "webhook_url")},
}
FILM_EXAMPLES = {
    "whole": {
        "summary": "The whole clip as an MP4",
        "value": {"recipe": {"size": 640}, "film": {"format": "mp4"}, "name": "A walk"},
    },
    "moving": {
        "summary": "Two seconds of it, from one painting to another",
        "value": {
            "recipe": {"size": 640},
            "film": {
                "format": "webm",
                "first": 24,
                "end": 72,
                "moving": {"blend": {"24": [1, 0], "71": [0, 1]}},
            },
        },
    },
}
ENCODING = {  # parts of a form that are no plain text
    name: {"contentType": "application/json"} for name in ("recipe", "film")
}
OPERATION_IDS = {  # of functions whose names do not say enough outside their files
    "create": "submit_job",
    "create_film": "submit_film",
    "put": "put_job",
    "cancel": "cancel_job",
    "retry": "retry_job",
    "change": "change_job",
    "delete": "delete_job",
    "act": "act_on_jobs",
    "rate": "rate_job",
    "compare": "compare_pictures",
    "withdraw": "withdraw_rating",
}
IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Of your own making: the same request sent again under it is the same job.",
    "schema": {"type": "string", "minLength": 1, "maxLength": KEY_LENGTH, "pattern": "^[ -~]+$"},
}
WEBHOOK_HEADERS = {
    payload.DELIVERY: "The same at each try of this delivery.",
    payload.TIMESTAMP: "Of this try, seconds since 1970.",
    payload.SIGNATURE: "`v1=` and the hexadecimal HMAC-SHA256 of `timestamp.body` by the secret.",
}


def init_app(app: APIFlask) -> None:
    """Complete this application's document."""
    app.config["OPENAPI_VERSION"] = "3.1.0"
    app.spec_processor(_complete)


@blueprint.get("/openapi.json")
def get_document() -> Response:
    """Return the API, for programs."""
    here = [{"url": request.script_root or "/"}]  # may differ from one request to the next
    return jsonify(read_document() | {"servers": here})


def read_document() -> dict[str, Any]:
    """Return the document of this application without its servers, made when it is first asked for: the
    framework would make it anew, in a tenth of a second, for each request."""
    known: dict[str, Any] = current_app.extensions
    if DOCUMENT not in known:
        known[DOCUMENT] = current_app.spec  # type: ignore[attr-defined]
    return cast("dict[str, Any]", known[DOCUMENT])


def _complete(spec: dict[Any, Any] | str) -> dict[Any, Any]:
    assert isinstance(spec, dict)  # text where the document is written as YAML; ours is JSON
    spec = _merge_schemas(spec)
    schemas = spec.setdefault("components", {}).setdefault("schemas", {})
    schemas |= {"Problem": PROBLEM, "Recipe": _rewrite(Recipe.model_json_schema(), {})}
    _describe_forms(spec["paths"])
    _name_operations(spec["paths"])
    for path, known in (("jobs/{job_id}", FORMATS), ("films/{film_id}", FILM_FORMATS)):
        result = spec["paths"][f"/api/v1/{path}/result"]["get"]
        _describe_result(result, [each.mime for each in known.values()])
    spec["webhooks"] = {
        "jobEnded": {"post": _describe_webhook(schemas, payload.Notice, "Webhook", "job")},
        "filmEnded": {"post": _describe_webhook(schemas, payload.FilmNotice, "FilmWebhook", "film")},
    }
    if settings().require_token:
        spec["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        spec["security"] = [{"token": []}]
    for path in spec["paths"].values():
        for operation in path.values():
            _add_problems(operation)
    return spec


def _merge_schemas(spec: dict[str, Any]) -> dict[str, Any]:
    """Return the document with each schema once: the framework repeats, as `JobPage.JobOut`, what a
    schema holds, so that generated clients would have several classes for one thing."""
    schemas = spec["components"]["schemas"]
    short = {name: name.rpartition(".")[2] for name in schemas}
    merged: dict[str, Any] = {}
    for name, schema in schemas.items():
        known = _rewrite(schema, short)
        assert merged.setdefault(short[name], known) == known, f"two schemas are called {short[name]}"
    whole: dict[str, Any] = _rewrite(spec, short)
    whole["components"]["schemas"] = merged
    return whole


def _rewrite(part: Any, names: dict[str, str]) -> Any:
    """Return a part of the document that refers to schemas by other names, its choices without titles:
    those are words of pages, and clients would name classes by them."""
    if isinstance(part, list):
        return [_rewrite(each, names) for each in part]
    if not isinstance(part, dict):
        return part
    renamed = {key: _rewrite(value, names) for key, value in part.items()}
    if isinstance(reference := part.get("$ref"), str):
        folder, _, name = reference.rpartition("/")
        renamed["$ref"] = f"{folder}/{names.get(name, name)}"
    if isinstance(part.get("enum"), list):
        renamed.pop("title", None)
    return renamed


def _name_operations(paths: dict[str, Any]) -> None:
    """Give each operation the name of the function that answers it, by which clients call it."""
    for rule in current_app.url_map.iter_rules():
        path = re.sub(r"<(?:[^:<>]+:)?([^<>]+)>", r"{\1}", rule.rule)
        for method, operation in paths.get(path, {}).items():
            if method.upper() in (rule.methods or ()):
                name = rule.endpoint.rpartition(".")[2]
                operation["operationId"] = OPERATION_IDS.get(name, name)


def _describe_forms(paths: dict[str, Any]) -> None:
    """Describe what is sent as forms with files."""
    for path, method, schema in (
        ("jobs", "post", SUBMISSION),
        ("jobs/{job_id}", "put", SUBMISSION),
        ("explorations", "post", EXPLORATION),
        ("films", "post", FILM),
    ):
        operation = paths[f"/api/v1/{path}"][method]
        encoding = {name: known for name, known in ENCODING.items() if name in schema["properties"]}
        form = {"schema": schema, "encoding": encoding}
        if schema is FILM:
            form["examples"] = FILM_EXAMPLES
        operation["requestBody"] = {"required": True, "content": {"multipart/form-data": form}}
        if method == "post":
            operation.setdefault("parameters", []).append(IDEMPOTENCY_KEY)


def _describe_result(operation: dict[str, Any], mimes: Iterable[str]) -> None:
    """Describe a result in all of its formats, whole and in part."""
    responses = operation["responses"]
    (schema,) = responses["200"]["content"].values()
    for status in ("200", "206"):
        responses[status]["content"] = dict.fromkeys(mimes, schema)


def _describe_webhook(
    schemas: dict[str, Any], notice: type[BaseModel], name: str, subject: str
) -> dict[str, Any]:
    """Describe what a receiver gets, and what its answers mean."""
    schema = notice.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= schema.pop("$defs")
    schemas[name] = schema
    return {
        "summary": f"A {subject} has succeeded, failed or been cancelled.",
        "tags": ["Webhooks"],
        "parameters": [
            {"name": name, "in": "header", "required": True, "description": text, "schema": STRING}
            for name, text in WEBHOOK_HEADERS.items()
        ],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}},
        },
        "responses": {
            "2XX": {"description": "Delivered."},
            "410": {"description": "Given up."},
            "default": {"description": "Tried again later."},
        },
    }


def _add_problems(operation: Any) -> None:
    """Give every refusal the same form."""
    if not isinstance(operation, dict):
        return
    responses = operation.get("responses", {})
    if settings().require_token:
        responses["401"] = {"description": "Without a token of this farm."}
    often = "Too often; `Retry-After` says when to come again."
    responses["429"] = {
        "description": f"{often} Or a quota is used up." if "429" in responses else often
    }
    schema = {"schema": {"$ref": "#/components/schemas/Problem"}}
    for status, response in responses.items():
        if status == "304":
            response.pop("content", None)
        if status[0] in "45":
            response["content"] = {"application/problem+json": schema}

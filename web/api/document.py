"""`/openapi.json`: what the framework cannot see for itself is described here."""

from __future__ import annotations

from typing import Any

from apiflask import APIFlask
from flask import Blueprint, Response, current_app, jsonify, request

from farm.database.models import WEBHOOK_LENGTH
from farm.explorations.axes import ACROSS, DOWN, KINDS, VALUES_MEAN
from farm.explorations.grids import SIZE as CELL_SIZE
from farm.explorations.grids import SIZE_MEANS as CELL_SIZE_MEANS
from farm.explorations.grids import SIZES as CELL_SIZES
from farm.jobs.fields import NAME_LENGTH, NAME_MEANS, PRIORITIES, PRIORITY_MEANS, WEBHOOK_MEANS
from farm.pictures.decode import ACCEPTED
from farm.recipe import Recipe
from farm.recipe.formats import FORMATS
from farm.recipe.recipe import MAX_STYLES
from farm.settings import settings
from farm.webhooks import payload

blueprint = Blueprint("openapi_document", __name__)

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
_PICTURES_AND_RECIPE = {
    "content": PICTURE,
    "style": {"type": "array", "minItems": 1, "maxItems": MAX_STYLES, "items": PICTURE},
    "recipe": {
        "type": "string",
        "contentMediaType": "application/json",
        "contentSchema": {"$ref": "#/components/schemas/Recipe"},
    },
    "name": {"type": "string", "maxLength": NAME_LENGTH, "description": NAME_MEANS},
}
SUBMISSION = {
    "type": "object",
    "required": ["content", "style"],
    "additionalProperties": False,
    "properties": _PICTURES_AND_RECIPE
    | {
        "priority": {
            "type": "integer",
            "minimum": PRIORITIES[0],
            "maximum": PRIORITIES[-1],
            "description": PRIORITY_MEANS,
        },
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
EXPLORATION = {
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
    here = [{"url": request.script_root or "/"}]  # the framework would keep what the first asked for
    return jsonify(current_app.spec | {"servers": here})  # type: ignore[attr-defined]


def _complete(spec: dict[Any, Any] | str) -> dict[Any, Any]:
    assert isinstance(spec, dict)  # text where the document is written as YAML; ours is JSON
    schemas = spec.setdefault("components", {}).setdefault("schemas", {})
    schemas |= {"Problem": PROBLEM, "Recipe": Recipe.model_json_schema()}
    _describe_forms(spec["paths"])
    _describe_result(spec["paths"]["/api/v1/jobs/{job_id}/result"]["get"]["responses"]["200"])
    spec["webhooks"] = {"jobEnded": {"post": _describe_webhook(schemas)}}
    if settings().require_token:
        spec["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        spec["security"] = [{"token": []}]
    for path in spec["paths"].values():
        for operation in path.values():
            _add_problems(operation)
    return spec


def _describe_forms(paths: dict[str, Any]) -> None:
    """Describe what is sent as forms with files."""
    for path, method, schema in (
        ("jobs", "post", SUBMISSION),
        ("jobs/{job_id}", "put", SUBMISSION),
        ("explorations", "post", EXPLORATION),
    ):
        paths[f"/api/v1/{path}"][method]["requestBody"] = {
            "required": True,
            "content": {"multipart/form-data": {"schema": schema}},
        }


def _describe_result(response: dict[str, Any]) -> None:
    """Describe the result in all of its formats."""
    (schema,) = response["content"].values()
    response["content"] = {known.mime: schema for known in FORMATS.values()}


def _describe_webhook(schemas: dict[str, Any]) -> dict[str, Any]:
    """Describe what a receiver gets, and what its answers mean."""
    schema = payload.Notice.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= schema.pop("$defs")
    schemas["Webhook"] = schema
    return {
        "summary": "A job has succeeded, failed or been cancelled.",
        "tags": ["Webhooks"],
        "parameters": [
            {"name": name, "in": "header", "required": True, "description": text, "schema": STRING}
            for name, text in WEBHOOK_HEADERS.items()
        ],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Webhook"}}},
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
    responses["429"] = {"description": "Too often; `Retry-After` says when to come again."}
    schema = {"schema": {"$ref": "#/components/schemas/Problem"}}
    for status, response in responses.items():
        if status[0] in "45":
            response["content"] = {"application/problem+json": schema}

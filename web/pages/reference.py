"""The REST API for people: the document at `/openapi.json`, to be read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from flask import render_template
from markupsafe import Markup, escape

from web.api import document
from web.pages import blueprint

METHODS = ("get", "post", "put", "patch", "delete")


@dataclass(frozen=True)
class Field:
    """Field of a request or of an answer."""

    name: str
    # Its type in few words.
    kind: str
    needed: bool
    # Its meaning.
    words: Markup


@dataclass(frozen=True)
class Operation:
    """Method of an address."""

    # In capitals.
    method: str
    path: str
    # Its summary and description.
    words: Markup
    # Of the path and the query.
    parameters: list[Field]
    # Media type of the request; "" without a body.
    body_type: str
    body: list[Field]
    # Media type of a good answer; "" without a body.
    answer_type: str
    answer: list[Field]
    # Status and meaning of every answer.
    statuses: list[tuple[str, Markup]]


@blueprint.get("/api")
def show_reference() -> str:
    """Show every address, grouped by what it is about."""
    spec = document.read_document()
    groups: dict[str, list[Operation]] = {}
    for path, item in spec["paths"].items():
        for method in METHODS:
            if path.startswith("/api/") and method in item:
                tag = (item[method].get("tags") or ["Other"])[0]
                groups.setdefault(tag, []).append(_operation(spec, path, method, item[method]))
    return render_template("reference.html", groups=groups, version=spec["info"]["version"])


def _operation(spec: dict[str, Any], path: str, method: str, item: dict[str, Any]) -> Operation:
    body_type, body = _describe_content(spec, item.get("requestBody", {}))
    good = next((code for code in item["responses"] if code.startswith("2")), "")
    answer_type, answer = _describe_content(spec, item["responses"].get(good, {}))
    return Operation(
        method=method.upper(),
        path=path,
        words=_mark_code(" ".join(filter(None, (item.get("summary"), item.get("description"))))),
        parameters=[
            Field(
                each["name"],
                _describe_kind(spec, each["schema"]),
                each.get("required", False),
                _describe(each),
            )
            for each in item.get("parameters", [])
        ],
        body_type=body_type,
        body=body,
        answer_type=answer_type,
        answer=answer,
        statuses=[(code, _describe(response)) for code, response in item["responses"].items()],
    )


def _describe_content(spec: dict[str, Any], body: dict[str, Any]) -> tuple[str, list[Field]]:
    """Return the media type of a body, and its fields if it has any."""
    for kind, content in body.get("content", {}).items():
        return kind, list(_list_fields(spec, _resolve(spec, content.get("schema", {}))))
    return "", []


def _list_fields(spec: dict[str, Any], schema: dict[str, Any]) -> Iterator[Field]:
    needed = schema.get("required", [])
    for name, each in schema.get("properties", {}).items():
        meaning = each if "description" in each else _resolve(spec, each)
        yield Field(name, _describe_kind(spec, each), name in needed, _describe(meaning))


def _resolve(spec: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in schema:
        return schema
    found: dict[str, Any] = spec["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return found


def _describe(schema: dict[str, Any]) -> Markup:
    return _mark_code(" ".join(str(schema.get("description", "")).split()))


def _mark_code(text: str) -> Markup:
    """Mark up as code what stands between backticks."""
    pieces = [escape(piece) for piece in text.split("`")]
    return Markup().join(
        Markup("<code>{}</code>").format(piece) if number % 2 else piece
        for number, piece in enumerate(pieces)
    )


def _describe_kind(spec: dict[str, Any], schema: dict[str, Any]) -> str:
    """Return `integer`, `list of (row, state, ...)`, `newest | oldest` or `string or null`."""
    schema = _resolve(spec, schema)
    if "anyOf" in schema:
        return " or ".join(_describe_kind(spec, each) for each in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if schema.get("type") == "array":
        return f"list of {_describe_kind(spec, schema.get('items', {}))}"
    if "properties" in schema:
        return f"({', '.join(schema['properties'])})"
    return str(schema.get("format") or schema.get("type") or "anything")

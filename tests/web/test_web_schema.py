"""The API against its own description: schemathesis asks whatever the document allows, and what it does
not; every answer must be one that the document tells of, and none may be a 500."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    response_schema_conformance,
    status_code_conformance,
)

from farm.database.models import Job, State
from tests.conftest import fresh_settings
from web import create_app

EXAMPLES = 6  # for each address and method, of each kind
CHECKS = [not_a_server_error, status_code_conformance, response_schema_conformance]
FORM = b"--x\r\nContent-Disposition: form-data%s\r\n\r\n%s\r\n--x--\r\n"
BODIES = {  # that once were a 500; what is wrong on the way, such as chunks, is in test_web_server.py
    "multipart/form-data": [FORM % (b"", b"x"), FORM % (b'; name="name"', b"\xed\xa0\x80"), b"--x"],
    "application/json": [b'{"name": "\\ud800"}', b'{"\xed\xa0\x80": 1}', b"[" * 9999, b"\0"],
}
HEADERS = [{"If-Match": '"x"'}, {"Range": "bytes=99999999-"}, {"If-None-Match": "*"}]


def list_awkward(operation: APIOperation, job_id: str) -> Iterator[dict[str, Any]]:
    """What no generator hits upon: zero bytes, halves of surrogate pairs, conditions and ranges."""
    path = {parameter.name: job_id for parameter in operation.path_parameters}
    for name in path:
        yield {"path_parameters": path | {name: "\0" * 32}}
    for parameter in operation.query:
        yield {"path_parameters": path, "query": {parameter.name: "\0"}}
    for body in operation.body:
        kind = body.media_type
        for data in BODIES[kind]:
            content_type = f"{kind}; boundary=x" if kind.startswith("multipart") else kind
            yield {"path_parameters": path, "headers": {"Content-Type": content_type}, "data": data}
    if operation.method == "get" and not operation.path.endswith("/stream"):
        for headers in HEADERS:
            yield {"path_parameters": path, "headers": headers}


def send(operation: APIOperation, data: bytes | None = None, **fields: Any) -> None:
    body: dict[str, Any] = {} if data is None else {"data": data}
    operation.Case(**fields).call_and_validate(checks=CHECKS, **body)


@pytest.mark.slow
@pytest.mark.no_cover  # measuring would triple its time: most calls are those of the library that asks
@pytest.mark.xdist_group("schema")  # the longest test of all begins early
def test_every_answer_is_one_that_the_document_tells_of(
    home: Path, make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(State.SUCCEEDED)
    monkeypatch.setenv("FARM_RATE_LIMIT", "off")
    fresh_settings()
    app = create_app()
    document = schemathesis.openapi.from_wsgi("/openapi.json", app)
    wrong = []
    for result in document.get_all_operations():
        assert isinstance(result, Ok)
        operation = result.ok()
        for mode in list_modes(operation):

            @settings(
                max_examples=EXAMPLES,
                deadline=None,
                database=None,
                derandomize=True,
                phases=[Phase.explicit, Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy(generation_mode=mode))
            def ask(case: schemathesis.Case) -> None:
                case.call_and_validate(checks=CHECKS)

            try:
                ask()
            except Exception as error:  # told together, so that one run shows all
                wrong.append(f"{operation.label} ({mode.value}): {error}")
        for fields in list_awkward(operation, job.id):
            try:
                send(operation, **fields)
            except Exception as error:
                wrong.append(f"{operation.label} ({fields}): {error}")
    assert not wrong, "\n\n".join(wrong)


def list_modes(operation: APIOperation) -> list[GenerationMode]:
    """List the kinds of requests that an address takes: wrong ones only where it reads a query, a head
    or a body. Any text may stand for an id in its path, and a search for a wrong one takes long."""
    takes_more = operation.query or operation.headers or operation.body
    return [GenerationMode.POSITIVE, *([GenerationMode.NEGATIVE] if takes_more else [])]

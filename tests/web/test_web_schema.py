"""The API against its own description: schemathesis asks whatever the document allows, and what it does
not; every answer must be one that the document tells of, and none may be a 500."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    response_schema_conformance,
    status_code_conformance,
)

from farm.database.models import Job
from tests.conftest import fresh_settings
from web import create_app

EXAMPLES = 6  # for each address and method, of each kind
CHECKS = [not_a_server_error, status_code_conformance, response_schema_conformance]
MODES = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]


@pytest.mark.no_cover  # measuring would triple its time: most calls are those of the library that asks
@pytest.mark.xdist_group("schema")  # the longest test of all begins early
def test_every_answer_is_one_that_the_document_tells_of(
    home: Path, make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_job()
    monkeypatch.setenv("FARM_RATE_LIMIT", "off")
    fresh_settings()
    app = create_app()
    document = schemathesis.openapi.from_wsgi("/openapi.json", app)
    wrong = []
    for result in document.get_all_operations():
        assert isinstance(result, Ok)
        operation = result.ok()
        for mode in MODES:

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
            except Unsatisfiable:  # nothing wrong can be asked of an address without parameters
                continue
            except Exception as error:  # told together, so that one run shows all
                wrong.append(f"{operation.label} ({mode.value}): {error}")
    assert not wrong, "\n\n".join(wrong)

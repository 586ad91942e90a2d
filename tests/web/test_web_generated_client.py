"""A client that openapi-python-client generates from the live document does what people do."""

from __future__ import annotations

import importlib
import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from benchmarks.testbed.processes import SAMPLES
from farm.database import sessions
from farm.database.models import WorkClass
from farm.jobs import claims, states
from farm.jobs.claims import Taker
from farm.pictures.encode import encode_picture
from farm.storage import storage
from tests.conftest import load_sample
from tests.jobs.test_guides import half

CONFIG = """
post_hooks: []
content_type_overrides: {image/png: application/octet-stream, image/jpeg: application/octet-stream}
"""


@pytest.fixture
def generated(served: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The client's modules, and `farm`, which talks to this test's farm."""
    config = tmp_path / "config.yml"
    config.write_text(CONFIG)
    command = [sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none"]
    where = ["--url", f"{served}/openapi.json", "--output-path", str(tmp_path / "farm_client")]
    done = subprocess.run(
        [*command, *where, "--config", str(config)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    monkeypatch.syspath_prepend(str(tmp_path))
    load = importlib.import_module
    yield SimpleNamespace(
        farm=load("farm_client").Client(base_url=served, raise_on_unexpected_status=True),
        jobs=lambda name: load(f"farm_client.api.jobs.{name}"),
        explorations=lambda name: load(f"farm_client.api.explorations.{name}"),
        models=load("farm_client.models"),
        File=load("farm_client.types").File,
    )
    for name in [name for name in sys.modules if name.split(".")[0] == "farm_client"]:
        del sys.modules[name]


@pytest.mark.slow
def test_a_generated_client_submits_lists_estimates_explores_waits_and_downloads(generated: Any) -> None:
    farm, models = generated.farm, generated.models

    def pictures() -> dict[str, Any]:
        street, mosaic = (
            io.BytesIO((SAMPLES / f"{name}.jpg").read_bytes()) for name in ("street", "mosaic")
        )
        return {
            "content": generated.File(street, "street.jpg", "image/jpeg"),
            "style": [generated.File(mosaic, "mosaic.jpg", "image/jpeg")],
            "mask": [generated.File(io.BytesIO(half("left", 1280, 960)), "mask.png", "image/png")],
        }

    # When a job is submitted with a recipe of the client's own class
    recipe = models.Recipe(size=96, preset=models.RecipePreset.DRAFT)
    body = models.SubmitJobBody(**pictures(), recipe=recipe, name="西湖", priority=2)
    submit = generated.jobs("submit_job")
    job = submit.sync(client=farm, body=body, idempotency_key="one")
    # Then it is what was asked for, and the same under the same key
    assert (job.name, job.priority, job.recipe["size"], job.state.value) == ("西湖", 2, 96, "queued")
    assert [each.role.value for each in job.pictures] == ["content", "style", "mask"]
    again = models.SubmitJobBody(**pictures(), recipe=recipe, name="西湖", priority=2)
    assert submit.sync(client=farm, body=again, idempotency_key="one").id == job.id
    # And lists hold jobs, not dictionaries
    page = generated.jobs("list_jobs").sync(client=farm, state=models.State.QUEUED)
    assert [(type(each), each.id) for each in page.items] == [(models.JobOut, job.id)]
    # And estimates and grids come, too
    query = models.EstimateQuery(width=640, height=480, size=512)
    estimate = generated.jobs("estimate_size").sync(client=farm, body=query)
    assert (type(estimate), estimate.width, estimate.height) == (models.EstimateOut, 512, 384)
    grid = models.ExploreBody(
        **pictures(), recipe=models.Recipe(size=512), across_values="[-1, 1]", down_values="[1.0]"
    )
    exploration = generated.explorations("explore").sync(client=farm, body=grid)
    assert [type(cell) for cell in exploration.cells] == [models.CellOut] * 2
    # And once it has ended, its picture is downloaded
    _paint(job.id)
    assert generated.jobs("get_job").sync(client=farm, job_id=job.id).state is models.State.SUCCEEDED
    result = generated.jobs("get_result").sync_detailed(client=farm, job_id=job.id)
    assert result.parsed.payload.read().startswith(b"\x89PNG")
    assert "filename*=UTF-8''%E8%A5%BF%E6%B9%96-" in result.headers["Content-Disposition"]


def _paint(job_id: str) -> None:
    """Do a worker's work for the job of the highest priority, this one."""
    with sessions.write_session() as session:
        claim = claims.claim(session, Taker("worker-1", frozenset({WorkClass.PREVIEW})))
        assert claim is not None
        assert claim.job.id == job_id
        storage().put(claim.job.result_key, encode_picture(load_sample("street", 48), "png"))
        states.succeed(session, claim.attempt, {})


def test_the_document_has_each_schema_once_and_names_each_operation(served: str) -> None:
    document = httpx.get(f"{served}/openapi.json").json()
    assert [name for name in document["components"]["schemas"] if "." in name] == []
    operations = [each for path in document["paths"].values() for each in path.values()]
    ids = [operation["operationId"] for operation in operations]
    assert len(ids) == len(set(ids))
    form = document["paths"]["/api/v1/jobs"]["post"]["requestBody"]["content"]["multipart/form-data"]
    assert form["schema"]["properties"]["recipe"] == {"$ref": "#/components/schemas/Recipe"}

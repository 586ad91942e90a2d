"""Two web parts are one farm: whoever asks one asks the other."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import httpx
import pytest

from tests.hosts.fleet import RECIPES, WEB, Fleet

pytestmark = [
    pytest.mark.hosts,
    pytest.mark.processes,
    pytest.mark.postgres,
    pytest.mark.xdist_group("hosts"),
]

CSRF = re.compile(r'name="csrf_token"[^>]*value="([^"]+)"')
ONE, OTHER = (f"http://127.0.0.1:{WEB + number}" for number in (1, 2))
NO_JOB = "0" * 32


def test_who_signed_in_at_one_is_known_to_the_other(fleet: Fleet) -> None:
    def sign_in_and_ask() -> tuple[int, int]:
        with httpx.Client(timeout=60) as browser:
            token = CSRF.search(browser.get(f"{ONE}/sign-in").text)
            assert token
            data = {"csrf_token": token[1], "token": fleet.token}
            # The form is the other's, and so is the session that it opens
            signed_in = browser.post(f"{OTHER}/sign-in", data=data, headers={"Origin": OTHER})
            return signed_in.status_code, browser.get(f"{ONE}/jobs").status_code

    assert fleet.hosts["web"].call(sign_in_and_ask) == (303, 200)


def test_requests_are_counted_together(fleet: Fleet) -> None:
    def ask(url: str) -> int:
        headers = {"Authorization": f"Bearer {fleet.token}"}
        answer = httpx.post(f"{url}/api/v1/jobs/{NO_JOB}/cancel", headers=headers, timeout=60)
        return int(answer.headers["X-RateLimit-Remaining"])

    left = fleet.hosts["web"].call(lambda: [ask(url) for url in (ONE, OTHER, ONE, OTHER)])
    assert left == sorted(set(left), reverse=True)  # each one less, but for those that are forgotten


def test_a_stream_tells_what_was_changed_at_the_other(fleet: Fleet) -> None:
    headers = {"Authorization": f"Bearer {fleet.token}"}
    job_id = fleet.submit(RECIPES[0])
    path = f"/api/v1/jobs/{job_id}"

    def read_names(stream: httpx.Response) -> Iterator[str]:
        for line in stream.iter_lines():
            if line.startswith("data: {") and (state := json.loads(line[6:])):
                yield state["name"]

    def rename_while_watching() -> str:
        with httpx.stream("GET", f"{ONE}{path}/stream", headers=headers, timeout=60) as stream:
            names = read_names(stream)
            next(names)
            renamed = httpx.patch(
                f"{OTHER}{path}", json={"name": "renamed"}, headers=headers, timeout=60
            )
            assert renamed.status_code == 200, renamed.text
            return next(name for name in names if name == "renamed")

    assert fleet.hosts["web"].call(rename_while_watching) == "renamed"
    assert fleet.wait_for_results([job_id]) == fleet.undisturbed[:1]

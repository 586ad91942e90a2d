"""Talking to a running farm over its REST API, for the command line."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from farm.errors import FarmError
from farm.recipe import Recipe, formats

TIMEOUT = httpx.Timeout(10.0, read=120.0)  # s; an answer to a large upload takes a while
PATIENCE_SECONDS = 300.0  # with a farm that says "too many requests"


class Refused(FarmError):
    """The farm said no, or nothing."""


class Away(Refused):
    """The farm does not answer just now; it may be about to start again."""


class TooOften(Refused):
    """The farm wants to be asked again later."""

    def __init__(self, message: str, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds


class AnswerLost(Refused):
    """The request arrived, perhaps, but not its answer."""


class Client:
    """One farm at one address, such as http://127.0.0.1:8000.

    Args:
        token: shown at each request, where the farm asks for one.
    """

    def __init__(self, url: str, token: str = "") -> None:
        self.url = url.rstrip("/")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.Client(base_url=f"{self.url}/api/v1", timeout=TIMEOUT, headers=headers)

    def submit(
        self,
        content: Path,
        styles: list[Path],
        recipe: Recipe,
        name: str,
        priority: int,
        webhook_url: str = "",
    ) -> dict[str, Any]:
        """Send the pictures; the new job as the farm tells it.

        Args:
            webhook_url: the farm tells it how the job ended; empty: nobody.

        Raises:
            Refused: with the fields that are wrong.
        """
        files = [("content", (content.name, content.read_bytes()))]
        files += [("style", (style.name, style.read_bytes())) for style in styles]
        fields = {"recipe": recipe.model_dump_json(), "name": name, "priority": str(priority)}
        if webhook_url:
            fields["webhook_url"] = webhook_url
        key = {"Idempotency-Key": uuid.uuid4().hex}
        return self._json(self._twice("POST", "/jobs", data=fields, files=files, headers=key))

    def job(self, job_id: str) -> dict[str, Any]:
        """One job as it stands."""
        return self._json(self._ask("GET", f"/jobs/{job_id}"))

    def changed(self, job_id: str, tag: str | None) -> tuple[dict[str, Any] | None, str | None]:
        """One job and its ETag, None for the job while it is as it was under that tag.

        Raises:
            Away: the farm does not answer just now.
        """
        headers = {"If-None-Match": tag} if tag else {}
        try:
            answer = self._http.get(f"/jobs/{job_id}", headers=headers)
        except httpx.HTTPError as error:
            raise Away(f"No answer from {self.url}: {error}.") from error
        if answer.status_code == httpx.codes.NOT_MODIFIED:
            return None, tag
        if _not_now(answer):
            raise Away(_reason(answer))
        if not answer.is_success:
            raise Refused(_reason(answer))
        return self._json(answer), answer.headers.get("ETag")

    def jobs(self) -> list[dict[str, Any]]:
        """The newest jobs."""
        return list(self._json(self._ask("GET", "/jobs"))["items"])

    def cancel(self, job_id: str) -> dict[str, Any]:
        """Ask for a job to stop."""
        return self._json(self._ask("POST", f"/jobs/{job_id}/cancel"))

    def delete(self, job_id: str) -> None:
        """Delete a job that has ended, and its files."""
        self._ask("DELETE", f"/jobs/{job_id}")

    def fetch(self, job_id: str, output: Path | None) -> Path:
        """Download the finished picture, piece by piece; returns where it is.

        Args:
            output: the file, whose ending chooses the format; None: named for the job, in the format
                and with the ending of its recipe, in this folder.

        Raises:
            InvalidInput: no format ends so. Refused: the picture cannot be had in that format.
        """
        query = self._format(job_id, output) if output else {}
        with self._answer("GET", f"/jobs/{job_id}/result", params=query) as response:
            suffix = formats.suffix_of(response.headers.get("content-type", ""))
            path = output or Path(f"{job_id}{suffix}")
            part = path.with_name(f"{path.name}.part")
            try:
                with part.open("wb") as file:
                    for piece in response.iter_bytes():
                        file.write(piece)
                part.replace(path)
            finally:
                part.unlink(missing_ok=True)
        return path

    def _format(self, job_id: str, output: Path) -> dict[str, str]:
        """What to ask for, if the job's own format does not end like this file."""
        own = formats.FORMATS[self.job(job_id)["recipe"]["format"]]
        if not output.suffix or output.suffix.lower() in own.suffixes:
            return {}
        return {"format": formats.of_ending(output.suffix).name}

    def _twice(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Asked again if the answer was lost on its way."""
        try:
            return self._ask(method, path, **options)
        except AnswerLost:
            return self._ask(method, path, **options)

    def _ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Again and again while the farm says that this is too often, as it asks, up to a limit."""
        give_up = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                with self._answer(method, path, **options) as response:
                    response.read()
                return response
            except TooOften as error:
                if time.monotonic() + error.seconds > give_up:
                    raise
                time.sleep(error.seconds)

    @contextmanager
    def _answer(self, method: str, path: str, **options: Any) -> Iterator[httpx.Response]:
        """A good answer whose body is not read yet."""
        try:
            with self._http.stream(method, path, **options) as response:
                if not response.is_success:
                    response.read()
                    raise _refusal(response)
                yield response
        except (httpx.ReadError, httpx.ReadTimeout, httpx.RemoteProtocolError) as error:
            raise AnswerLost(f"{self.url} broke off: {error}.") from error
        except httpx.HTTPError as error:
            raise Refused(f"No answer from {self.url}: {error}. Is the farm running?") from error

    @staticmethod
    def _json(response: httpx.Response) -> dict[str, Any]:
        answer: dict[str, Any] = response.json()
        return answer


def _not_now(response: httpx.Response) -> bool:
    return response.is_server_error or response.status_code == httpx.codes.TOO_MANY_REQUESTS


def _refusal(response: httpx.Response) -> Refused:
    if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
        wait = response.headers.get("Retry-After", "")
        return TooOften(_reason(response), max(1.0, float(wait)) if wait.isdecimal() else 1.0)
    if response.status_code == httpx.codes.UNAUTHORIZED:
        return Refused(f"{_reason(response)}\nThe command takes it from the environment: FARM_TOKEN.")
    return Refused(_reason(response))


def _reason(response: httpx.Response) -> str:
    """A problem (RFC 9457) in one line a field."""
    try:
        problem = response.json()
    except ValueError:
        return f"The farm answered {response.status_code} {response.reason_phrase}."
    lines = [f"{item['field']}: {item['message']}" for item in problem.get("errors") or []]
    return "\n".join(lines) or problem.get("detail") or problem.get("title") or str(response.status_code)

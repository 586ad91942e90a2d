"""Client of a running farm's REST API, for the command line."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from farm.cli.recipe_options import describe_unknown
from farm.cli.refusals import (
    Missing,
    RateLimited,
    Refused,
    ResponseLost,
    Unavailable,
    build_refusal,
    describe_problem,
    is_unavailable,
)
from farm.cli.sent_files import NO_GUIDES, Guides, read_files
from farm.database.names import fold_case
from farm.errors import InvalidInput, Problem
from farm.files import replace_file
from farm.looks.look import Look
from farm.recipe import Recipe, formats
from farm.recipe.film_formats import FILM_FORMATS, FilmKind

TIMEOUT = httpx.Timeout(10.0, read=120.0)  # s; an answer to a large upload takes a while
PATIENCE_SECONDS = 300.0  # with a farm that answers "too many requests"


class Client:
    """Client of one farm at one address, such as http://127.0.0.1:8000 or 127.0.0.1:8000.

    Raises:
        InvalidInput: it is no address.

    Args:
        token: sent with each request, where the farm asks for one.
    """

    def __init__(self, url: str, token: str = "") -> None:
        self.url = complete_url(url)
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
        key: str = "",
        tag: str = "",
        guides: Guides = NO_GUIDES,
    ) -> dict[str, Any]:
        """Send the pictures and return the new job, as the API serialises it.

        Args:
            guides: files that steer it besides photograph and paintings.
            webhook_url: notified when the job has ended; empty: none.
            key: the same request under the same key is one job; empty: a new one.
            tag: only workers that have it take the job; empty: any.

        Raises:
            Rejected: with the fields that are wrong. Refused: the farm takes nothing just now.
            InvalidInput: a file cannot be read.
        """
        files = read_files(content, styles, guides)
        fields = {"recipe": recipe.model_dump_json(), "name": name, "priority": str(priority)}
        if webhook_url:
            fields["webhook_url"] = webhook_url
        if tag:
            fields["tag"] = tag
        headers = {"Idempotency-Key": key or uuid.uuid4().hex}
        return self._decode_json(
            self._retry_lost("POST", "/jobs", data=fields, files=files, headers=headers)
        )

    def submit_film(
        self,
        clip: tuple[str, bytes],
        styles: list[Path],
        recipe: Recipe,
        film: dict[str, Any],
        fields: dict[str, str],
        guides: Guides = NO_GUIDES,
    ) -> dict[str, Any]:
        """Send a clip and paintings and return the new film, as the API serialises it.

        Args:
            clip: its file's name and bytes. film: what belongs to the film as a whole.
            fields: texts of the request beside these; empty ones are left out.
            guides: files that steer each frame besides the clip's own and the paintings.

        Raises:
            Rejected: with the fields that are wrong. Refused: the farm takes nothing just now.
            InvalidInput: a file cannot be read.
        """
        files = [("clip", clip), *read_files(None, styles, guides)]
        data = {"recipe": recipe.model_dump_json(), "film": json.dumps(film)}
        data |= {name: text for name, text in fields.items() if text}
        headers = {"Idempotency-Key": uuid.uuid4().hex}
        return self._decode_json(
            self._retry_lost("POST", "/films", data=data, files=files, headers=headers)
        )

    def grow(self, job_id: str, recipe: Recipe, fields: dict[str, str]) -> dict[str, Any]:
        """Ask for a larger picture of a finished job's and return its job.

        Args:
            recipe: with the settings that are not the finished one's.
            fields: texts of the request beside these; empty ones are left out.

        Raises:
            Rejected: with the fields that are wrong. Refused: the farm takes nothing just now.
        """
        given = {"from_job": job_id, "recipe": json.dumps(recipe.list_given()), **fields}
        parts = [(name, (None, text)) for name, text in given.items() if text]  # of a form with files
        headers = {"Idempotency-Key": uuid.uuid4().hex}
        return self._decode_json(self._retry_lost("POST", "/jobs", files=parts, headers=headers))

    def get_job(self, job_id: str) -> dict[str, Any]:
        """Return a job, as the API serialises it."""
        return self._decode_json(self._send("GET", f"/jobs/{job_id}"))

    def find(self, any_id: str) -> dict[str, Any]:
        """Return the job or the film of this id, as the API serialises it.

        Raises:
            Missing: there is none.
        """
        return self._decode_json(self._send_to_either("GET", any_id))

    def poll(self, row: dict[str, Any], tag: str | None) -> tuple[dict[str, Any] | None, str | None]:
        """Return a job or a film anew, and its ETag; None for it while its ETag is still `tag`.

        Raises:
            Unavailable: the farm does not answer just now.
            Refused: it answers with another error.
        """
        headers = {"If-None-Match": tag} if tag else {}
        try:
            answer = self._http.get(_get_address(row), headers=headers)
        except httpx.HTTPError as error:
            raise Unavailable(f"No answer from {self.url}: {error}.") from error
        if answer.status_code == httpx.codes.NOT_MODIFIED:
            return None, tag
        if is_unavailable(answer):
            raise Unavailable(describe_problem(answer))
        if not answer.is_success:
            raise Refused(describe_problem(answer))
        return self._decode_json(answer), answer.headers.get("ETag")

    def list_jobs(self, state: str | None = None) -> list[dict[str, Any]]:
        """Return the newest jobs, of one state if it is named."""
        query = {"state": state} if state else {}
        return list(self._decode_json(self._send("GET", "/jobs", params=query))["items"])

    def list_films(self) -> list[dict[str, Any]]:
        """Return the newest films."""
        return list(self._decode_json(self._send("GET", "/films"))["items"])

    def explore(
        self,
        content: Path,
        styles: list[Path],
        recipe: Recipe,
        fields: dict[str, str],
        guides: Guides = NO_GUIDES,
    ) -> dict[str, Any]:
        """Send the pictures for a grid of drafts and return the new exploration.

        Args:
            fields: texts of the request beside the recipe; empty ones are left out.
            guides: files that steer its cells besides photograph and paintings.

        Raises:
            Rejected: with the fields that are wrong. Refused: the farm takes nothing just now.
            InvalidInput: a file cannot be read.
        """
        files = read_files(content, styles, guides)
        given = {name: text for name, text in fields.items() if text}
        data = {"recipe": recipe.model_dump_json(exclude_unset=True), **given}
        headers = {"Idempotency-Key": uuid.uuid4().hex}
        return self._decode_json(
            self._retry_lost("POST", "/explorations", data=data, files=files, headers=headers)
        )

    def retry(self, any_id: str) -> dict[str, Any]:
        """Let a job or a film that failed or was cancelled wait again, and return it."""
        return self._decode_json(self._send_to_either("POST", any_id, "/retry"))

    def cancel(self, any_id: str) -> dict[str, Any]:
        """Cancel a job or a film and return it."""
        return self._decode_json(self._send_to_either("POST", any_id, "/cancel"))

    def delete(self, any_id: str) -> None:
        """Delete a job or a film that has ended, and its files."""
        self._send_to_either("DELETE", any_id)

    def fetch(self, row: dict[str, Any], output: Path | None) -> Path:
        """Download a finished picture or film, piece by piece, and return its path.

        Args:
            row: the job or the film. output: the file, whose ending chooses a picture's format; None:
                named for the row, in its own format and with the ending of that, in this folder.

        Raises:
            InvalidInput: no format ends so.
            Refused: the picture cannot be had in that format.
        """
        query = _choose_format(row, output) if output else {}
        with self._open_response("GET", f"{_get_address(row)}/result", params=query) as response:
            path = output or Path(f"{row['id']}{find_suffix(row)}")
            with replace_file(path) as part, part.open("wb") as file:
                for piece in response.iter_bytes():
                    file.write(piece)
        return path

    def list_looks(self) -> list[dict[str, Any]]:
        """Return the looks that the farm offers, as the API serialises them."""
        return list(self._decode_json(self._send("GET", "/looks"))["items"])

    def find_look(self, name: str) -> Look:
        """Return the look of this name or id that the farm offers.

        Raises:
            InvalidInput: there is none; names those that there are.
        """
        row = self._find_look_row(name)
        return Look(row["name"], row["settings"])

    def save_look(self, look: Look, *, shared: bool) -> dict[str, Any]:
        """Save a look as one's own, and return it."""
        body = look.to_file().model_dump(mode="json") | {"shared": shared}
        return self._decode_json(self._send("POST", "/looks", json=body))

    def change_look(self, name: str, changes: dict[str, Any]) -> dict[str, Any]:
        """Give a look of one's own another `name`, or say whether it is `shared`."""
        address = f"/looks/{self._get_look_id(name)}"
        return self._decode_json(self._send("PATCH", address, json=changes))

    def delete_look(self, name: str) -> None:
        """Delete a look of one's own."""
        self._send("DELETE", f"/looks/{self._get_look_id(name)}")

    def _find_look_row(self, name: str) -> dict[str, Any]:
        """Find a look by name or id, one's own before others'; where none is called exactly so, by its
        name without capitals.

        Raises:
            InvalidInput: there is none; names those that there are.
        """
        rows = sorted(self.list_looks(), key=lambda each: not each["mine"])
        found = [row for row in rows if name in (row["name"], row["id"])]
        found += [row for row in rows if fold_case(name) == fold_case(row["name"])]
        if not found:
            saved = [row["name"] for row in rows if not row["picture"]]
            raise InvalidInput(Problem("look", describe_unknown(name, saved)))
        return found[0]

    def _get_look_id(self, name: str) -> str:
        return str(self._find_look_row(name)["id"])

    def _send_to_either(self, method: str, any_id: str, action: str = "") -> httpx.Response:
        """Request of the job of this id, or of the film, if it is one's.

        Raises:
            Missing: it is neither's.
        """
        try:
            return self._send(method, f"/jobs/{any_id}{action}")
        except Missing:
            with suppress(Missing):
                return self._send(method, f"/films/{any_id}{action}")
            raise

    def _retry_lost(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Request, and once more if the answer was lost on its way."""
        try:
            return self._send(method, path, **options)
        except ResponseLost:
            return self._send(method, path, **options)

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Request, and repeat when the farm's rate limit permits, for `PATIENCE_SECONDS` at most."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                with self._open_response(method, path, **options) as response:
                    response.read()
                return response
            except RateLimited as error:
                if time.monotonic() + error.seconds > deadline:
                    raise
                time.sleep(error.seconds)

    @contextmanager
    def _open_response(self, method: str, path: str, **options: Any) -> Iterator[httpx.Response]:
        """Open a successful response whose body is not read yet.

        Raises:
            ResponseLost: the connection broke off after the request was sent.
            Refused: the farm refuses, or nothing answers at its address.
        """
        try:
            with self._http.stream(method, path, **options) as response:
                if not response.is_success:
                    response.read()
                    raise build_refusal(response)
                yield response
        except (httpx.ReadError, httpx.ReadTimeout, httpx.RemoteProtocolError) as error:
            raise ResponseLost(f"{self.url} broke off: {error}.") from error
        except httpx.HTTPError as error:
            raise Refused(f"No answer from {self.url}: {error}. Is the farm running?") from error

    @staticmethod
    def _decode_json(response: httpx.Response) -> dict[str, Any]:
        answer: dict[str, Any] = response.json()
        return answer


def complete_url(text: str) -> str:
    """Return a farm's address with its scheme, http where none is given, and without a slash at its end.

    Raises:
        InvalidInput: it is no address.
    """
    url = (text if "://" in text else f"http://{text}").rstrip("/")
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        known = False
    if not known or any(char.isspace() for char in url):
        raise InvalidInput(Problem("url", f"must be such as http://127.0.0.1:8000 (got {text!r})"))
    return url


def is_film(row: dict[str, Any]) -> bool:
    """Check whether a row of the API is a film's, rather than a job's."""
    return "/films/" in str(row["links"]["self"])


def find_suffix(row: dict[str, Any]) -> str:
    """Return the ending of what a job or a film makes."""
    if is_film(row):
        kind: FilmKind = row["film"]["format"]
        return FILM_FORMATS[kind].suffix
    return formats.FORMATS[row["recipe"]["format"]].suffix


def _get_address(row: dict[str, Any]) -> str:
    return f"/{'films' if is_film(row) else 'jobs'}/{row['id']}"


def _choose_format(row: dict[str, Any], output: Path) -> dict[str, str]:
    """Return the query that names the file's format; empty where it is the row's own.

    Raises:
        InvalidInput: no format ends so, or a film's does not.
    """
    if not output.suffix:
        return {}
    if is_film(row):
        if output.suffix.lower() != find_suffix(row):
            message = f"ends in {output.suffix}; this film is a {find_suffix(row)}"
            raise InvalidInput(Problem("output", message))
        return {}
    if output.suffix.lower() in formats.FORMATS[row["recipe"]["format"]].suffixes:
        return {}
    return {"format": formats.find_format(output.suffix).name}

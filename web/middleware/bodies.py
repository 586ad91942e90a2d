"""Bodies of requests: limits of JSON, room for clips, and forms without nameless parts."""

from __future__ import annotations

from itertools import chain
from typing import IO, Any

from flask import Flask, Request, current_app, request
from pydantic_core import from_json
from werkzeug.datastructures import FileStorage, MultiDict
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import FormDataParser

from farm.errors import InvalidInput, NotJson, Problem
from farm.recipe.json_limits import check_json
from farm.recipe.problems import list_longest
from farm.settings import settings

WITH_CLIPS = frozenset(
    {"pages.create", "pages.check_clip", "pages.try_frames", "api.create_film"}
)  # a clip may come to these
BODY = "body"  # names the whole of what was sent
MAX_TEXT = 100_000  # bytes of one field that is no file
MAX_READ = 500_000  # bytes of such a field, and of JSON, that are read, to say what is too long in them
LISTED = frozenset({"recipe", "stroke_arrows"})  # fields with lists, whose own limits are named
NAMELESS = "has a part without a name"


class _FormParser(FormDataParser):
    """Parser that refuses parts without a name, which nobody can ask for."""

    def parse(
        self, stream: IO[bytes], mimetype: str, content_length: int | None, options: Any = None
    ) -> tuple[IO[bytes], MultiDict[str, str], MultiDict[str, FileStorage]]:
        """Parse a form.

        Raises:
            InvalidInput: a part has no name. RequestEntityTooLarge: one has too much text.
        """
        rest, form, files = super().parse(stream, mimetype, content_length, options)
        try:
            _check_texts(form, files)
        except Exception:
            for file in chain.from_iterable(files.listvalues()):
                file.close()
            raise
        return rest, form, files


def _check_texts(form: MultiDict[str, str], files: MultiDict[str, FileStorage]) -> None:
    """Check the parts of a form.

    Raises:
        InvalidInput: one has no name. RequestEntityTooLarge: one has too much text, and is not LISTED.
    """
    if not all((*form, *files)):
        raise InvalidInput(Problem(BODY, NAMELESS))
    for name, text in form.items(multi=True):
        if name not in LISTED and len(text.encode()) > MAX_TEXT:
            raise RequestEntityTooLarge


class _Json:
    """JSON as RFC 8259 has it: no NaN, no half of a surrogate pair, which no database takes."""

    @staticmethod
    def loads(data: bytes) -> Any:
        """Parse JSON; ValueError where it is none."""
        view = current_app.view_functions.get(request.endpoint or "")
        model = getattr(view, "_spec", {}).get("body")  # that APIFlask reads it into
        check_json(data, BODY, list_longest(model) if model else None)
        return from_json(data, allow_inf_nan=False)


class FarmRequest(Request):
    """Request whose body is limited by what it holds."""

    form_data_parser_class = _FormParser

    def get_json(self, *args: Any, **kwargs: Any) -> Any:
        """Return the body's JSON.

        Raises:
            RequestEntityTooLarge, InvalidInput: too much of it, or it is none.
        """
        self.max_content_length = MAX_READ
        self.json_module = _Json
        return super().get_json(*args, **kwargs)

    def on_json_loading_failed(self, error: ValueError | None) -> Any:
        """Raise what says where a body is no JSON.

        Raises:
            NotJson: always, but for a body of another type.
        """
        if error is None:
            return super().on_json_loading_failed(error)
        raise NotJson(Problem(BODY, f"is not JSON: {error}")) from None


def init_app(app: Flask) -> None:
    """Read this application's requests so."""
    app.request_class = FarmRequest
    app.before_request(_make_room_for_clips)


def _make_room_for_clips() -> None:
    """Let a submission be larger by a clip, where there may be one."""
    if request.endpoint in WITH_CLIPS:
        request.max_content_length = 1_000_000 * (settings().max_upload_mb + settings().max_clip_mb)

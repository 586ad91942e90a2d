"""Refusals of a farm, as errors: what its answer says, in one line a field, and whether to ask again."""

from __future__ import annotations

import httpx

from farm.errors import FarmError


class Refused(FarmError):
    """Request refused, or without an answer."""


class Rejected(Refused):
    """Request that the farm answered with what is wrong in it; `fields` names the parts."""

    def __init__(self, message: str, fields: frozenset[str] = frozenset()) -> None:
        super().__init__(message)
        self.fields = fields


class Missing(Rejected):
    """Request for what is not there, or is another's."""


class Unavailable(Refused):
    """Farm without an answer just now; it may be about to start again."""


class RateLimited(Refused):
    """Request refused for now (429); `seconds` until it may be repeated."""

    def __init__(self, message: str, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds


class ResponseLost(Refused):
    """Request sent whose answer did not arrive; the farm may have carried it out."""


def is_unavailable(response: httpx.Response) -> bool:
    return response.is_server_error or response.status_code == httpx.codes.TOO_MANY_REQUESTS


def build_refusal(response: httpx.Response) -> Refused:
    if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
        wait = response.headers.get("Retry-After", "")
        seconds = max(1.0, float(wait)) if wait.isdecimal() else 1.0
        return RateLimited(describe_problem(response), seconds)
    if response.status_code == httpx.codes.UNAUTHORIZED:
        return Refused(
            f"{describe_problem(response)}\nThe command takes it from the environment: FARM_TOKEN."
        )
    if response.status_code == httpx.codes.NOT_FOUND:
        return Missing(describe_problem(response))
    if response.is_client_error:
        return Rejected(describe_problem(response), _list_fields(response))
    return Refused(describe_problem(response))


def _list_fields(response: httpx.Response) -> frozenset[str]:
    """Return the fields that a problem names."""
    try:
        return frozenset(str(item["field"]) for item in response.json().get("errors") or [])
    except (ValueError, AttributeError):
        return frozenset()


def describe_problem(response: httpx.Response) -> str:
    """Format a problem (RFC 9457) as one line a field."""
    try:
        problem = response.json()
    except ValueError:
        return f"The farm answered {response.status_code} {response.reason_phrase}."
    lines = [f"{item['field']}: {item['message']}" for item in problem.get("errors") or []]
    return "\n".join(lines) or problem.get("detail") or problem.get("title") or str(response.status_code)

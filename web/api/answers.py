"""Meanings of the API's answers, by status: the only place where they are put in words."""

from __future__ import annotations

OTHER_SITE = {403: "Sent by another site's page."}
OPERATORS = {403: "Sent by somebody who is no operator, or by another site's page."}
NO_JOB = {404: "No such job."}
NO_EXPLORATION = {404: "No such exploration."}
NO_FILM = {404: "No such film."}
NO_WORKER = {404: "No such worker."}
UNCHANGED = {304: "What the client has is the newest.", 412: "`If-Match` names another version."}
PARTS = {206: "The part that `Range` asks for.", 416: "The file ends before that range."}
STREAMS_FULL = {503: "As many streams as there may be."}
ID_TAKEN = {409: "There is a job with this id, of another request."}
KEY_TAKEN = {409: "The idempotency key came before, with another request."}
BAD_JSON = {400: "Not JSON."} | OTHER_SITE
NO_ROOM = {507: "The farm's disk is nearly full."}
QUOTA = {403: "Sent by another site's page, or more than a quota holds.", 429: "A quota is used up."}
BAD_SUBMISSION = QUOTA | {413: "Too large.", 415: "Not a picture.", 422: "Not valid."} | NO_ROOM

ACCEPTED = "Accepted; it waits for a worker."
DELETED = "It is gone, with its pictures."
EVENTS = "Events `state`, `end`, `gone`."
EVENT_STREAM = "text/event-stream"

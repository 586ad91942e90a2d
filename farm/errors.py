"""Every error the farm raises on purpose, in one tree. The docstring is the default message.

FarmError
├── InvalidInput            422  something a person sent; names each field and its limit
│   ├── NotJson             400
│   ├── TooLarge            413
│   └── NotAPicture         415
├── OperatorsOnly           403
├── NotYours                403  is seen, but another's to change, or nobody's
├── SignedOut               401  the token was revoked in the middle of a request
├── NotFound                404
├── WrongState              409
├── KeyReused               409
├── QuotaReached            429  a person has used up a quota; says which, and when it frees
│   └── QuotaTooSmall       403  waiting alone does not help
├── NameTaken                    another process is the worker of this name
├── NoDevice                     the card that FARM_DEVICE asks for cannot be used
├── WeightsUnavailable           no network weights in the cache and none to be had
├── RenderFailed                 the engine cannot continue
│   └── DoesNotFit               the picture needs more memory than the device has
│       └── OutOfMemory          it had seemed to fit
├── Busy                    503  too many pictures at once
│   └── TurnOver                 a clip that takes long while others wait
├── StorageAway             503  the storage does not take or give files
├── NoRoom                  507  a disk is nearly full; nothing new is taken
├── AttemptLost                  another attempt owns the job now; stop at once
└── DatabaseOutOfDate            migrations and tables disagree
    └── NoFarm                   there is no database where this command looks for it
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One thing wrong with one field, in words a person can act on."""

    field: str
    message: str


class FarmError(Exception):
    """Something went wrong in the farm."""

    status = 500

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (self.__doc__ or "").strip())


class InvalidInput(FarmError):
    """Something sent is not valid."""

    status = 422

    def __init__(self, *problems: Problem) -> None:
        self.problems = problems
        super().__init__("; ".join(f"{p.field}: {p.message}" for p in problems) or None)


class NotJson(InvalidInput):
    """The body is not JSON."""

    status = 400


class TooLarge(InvalidInput):
    """The upload is larger than the farm accepts."""

    status = 413


class NotAPicture(InvalidInput):
    """The upload is not a picture the farm can read."""

    status = 415


class SignedOut(FarmError):
    """Your token was revoked meanwhile. Nothing was stored; sign in again, or send another token."""

    status = 401


class OperatorsOnly(FarmError):
    """This is for the farm's operators. Ask one of them to do it."""

    status = 403


class NotYours(FarmError):
    """This is not yours to change."""

    status = 403


class NotFound(FarmError):
    """There is no such thing here."""

    status = 404


class WrongState(FarmError):
    """The job's state does not allow this."""

    status = 409


class KeyReused(FarmError):
    """This key came before, with another request."""

    status = 409


class QuotaReached(FarmError):
    """A person has used up a quota of theirs."""

    status = 429

    def __init__(self, message: str, retry_seconds: int | None = None) -> None:
        self.retry_seconds = retry_seconds  # None: only its owner can make room
        super().__init__(message)


class QuotaTooSmall(QuotaReached):
    """A quota holds less than this, or only its owner can make room."""

    status = 403


class NameTaken(FarmError):
    """Another process is the worker of this name."""


class NoDevice(FarmError):
    """The card that FARM_DEVICE asks for cannot be used."""


class WeightsUnavailable(FarmError):
    """The network's weights are not in the cache and could not be fetched."""


class RenderFailed(FarmError):
    """The rendering stopped."""


class DoesNotFit(RenderFailed):
    """The picture needs more memory than this device has."""


class OutOfMemory(DoesNotFit):
    """Memory ran out, and no smaller plan is left."""


class Busy(FarmError):
    """The farm looks at as many pictures as it can just now. Try again in a moment."""

    status = 503


class TurnOver(Busy):
    """This clip takes long to decode, and others wait. Try later, or save it shorter or smaller."""


class StorageAway(FarmError):
    """The storage does not take or give files."""

    status = 503


class NoRoom(FarmError):
    """The farm's disk is nearly full."""

    status = 507


class AttemptLost(FarmError):
    """Another attempt owns the job now."""


class DatabaseOutOfDate(FarmError):
    """The database's tables are not those this version of the farm expects."""


class NoFarm(DatabaseOutOfDate):
    """There is no farm here."""

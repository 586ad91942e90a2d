"""Words for people: states, durations, sizes, estimates and figures, for pages and for the API."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from farm.clips.clip import Clip
from farm.counts import format_count
from farm.database.base import now
from farm.database.models import Job, State
from farm.errors import FarmError, InvalidInput, Problem
from farm.films.estimates import FilmEstimate
from farm.films.lists import ListedFilm
from farm.fleet.estimates import Estimate, SharedEstimate
from farm.jobs import details
from farm.jobs.comparisons import Ranked
from farm.jobs.scores import Score
from farm.looks.look import LEFT_OUT
from farm.people.quotas import Quotas, describe_megapixels
from farm.recipe.recipe import get_title
from farm.recipe.typed_values import format_value
from farm.settings import settings
from farm.storage import format_bytes

STATES = {
    State.QUEUED: "Waiting",
    State.RUNNING: "Painting",
    State.CANCELLING: "Stopping",
    State.SUCCEEDED: "Finished",
    State.FAILED: "Failed",
    State.CANCELLED: "Cancelled",
}

NO_PAINTER = "No worker that paints films is running; it waits for one."


def describe_error(error: FarmError) -> str:
    """Return an error as sentences: `The priority must be a whole number.`"""
    if not isinstance(error, InvalidInput):
        return str(error)
    return " ".join(_describe_problem(each) for each in error.problems)


def _describe_problem(problem: Problem) -> str:
    """Return one problem as a sentence; of a look's file, the setting without where it stands."""
    setting, _, part = problem.field.removeprefix("settings.").partition(".")
    name = f"{setting.replace('_', ' ')} {part}".strip()
    return f"The {name} {problem.message.removeprefix('input ')}."


def to_rfc3339(moment: datetime) -> str:
    """Return a moment in UTC, ending in Z."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def format_duration(seconds: float | None) -> str:
    """Return `8 s`, `3 min 20 s`, `2 h 5 min`: two units at most."""
    if seconds is None:
        return ""
    whole = max(0, round(seconds))
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    if minutes:
        return f"{minutes} min {rest} s" if rest and minutes < 10 else f"{minutes} min"
    return f"{rest} s"


def describe_time(job: Job) -> str:
    """Return `3 min`, the time of the last attempt, or `3 min to go`; "" where it is unknown."""
    if not job.state.ended:
        return format_time_left(details.find_time_left(job))
    if job.started_at is None or job.finished_at is None:
        return ""
    return format_duration((job.finished_at - job.started_at).total_seconds())


def format_time_left(seconds: float | None, spread_seconds: float | None = None) -> str:
    """Return `3 min 20 s ± 8 s to go`; "" where it is unknown."""
    if seconds is None:
        return ""
    spread = f" ± {format_duration(spread_seconds)}" if round(spread_seconds or 0) else ""
    return f"{format_duration(seconds)}{spread} to go"


def format_percent(share: float) -> str:
    """Return `42 %` of a share from 0 to 1."""
    return f"{round(share * 100)} %"


def describe_tenths(share: float) -> str:
    """Return `40 % painted`, in whole tenths of a share from 0 to 1: what is read aloud."""
    tenths = int(share * 10)
    return f"{format_percent(tenths / 10)} painted" if tenths else ""


def format_age(moment: datetime) -> str:
    """Return `just now`, `5 minutes ago`, `3 days ago`."""
    seconds = (now() - moment).total_seconds()
    for unit, size in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if seconds >= size:
            return f"{format_count(int(seconds // size), unit)} ago"
    return "just now"


def format_seen(moment: datetime) -> str:
    """Return the same of a worker, which is heard of every few seconds: `30 s ago` within a minute."""
    seconds = (now() - moment).total_seconds()
    return f"{seconds // 10 * 10:.0f} s ago" if 20 <= seconds < 60 else format_age(moment)


def format_speed(seconds_per_megapixel: float | None) -> str:
    """Return `2.4 MP/s`: megapixels of one iteration in a second."""
    if not seconds_per_megapixel:
        return "speed not measured yet"
    return f"{1 / seconds_per_megapixel:.3g} MP/s"


def format_pixels(width: int, height: int) -> str:
    """Return `7680 × 4320 px (33 megapixels)`."""
    megapixels = f"{width * height / 1e6:.2g}"
    return f"{width} × {height} px ({megapixels} megapixel{'' if megapixels == '1' else 's'})"


def format_about_time(seconds: float) -> str:
    """Return `about 40 minutes`, `about 2 hours 40 minutes`: no finer than such an estimate is."""
    if seconds < 60:
        return "less than a minute"
    hours, rest = divmod(_round_minutes(seconds), 60)
    parts = [format_count(hours, "hour")] * bool(hours) + [format_count(rest, "minute")] * bool(rest)
    return f"about {' '.join(parts)}"


def _round_minutes(seconds: float) -> int:
    """Round to whole minutes, no finer than an estimate is."""
    minutes = seconds / 60
    step = next(step for limit, step in ((10, 1), (60, 5), (600, 10), (math.inf, 60)) if minutes < limit)
    return round(minutes / step) * step


def format_about_memory(count: float) -> str:
    """Return `about 7 GB`, `about 0.85 GB`: two digits."""
    return f"about {count / 1e9:.2g} GB" if count < 9.95e9 else f"about {count / 1e9:.0f} GB"


def describe_need(found: Estimate, where: str) -> str:
    """Return `about 7 GB, about 40 minutes on worker@host`, or why it fits nowhere."""
    if found.refusal:
        return f"Too large for every worker: {found.refusal}"
    memory = format_about_memory(found.peak_bytes)
    if found.seconds is None:
        return f"{memory} on {where}, time unknown until this farm has rendered something"
    return f"{memory}, {format_about_time(found.seconds)} on {where}"


def format_short_need(width: int, height: int, fits: bool | None, seconds: float | None) -> str:
    """Return `2.8 MP · 40 min`, or `33 MP · too large`: what stands on a small button.

    Args:
        width, height: of the result, px. fits, seconds: None where nobody knows.
    """
    megapixels = f"{width * height / 1e6:.2g} MP"
    if fits is False:
        return f"{megapixels} · too large"
    return megapixels if seconds is None else f"{megapixels} · {format_short_time(seconds)}"


def format_short_time(seconds: float) -> str:
    """Return `< 1 min`, `40 min`, `2 h 40 min`, `41 h`: as `format_about_time` rounds."""
    if seconds < 60:
        return "< 1 min"
    hours, rest = divmod(_round_minutes(seconds), 60)
    return " ".join([f"{hours} h"] * bool(hours) + [f"{rest} min"] * bool(rest))


def describe_sized_need(found: Estimate) -> str:
    """Return the same for a picture that is not yet a job, its size in front."""
    text = describe_need(found, found.worker)
    return text if found.refusal else f"{format_pixels(found.width, found.height)}: {text}"


def describe_unknown_need(width: int, height: int) -> str:
    """Return the same while no worker is alive."""
    return f"{format_pixels(width, height)}: no worker is running, so nobody can tell what it needs"


def describe_grid(cells: int, shape: tuple[int, int], found: SharedEstimate | None) -> str:
    """Return `9 drafts of 256 × 192 px: about 3 minutes on worker@host`, or why nobody can tell.

    Args:
        shape: height and width of a cell, px. found: None where no worker is alive.
    """
    text = f"{format_count(cells, 'draft')} of {shape[1]} × {shape[0]} px"
    if found is None:
        return f"{text}: no worker is running, so nobody can tell how long that takes"
    if found.refusal:
        return f"{text}: too large for every worker: {found.refusal}"
    if found.seconds is None:
        return f"{text}: time unknown until this farm has rendered something"
    where = found.workers[0] if len(found.workers) == 1 else format_count(len(found.workers), "worker")
    return f"{text}: {format_about_time(found.seconds)} on {where}"


def describe_job_need(job: Job, found: Estimate) -> str:
    """Return what a job needs: a queued one on the best worker, a running one on its own."""
    text = describe_need(found, "this worker" if job.state is State.RUNNING else found.worker)
    return capitalise(text)


def capitalise(text: str) -> str:
    """Return a text with its first letter large, the others as they are."""
    return text[:1].upper() + text[1:]


def describe_clip_limits() -> str:
    """Return what a clip may be: `up to 1500 frames, 10 minutes, 200 MB and 9 megapixels`."""
    wanted = settings()
    minutes = format_count(wanted.max_clip_minutes, "minute")
    return (
        f"up to {format_count(wanted.max_clip_frames, 'frame')}, {minutes}, {wanted.max_clip_mb} MB"
        f" and {format_count(wanted.max_clip_megapixels, 'megapixel')}"
    )


def describe_clip(found: Clip) -> str:
    """Return `1280 × 720 px, 240 frames, 10 s, 3 shots, with sound`."""
    parts = [f"{found.width} × {found.height} px", describe_length(found.frames, float(found.duration))]
    parts += [format_count(len(found.shots), "shot")] * (len(found.shots) > 1)
    parts += ["with sound"] * found.sound
    return ", ".join(parts)


def describe_length(frames: int, seconds: float) -> str:
    """Return `240 frames, 10 s` of a film; a short one's seconds have a digit more."""
    return f"{format_count(frames, 'frame')}, {format_film_time(seconds)}"


def format_film_time(seconds: float) -> str:
    """Return `2.4 s`, `12 s`, `1 min 20 s`: how long a clip or a film is."""
    return f"{seconds:.1f} s" if seconds < 10 else format_duration(seconds)


def describe_film_length(film: ListedFilm) -> str:
    """Return the same of a film in a list."""
    return describe_length(len(film.numbers), film.seconds)


def describe_film_need(found: FilmEstimate) -> str:
    """Return `60 frames of 512 × 288 px: about 2 hours on 2 workers, and 27 MB of storage at most`."""
    text = f"{format_count(found.frames, 'frame')} of {found.width} × {found.height} px"
    if found.refusal:
        return f"{text}: too large for every worker: {found.refusal}"
    stored = f"and {format_bytes(found.stored_bytes)} of storage at most"
    if found.seconds is None:
        return f"{text}: time unknown until this farm has rendered something, {stored}"
    where = found.workers[0] if len(found.workers) == 1 else format_count(len(found.workers), "worker")
    return f"{text}: {format_about_time(found.seconds)} on {where}, {stored}"


def describe_unknown_film(frames: int, height: int, width: int) -> str:
    """Return the same while no worker is alive."""
    text = f"{format_count(frames, 'frame')} of {width} × {height} px"
    return f"{text}: no worker that paints films is running, so nobody can tell how long they take"


def describe_painted(done: int, frames: int, at_work: int) -> str:
    """Return `17 of 48 frames are painted; 2 parts are at work.`"""
    painted = f"{done} of {format_count(frames, 'frame')} {'is' if done == 1 else 'are'} painted"
    at_work_words = f"; {format_count(at_work, 'part')} {'is' if at_work == 1 else 'are'} at work"
    return f"{painted}{at_work_words if at_work else ''}."


def format_three_digits(value: float) -> str:
    """Return `0.0123`, `45.6`: three significant digits."""
    return f"{value:.3g}"


def describe_share(value: float) -> str:
    """Return `about half (0.53)` of a share from 0 to 1."""
    steps = ((0.85, "nearly all"), (0.6, "most of it"), (0.4, "about half"), (0.2, "some of it"))
    words = next((words for least, words in steps if value >= least), "little of it")
    return f"{words} ({value:.2f})"


def describe_score(found: Score) -> str:
    """Return `4.2 of 5 (3.6 to 4.7), by 9`: mean, 95 % interval, number of ratings."""
    span = "" if found.low is None else f" ({found.low:.1f} to {found.high:.1f})"
    return f"{found.mean:.1f} of 5{span}, by {found.count}"


def describe_look(settings: Mapping[str, Any]) -> str:
    """Return what makes a look, such as `Size of strokes 2, Smoothness 0.5`.

    Args:
        settings: that are not the usual ones.
    """
    words = [f"{get_title(name)} {format_value(value)}" for name, value in settings.items()]
    return ", ".join(words) or "The usual settings"


OF_PICTURES = {
    "style_scale": "a size of strokes for each painting",
    "stroke_arrows": "arrows for strokes",
    "blend": "a weight for each painting",
    "init": "a picture to begin from",
}


def describe_left_out(names: Sequence[str]) -> str:
    """Return what of a recipe is not in its look, as a sentence; "" where all is.

    Args:
        names: as `list_left_out` lists them.
    """
    return f"{LEFT_OUT}: {', '.join(OF_PICTURES[name] for name in names)}." if names else ""


def format_interval(found: Ranked) -> str:
    """Return `72 % (55 to 84)`: the chance to be chosen over a middling look."""
    low, high = found.interval
    return f"{100 * found.share:.0f} % ({100 * low:.0f} to {100 * high:.0f})"


FIGURES: dict[str, tuple[str, Callable[[float], str], str]] = {
    "ssim": (
        "Structure kept",
        describe_share,
        "How much of the photograph's shapes and light is still there (SSIM).",
    ),
    "lpips_vgg16": (
        "Seen difference",
        format_three_digits,
        "To the photograph, as people see it (LPIPS over this farm's VGG16). Lower is closer.",
    ),
    "lpips_vgg16_bsds": (
        "Seen difference",
        format_three_digits,
        "To the photograph, as people see it (LPIPS over vgg16-bsds). Lower is closer.",
    ),
    "gram_cosine_centred": (
        "Style reached",
        describe_share,
        "How much of the paintings' strokes and colours is there (centred Gram cosine).",
    ),
    "gram_cosine": (
        "Style, uncentred",
        describe_share,
        "The same with averages left in (Gram cosine); high for any two pictures.",
    ),
    "content_loss": (
        "Content loss",
        format_three_digits,
        "Distance from the photograph. Lower is closer.",
    ),
    "style_loss": ("Style loss", format_three_digits, "Distance from the paintings. Lower is closer."),
    "tv_loss": (
        "Roughness",
        format_three_digits,
        "Total variation between neighbouring points. Lower is smoother.",
    ),
    "seconds": ("Time", format_duration, "That the worker painted."),
    "peak_memory_bytes": ("Memory", format_bytes, "The most that was in use at once."),
}


def list_figures(metrics: dict[str, Any] | None) -> list[tuple[str, str, str]]:
    """Return (title, value, meaning) of each figure that the worker measured."""
    found = metrics or {}
    return [
        (title, words(found[name]), meaning)
        for name, (title, words, meaning) in FIGURES.items()
        if isinstance(found.get(name), int | float)
    ]


def describe_quotas_left(found: Quotas) -> str:
    """Return `Left of your quotas: 1 job at once, 3 jobs that may wait, 12 megapixels until 00:00 UTC.`;
    "" where none has a limit."""
    running, waiting, megapixels, stored = (
        quota.left
        for quota in (found.running, found.waiting, found.megapixels_a_day, found.stored_bytes)
    )
    words = []
    if running is not None:
        words.append(f"{format_count(round(running), 'job')} at once")
    if waiting is not None:
        words.append(f"{format_count(round(waiting), 'job')} that may wait")
    if megapixels is not None:
        words.append(f"{describe_megapixels(megapixels)} until 00:00 UTC")
    if stored is not None:
        words.append(f"{format_bytes(stored)} of storage")
    return f"Left of your quotas: {', '.join(words)}." if words else ""

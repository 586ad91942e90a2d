"""Pictures of the farm for README and docs, made by the farm itself.

    python -m docs.screenshots [--size 512] [--preset standard] [--only films]

Starts a farm in a folder of its own, submits the samples, and photographs form, exploration, running
job, finished job, list, workers, queue, storage, gallery, viewer, and a film's form and page in a real
browser: wide, narrow and dark. Also stores the finished picture. `--only films` takes the form with a
clip, the film, workers and queue while it is painted, and storage.
"""

from __future__ import annotations

import argparse
import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.testbed.processes import (
    SAMPLES,
    RunningFarm,
    as_json,
    farm_up,
    find_chromium,
    sample_files,
    wait_for,
)

CLIP_FILE = SAMPLES / "flight.mp4"
CLIP = (CLIP_FILE.name, CLIP_FILE.read_bytes())
OUT = Path(__file__).parent / "pictures"
VIEWS: dict[str, dict[str, Any]] = {
    "wide": {"viewport": {"width": 1280, "height": 900}},
    "narrow": {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2},
    "dark": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"},
}
JPEG_QUALITY = 82
SETTLED_MS = 1500
BUSY_MS = 180_000  # for a page of a machine that paints


def submit(farm: RunningFarm, content: str, style: str, name: str, **recipe: object) -> str:
    """A named job on a sample pair; returns its id."""
    data = {"recipe": as_json(recipe), "name": name}
    answer = farm.api("POST", "/jobs", files=sample_files(content, style), data=data)
    return str(answer.raise_for_status().json()["id"])


def explore(farm: RunningFarm) -> str:
    """An exploration, once all of it is painted; its page."""
    files = sample_files("street", "ink_wash")
    answer = farm.api("POST", "/explorations", files=files, data={"name": "Street in ink"})
    links = answer.raise_for_status().json()["links"]
    path = links["self"].removeprefix("/api/v1")
    wait_for(lambda: farm.api("GET", path).json()["links"]["cancel"] is None, 1800, pause=1)
    return f"{farm.url}{links['page']}"


def submit_film(farm: RunningFarm) -> dict[str, Any]:
    """Submit a film of the sample clip; return what the farm answers."""
    files = [("clip", CLIP), *sample_files("street", "brushwork")[1:]]
    data = {
        "recipe": as_json({"size": 192, "preset": "draft"}),
        "film": as_json({"every": 8, "spacing": 3}),
        "name": "Flight, in long strokes",
    }
    answer = farm.api("POST", "/films", files=files, data=data)
    return dict(answer.raise_for_status().json())


def choose_clip(page: Page) -> None:
    """Send clip and painting to the form, and wait until it knows what they are."""
    page.get_by_label("Choose a photograph").set_input_files(CLIP_FILE)
    page.get_by_text("Brushwork").click()
    page.locator("#clip-facts").filter(has_text="frames").wait_for()
    page.get_by_label("From frame").wait_for()
    page.evaluate("scrollTo(0, 0)")


def shoot(
    browser: Browser, url: str, name: str, prepare: Callable[[Page], None] = lambda page: None
) -> None:
    """One page in every view."""
    for view, options in VIEWS.items():
        context = browser.new_context(**options)
        page = context.new_page()
        page.set_default_timeout(BUSY_MS)
        page.goto(url)
        prepare(page)
        page.wait_for_timeout(SETTLED_MS)  # thumbnails; a live page is never idle
        image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        image.save(OUT / f"{name}-{view}.jpg", quality=JPEG_QUALITY, optimize=True)
        context.close()


def shoot_films(browser: Browser, farm: RunningFarm) -> None:
    """The form with a clip, a film, and the operators' pages while it is painted and afterwards."""
    shoot(browser, farm.url, "film-form", choose_clip)
    film = submit_film(farm)
    names = ("Street in ink", "Street in ink, again")
    others = [submit(farm, "street", "ink_wash", name, size=512) for name in names]
    path = film["links"]["self"].removeprefix("/api/v1")
    wait_for(lambda: farm.api("GET", path).json()["painted"] >= 1, 1800, pause=1)
    shoot(browser, f"{farm.url}/workers", "workers")
    shoot(browser, f"{farm.url}/operators/queue", "queue")
    for job in others:
        farm.api("POST", f"/jobs/{job}/cancel")
    wait_for(lambda: farm.api("GET", path).json()["state"] == "succeeded", 3600, pause=1)
    shoot(browser, f"{farm.url}{film['links']['page']}", "film-finished")
    shoot(browser, f"{farm.url}/operators/storage", "storage")


def shoot_pictures(browser: Browser, farm: RunningFarm, recipe: dict[str, Any]) -> None:
    """A picture from the form to the gallery, an exploration, and the lists."""
    small = [
        submit(farm, "street", "mosaic", "Street in tiles", size=256, preset="draft"),
        submit(farm, "street", "ink_wash", "Street in ink", size=256, preset="draft"),
    ]
    shoot(browser, farm.url, "form")
    for job in small:
        farm.wait_for_state(job, "succeeded", seconds=600)
    large = submit(farm, "mountain_lake", "brushwork", "Lake, in long strokes", **recipe)
    waiting = submit(farm, "street", "brushwork", "Street, in long strokes", size=512)
    wait_for(lambda: farm.job(large)["progress"] > 0.3, 1800, pause=1)
    shoot(browser, f"{farm.url}/jobs/{large}", "running")
    shoot(browser, f"{farm.url}/jobs", "list")
    farm.api("POST", f"/jobs/{waiting}/cancel")
    farm.wait_for_state(large, "succeeded", seconds=3600)
    shoot(browser, f"{farm.url}/jobs/{large}", "finished")
    shoot(browser, f"{farm.url}/jobs/{large}/view", "viewer")
    shoot(browser, f"{farm.url}/gallery", "gallery")
    shoot(browser, explore(farm), "explore")
    result = Image.open(io.BytesIO(farm.api("GET", f"/jobs/{large}/result").content))
    result.convert("RGB").save(OUT / "result.jpg", quality=90)


def main() -> None:
    """Run the farm, render, photograph."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--preset", default="standard")
    parser.add_argument("--only", choices=["pictures", "films"])
    asked = parser.parse_args()
    OUT.mkdir(exist_ok=True)
    folder = tempfile.TemporaryDirectory()
    with folder as home, farm_up(Path(home) / "home") as farm, sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=flags)
        if asked.only != "films":
            shoot_pictures(browser, farm, {"size": asked.size, "preset": asked.preset})
        if asked.only != "pictures":
            shoot_films(browser, farm)
        browser.close()


if __name__ == "__main__":
    main()

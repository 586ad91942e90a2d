"""Milliseconds of a frame of the slider between photograph and painting, in a real browser.

    python -m benchmarks.slider_frames [--side 1024] [--frames 200]

Opens the part of a page that is the slider, with its script, over two pictures, and moves it at each
frame from end to end. Prints a JSON line, ms, medians and 9 in 10: the processors' time in a frame, of
all processes of the browser, which hardly depends on what else runs; the time from one frame to the
next, which does, as does that of the blending alone, until its pixels can be read. Needs the browser of
the tests.
"""

from __future__ import annotations

import argparse
import io
import json
import os
from pathlib import Path

import numpy as np
import psutil
from jinja2 import Environment, FileSystemLoader
from PIL import Image
from playwright.sync_api import Route, sync_playwright

from benchmarks.testbed.processes import find_chromium

WEB = Path(__file__).parent.parent / "web"
FLAGS = ["--no-sandbox", "--disable-gpu"]
ADDRESS = "http://slider.test"
PAGE = """<!doctype html><html class="js" lang="en">
<link rel="stylesheet" href="/static/site.css">
<div data-slider='{{ rows|tojson }}'></div>
{% from "_slider.html" import slider %}{{ slider() }}
<script type="module" src="/static/slider.js"></script>"""
MOVE = """async (frames) => {
    const slider = document.getElementById("slider-place");
    const times = [];
    for (let number = 0; number <= frames; number += 1) {
        slider.value = slider.max * (0.5 + 0.45 * Math.sin(number / 7));
        slider.dispatchEvent(new Event("input"));  // its frame comes before ours, as it asks first
        times.push(await new Promise(requestAnimationFrame));
    }
    return times.slice(1).map((time, number) => time - times[number]);
}"""
BLEND = """async (frames) => {
    const slider = document.getElementById("slider-place");
    const context = document.getElementById("slider-picture").getContext("2d");
    const ask = window.requestAnimationFrame;
    const times = [];
    window.requestAnimationFrame = (drawn) => ask((now) => {
        const began = performance.now();
        drawn(now);
        context.getImageData(0, 0, 1, 1);
        times.push(performance.now() - began);
    });
    for (let number = 0; number < frames; number += 1) {
        slider.value = slider.max * (0.5 + 0.45 * Math.sin(number / 7));
        slider.dispatchEvent(new Event("input"));
        await new Promise(ask);
    }
    return times;
}"""


def main() -> None:
    """Move the slider, and print what its frames took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=1024, help="of the pictures, px")
    parser.add_argument("--frames", type=int, default=200)
    asked = parser.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 1400})
        page.route(f"{ADDRESS}/**", lambda route: answer(route, asked.side))
        page.goto(ADDRESS)
        page.locator("#live-slider").wait_for()
        before = measure_cpu_seconds()
        found = {"frame": page.evaluate(MOVE, asked.frames)}
        spent = measure_cpu_seconds() - before
        found["blend"] = page.evaluate(BLEND, asked.frames)
        version = browser.version
        browser.close()
    row = {"side": asked.side, "chromium": version, "cpus": os.cpu_count(), "load": os.getloadavg()[0]}
    row["cpu_ms"] = round(1000 * spent / asked.frames, 2)
    for name, times in found.items():
        row |= {
            f"{name}_ms": round(float(np.median(times)), 2),
            f"{name}_9_in_10_ms": round(float(np.quantile(times, 0.9)), 2),
        }
    print(json.dumps(row))


def measure_cpu_seconds() -> float:
    """Return the processors' seconds that the browser's processes have had."""
    times = [each.cpu_times() for each in psutil.Process().children(recursive=True)]
    return sum(each.user + each.system for each in times)


def answer(route: Route, side: int) -> None:
    """Answer the page's requests: for itself, for what is static, and for its pictures."""
    path = route.request.url.removeprefix(ADDRESS)
    if path.startswith("/static/"):
        route.fulfill(path=WEB / path[1:])
    elif path.endswith(".jpg"):
        route.fulfill(body=make_picture(side, seed=int(path[1])), content_type="image/jpeg")
    else:
        cells = [
            {"id": str(n), "label": "cell", "weight": 4.0**-n, "src": f"/{n}.jpg"}
            | {"width": side, "height": side}
            for n in range(2)
        ]
        environment = Environment(loader=FileSystemLoader(WEB / "templates"), autoescape=True)
        template = environment.from_string(PAGE, {"url_for": lambda name: f"/{name}"})
        rows = [{"label": "row", "cells": cells}]
        route.fulfill(body=template.render(rows=rows), content_type="text/html")


def make_picture(side: int, seed: int) -> bytes:
    """Return a JPEG of noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (side // 8, side // 8, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).resize((side, side)).save(file, "JPEG")
    return file.getvalue()


if __name__ == "__main__":
    main()

"""Whether a page can be used by all: what axe finds, and what it does not look at.

The rules of axe are those it has switched on (WCAG 2.1 A and AA, and what it calls best practice) and
some more; `beyond_axe.js` says what it adds.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

MORE_RULES = ("target-size", "duplicate-id", "label-content-name-mismatch", "focus-order-semantics")
ALL = {"rules": {rule: {"enabled": True} for rule in MORE_RULES}}
OF_LOOKS = {"runOnly": ["color-contrast", "target-size", "scrollable-region-focusable"]}  # may change
RUN = """options => axe.run(options).then(({ violations }) => violations.flatMap(({ id, nodes }) =>
    nodes.map((node) => `${id}: ${node.html.slice(0, 160)} ${node.any[0]?.message ?? ""}`)))"""
Scheme = Literal["light", "dark"]
# No colour depends on the width, no place on the colours.
LOOKS: tuple[tuple[int, Scheme], ...] = ((1280, "light"), (390, "dark"))
NARROWEST = 320  # CSS px, WCAG 1.4.10
HEIGHT = 844
BEYOND_AXE = (Path(__file__).parent / "beyond_axe.js").read_text()


def complaints(page: Page, looks: Sequence[tuple[int, Scheme]] = LOOKS) -> str:
    """What is wrong with a page as it stands: a line for each thing, once. Empty: nothing is.

    Args:
        looks: width of the window in CSS px, and colour scheme.
    """
    found: dict[str, str] = {}
    page.evaluate(Axe().axe_script)
    for number, (width, scheme) in enumerate(looks):
        page.set_viewport_size({"width": width, "height": HEIGHT})
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # no colour is half-way
        page.keyboard.press("Tab")  # from now on the browser shows where the focus is
        for what in (*page.evaluate(BEYOND_AXE), *page.evaluate(RUN, OF_LOOKS if number else ALL)):
            found.setdefault(what, f"{width} px, {scheme}: {what}")
    page.set_viewport_size({"width": NARROWEST, "height": HEIGHT})
    if (wide := page.evaluate("document.documentElement.scrollWidth")) > NARROWEST:
        found["width"] = f"in a window of {NARROWEST} px it is {wide} px wide"
    return "\n".join(found.values())

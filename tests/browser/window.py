"""One window for several tests of one farm: a new one compiles every script and style anew."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Page

WIDTH, HEIGHT = 1280, 900  # CSS px


@contextmanager
def borrowed(page: Page, url: str) -> Iterator[Page]:
    """A page that knows of no visit before; whatever a script throws fails the test.

    Args:
        url: of the farm.
    """
    thrown: list[str] = []

    def note(error: object) -> None:
        thrown.append(str(error))

    page.on("pageerror", note)
    page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
    page.emulate_media(color_scheme="light", reduced_motion="no-preference")
    yield page
    page.goto(f"{url}/healthz")  # which has no script that would keep anything
    page.remove_listener("pageerror", note)
    page.evaluate("sessionStorage.clear()")
    session = page.context.new_cdp_session(page)
    session.send("Storage.clearDataForOrigin", {"origin": url, "storageTypes": "all"})
    session.detach()
    page.context.clear_cookies()
    assert thrown == []

"""Draft of the form, as the browser keeps it until it is sent."""

from __future__ import annotations

from playwright.sync_api import Page

CHANGED_AT = """(field) => new Promise((resolve) => {
  const opened = indexedDB.open("style-farm draft");
  opened.onupgradeneeded = () => opened.transaction.abort(); // the form has made none yet
  opened.onerror = () => resolve(0);
  opened.onsuccess = () => {
    const found = opened.result.transaction("files").objectStore("files").get(field);
    found.onsuccess = () => resolve(found.result?.[0]?.lastModified ?? 0);
    opened.result.close();
  };
})"""


def find_kept_file(page: Page, field: str) -> int:
    """Return when the first file kept of this field was changed, in ms since 1970; 0: none is kept."""
    changed_at: int = page.evaluate(CHANGED_AT, field)
    return changed_at

"""The walk: form -> row -> queue -> worker -> optimiser -> progress -> page, with real processes."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from benchmarks.testbed.processes import RunningFarm
from farm.pictures.encode import read_embedded_recipe
from farm.recipe import Recipe

pytestmark = [pytest.mark.browser, pytest.mark.processes]


def test_from_the_form_to_the_finished_picture(farm: RunningFarm, page: Page) -> None:
    # Given the form with a sample photograph, a sample painting and a small size
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(farm.url)
    page.get_by_label("Name", exact=True).fill("Lake at dusk")
    page.wait_for_load_state("networkidle")  # thumbnails that arrive later move what is ticked
    page.locator("input[name=content_pick][value=mountain_lake]").check(force=True)
    page.locator("input[name=style_pick][value=brushwork]").check(force=True)
    page.locator("[name=size]").first.fill("96")
    page.locator("label.preset", has_text="Draft").click()  # waits until it moves no longer

    # When it is sent
    page.get_by_role("button", name="Paint it").click()

    # Then the job's page follows it to its end by itself
    page.wait_for_url("**/jobs/*")
    job_id = page.url.rstrip("/").rpartition("/")[2]
    expect(page.get_by_role("heading", name="Lake at dusk")).to_be_visible()
    job = farm.wait_for_state(job_id, "succeeded", "failed")
    assert job["error"] is None
    expect(page.get_by_role("slider").first).to_be_visible(timeout=60_000)

    # And the picture that is downloaded is the photograph's shape, new, and carries its recipe
    with page.expect_download() as download:
        page.get_by_role("link", name="Download PNG").first.click()
    data = download.value.path().read_bytes()
    with Image.open(io.BytesIO(data)) as result:
        assert result.format == "PNG"
        assert result.size == (job["width"], job["height"]) == (96, 64)
        assert np.asarray(result).std() > 10
    recipe = Recipe.parse(read_embedded_recipe(data))
    assert (recipe.size, recipe.preset, recipe.features) == (96, "draft", "vgg16")
    expect(page.get_by_text("network vgg16", exact=True)).to_be_visible()
    assert job["metrics"]["ssim"] < 0.99
    assert job["metrics"]["style_loss"] > 0

    # And the page was told of it, and no request left this machine
    assert f"{farm.url}/jobs/{job_id}/changes" in requests
    assert [url for url in requests if not url.startswith((farm.url, "blob:", "data:"))] == []


def test_a_running_job_grows_on_the_page_and_is_cancelled_there(farm: RunningFarm, page: Page) -> None:
    job_id = farm.submit(size=256, iterations=[2000])
    page.goto(f"{farm.url}/jobs/{job_id}")
    farm.wait_for_state(job_id, "running")
    # The preview appears without a reload
    preview = page.locator("img[src*='/preview']").first
    expect(preview).to_be_visible(timeout=30_000)
    expect(page.get_by_role("progressbar").first).to_be_visible()
    expect(page.get_by_text("network vgg16", exact=True)).to_be_visible()
    page.get_by_role("button", name="Cancel").first.click()
    assert farm.wait_for_state(job_id, "cancelled")["state"] == "cancelled"


def test_without_javascript_the_form_still_makes_a_job(farm: RunningFarm, browser) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(farm.url)
    for choice in ("content_pick][value=street", "style_pick][value=mosaic", "preset][value=draft"):
        page.locator(f"input[name={choice}]").press(" ")  # by keyboard: pictures that arrive move things
    page.locator("[name=size]").first.fill("64")
    page.get_by_role("button", name="Paint it").click()
    job_id = page.url.rstrip("/").rpartition("/")[2]
    farm.wait_for_state(job_id, "succeeded")
    page = context.new_page()  # the other loads itself anew now and then
    page.goto(f"{farm.url}/jobs/{job_id}")
    expect(page.locator("img").first).to_be_visible()
    context.close()

"""Pictures come into the form: dropped anywhere, pasted, several at once, or as a finished file."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from benchmarks.testbed.processes import wait_for
from farm.pictures.encode import encode_picture
from farm.recipe import Recipe
from tests.conftest import load_sample

pytestmark = [pytest.mark.browser, pytest.mark.timeout(60)]

SAMPLES = Path(__file__).parent.parent.parent / "samples"
DROP = """(target, [kind, files]) => {
    const transfer = new DataTransfer();
    for (const { name, type, data } of files) {
        const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
        transfer.items.add(new File([bytes], name, { type }));
    }
    const place = { clientX: 900, clientY: 500 };
    const options = { bubbles: true, cancelable: true, dataTransfer: transfer, ...place };
    const event = kind === "paste"
        ? new ClipboardEvent(kind, { bubbles: true, cancelable: true, clipboardData: transfer })
        : new DragEvent(kind, options);
    return target.dispatchEvent(event);
}"""


def drop(target: Locator, *files: tuple[str, str, bytes], kind: str = "drop") -> bool:
    """Drop or paste files; returns whether the browser would have opened them."""
    sent = [
        {"name": name, "type": mime, "data": base64.b64encode(data).decode()}
        for name, mime, data in files
    ]
    return bool(target.evaluate(DROP, [kind, sent]))


def sample(name: str) -> tuple[str, str, bytes]:
    return f"{name}.jpg", "image/jpeg", (SAMPLES / f"{name}.jpg").read_bytes()


def expect_chosen(page: Page, box: str, *names: str) -> None:
    expect(page.locator(f'[data-drop="{box}"] figcaption')).to_have_text(list(names))


def test_the_whole_page_takes_what_is_dropped_and_says_what_it_does_not(page: Page, served: str) -> None:
    page.goto(served)

    # On a heading: the box that is empty, or else the nearest; on a filled box: into it
    page.get_by_text("Brushwork").click()
    assert not drop(page.locator("h1"), sample("street"))
    expect_chosen(page, "content", "street.jpg")
    assert not drop(page.locator('[data-drop="content"] img'), sample("mountain_lake"))
    expect_chosen(page, "content", "mountain_lake.jpg")
    page.evaluate("scrollTo(0, 0)")  # the place of a drop is then over the paintings
    assert not drop(page.locator("footer"), sample("mosaic"))
    expect_chosen(page, "style", "mosaic.jpg")

    # Pasted: another painting, since there is a photograph
    assert not drop(page.locator("body"), sample("ink_wash"), kind="paste")
    expect_chosen(page, "style", "mosaic.jpg", "ink_wash.jpg")

    # What is no picture is named, and the others are taken
    assert not drop(
        page.locator('[data-drop="style"]'), ("notes.txt", "text/plain", b"hay"), sample("brushwork")
    )
    expect_chosen(page, "style", "mosaic.jpg", "ink_wash.jpg", "brushwork.jpg")
    expect(page.locator("#style-errors")).to_have_text("notes.txt is not taken: it is no picture.")


def test_several_photographs_become_a_batch(page: Page, served: str) -> None:
    # Given three photographs, of which the second is none, though it says so
    page.goto(served)
    page.get_by_text("Brushwork").click()
    broken = ("broken.jpg", "image/jpeg", b"\xff\xd8 and no more")
    drop(page.locator("h1"), sample("street"), broken, sample("mountain_lake"))
    expect(page.locator("#batch")).to_contain_text("3 photographs: each becomes a picture of its own")

    # An exploration takes one of them
    page.get_by_role("button", name="Explore").click()
    expect(page.locator("#content-errors")).to_contain_text("takes one photograph; 3 are chosen")

    # When they are sent, the first waits, the second is named, and it and the third are still here
    page.get_by_role("button", name="Paint 3 pictures").click()
    expect(page.locator("#content-errors")).to_contain_text("broken.jpg is the one that was refused; 1")
    expect_chosen(page, "content", "broken.jpg", "mountain_lake.jpg")

    # Without it, the last is sent too, and there are two jobs
    page.get_by_role("button", name="Remove broken.jpg").click()
    page.get_by_role("button", name="Paint it").click()
    page.wait_for_url("**/jobs/*")
    page.goto(f"{served}/jobs")
    expect(page.locator(".card-name")).to_have_count(2)


def test_a_finished_picture_brings_its_recipe_back(page: Page, served: str) -> None:
    recipe = Recipe(size=768, preset="fine", tv_weight=2.5, seed=7, format="jpeg")
    data = encode_picture(load_sample("street", 96), "jpeg", recipe.model_dump_json())
    page.goto(served)

    drop(page.locator('[data-drop="content"]'), ("mill.jpg", "image/jpeg", data))

    expect(page.get_by_role("heading", name="Settings brought back")).to_be_visible()
    expect_chosen(page, "content")
    expect(page.get_by_label("Longest side, px")).to_have_value("768")
    expect(page.get_by_role("radio", name="Fine")).to_be_checked()
    expect(page.get_by_label("Smoothness", exact=True)).to_have_value("2.5")
    expect(page.locator("#seed")).to_have_value("7")
    expect(page.locator("#format")).to_have_value("jpeg")

    # Whoever meant the picture itself has it with one click
    page.get_by_role("button", name="Take it as a picture instead").click()
    expect_chosen(page, "content", "mill.jpg")


def shares(page: Page) -> list[str]:
    return page.locator("#blend-sliders output").all_text_contents()


def test_a_blend_outlasts_loading_again_and_paintings_that_come_and_go(page: Page, served: str) -> None:
    # Given three paintings, two samples and a file, that are blended
    page.goto(served)
    for name in ("Brushwork", "Ink wash"):
        page.get_by_text(name).click()
    page.locator("input[name=style]").set_input_files(SAMPLES / "mosaic.jpg")
    sliders = page.locator("#blend-sliders")
    for name, weight in (("Brushwork", "100"), ("Ink wash", "0"), ("mosaic.jpg", "100")):
        sliders.get_by_label(name).fill(weight)
    assert shares(page) == ["50 %", "0 %", "50 %"]
    kept = "localStorage.getItem('style-farm draft 0.2')?.includes('100,0,100')"
    wait_for(lambda: page.evaluate(kept))

    # It is there after loading again
    page.reload()
    expect(page.locator("#blend-sliders output")).to_have_text(["50 %", "0 %", "50 %"])

    # One that leaves takes its weight along, and brings it back
    ink = page.locator('input[name=style_pick][value="ink_wash"]')
    ink.uncheck()
    expect(page.locator("#blend-sliders output")).to_have_text(["50 %", "50 %"])
    ink.check()
    expect(page.locator("#blend-sliders output")).to_have_text(["50 %", "0 %", "50 %"])
    page.locator('input[name=style_pick][value="mosaic"]').check()
    expect(page.locator("#blend-sliders output")).to_have_text(["40 %", "0 %", "20 %", "40 %"])


def test_weights_for_other_paintings_are_not_dropped_in_silence(page: Page, served: str) -> None:
    page.goto(served)
    for name in ("Mountain lake", "Brushwork", "Ink wash"):
        page.get_by_text(name).click()
    page.get_by_text("Advanced settings").click()
    page.locator("#blend").fill("1,2,3")
    page.keyboard.press("Tab")

    expect(page.locator("#blend-errors")).to_have_text("Blend has 3 weights for 2 paintings.")
    expect(page.locator("#blend-sliders .help")).to_have_text("Blend has 3 weights for 2 paintings.")
    page.get_by_role("button", name="Paint it").click()
    expect(page.locator("#summary")).to_contain_text("Blend has 3 weights for 2 paintings")
    expect(page.locator("#blend")).to_have_value("1,2,3")


def test_strokes_and_smoothness_have_one_name_and_a_slider(page: Page, served: str) -> None:
    page.goto(served)
    page.get_by_text("Mountain lake").click()
    page.get_by_text("Brushwork").click()
    page.get_by_role("slider", name="Size of strokes").fill("1")
    expect(page.get_by_label("Size of strokes", exact=True)).to_have_value("2")
    page.get_by_label("Smoothness", exact=True).fill("0.5")
    expect(page.get_by_role("slider", name="Smoothness")).to_have_value("-1")

    # "Paint it" is in reach wherever one reads
    send = page.get_by_role("button", name="Paint it")
    for place in (0, 800):
        page.evaluate(f"scrollTo(0, {place})")
        expect(send).to_be_in_viewport(ratio=1)
    send.click()
    page.wait_for_url("**/jobs/*")

    # And the settings of the job bear the same names
    page.get_by_text("Settings", exact=True).click()
    expect(page.get_by_role("row", name="Size of strokes")).to_contain_text("2")
    recipe = page.request.get(f"{served}/api/v1{page.url.removeprefix(served)}/recipe").json()
    assert (recipe["style_scale"], recipe["tv_weight"]) == (2.0, 0.5), json.dumps(recipe)

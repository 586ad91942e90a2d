"""Looks through the API, on the form, on their page, and on the command line."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient
from playwright.sync_api import Page, expect
from werkzeug.test import TestResponse

from farm.cli import main
from farm.cli.recipe_options import describe_unknown
from farm.database.models import Job
from tests.web.conftest import token

EVENING = {"name": "Evening", "settings": {"version": "0.2", "style_scale": 2.0, "content_weight": 0.12}}


def save(client: FlaskClient, **changes: object) -> TestResponse:
    return client.post("/api/v1/looks", json=EVENING | changes)


def test_a_look_is_saved_used_changed_exported_and_deleted(
    client: FlaskClient, post_api: Callable[..., TestResponse]
) -> None:
    # Given a look that was saved
    made = save(client)
    assert made.status_code == 201
    address = f"/api/v1/looks/{made.get_json()['id']}"
    assert made.get_json() | {"manner": {}} == client.get(address).get_json() | {"manner": {}}
    assert made.get_json()["mine"]
    listed = client.get("/api/v1/looks").get_json()["items"]
    assert (listed[0]["id"], listed[-1]) == ("usual", made.get_json())

    # When a job is sent with it, its recipe is the look's, but for what the recipe sets itself
    sent = post_api(look=made.get_json()["id"], recipe={"size": 96, "style_scale": 1.5})
    assert sent.status_code == 202, sent.text
    found = sent.get_json()["recipe"]
    assert (found["size"], found["style_scale"], found["content_weight"]) == (96, 1.5, 0.12)
    assert "look" not in found

    # And it goes out as a file that comes in again under another name
    file = client.get(f"{address}/file").get_json()
    assert file["style_farm_look"] == 1
    renamed = client.patch(address, json={"name": "Night", "shared": True}).get_json()
    assert (renamed["name"], renamed["shared"]) == ("Night", True)
    assert client.patch(address, json={}).get_json()["errors"][0]["field"] == "body"
    assert client.post("/api/v1/looks", json=file).status_code == 201
    assert client.delete(address).status_code == 204
    assert client.get(address).status_code == 404
    assert post_api(look=made.get_json()["id"]).get_json()["errors"][0]["field"] == "look"


def test_the_look_of_a_job_is_saved_without_its_size(
    client: FlaskClient, make_job: Callable[..., Job]
) -> None:
    job = make_job(tv_weight=4)
    made = client.post(f"/api/v1/jobs/{job.id}/look", json={"name": "Soft"})
    assert (made.status_code, made.get_json()["settings"]) == (201, {"version": "0.2", "tv_weight": 4.0})
    assert made.get_json()["left_out"] == []
    again = client.post(f"/jobs/{job.id}/look", data={"csrf_token": token(client), "name": "Soft"})
    assert "Not saved as a look: The name" in client.get(again.headers["Location"]).text


def test_what_a_look_leaves_out_is_said_where_it_is_saved(
    client: FlaskClient, make_job: Callable[..., Job]
) -> None:
    of_pictures = {"style_scale": "1,2", "stroke_arrows": "0,0,1,1", "blend": "1,3"}
    words = "belongs to its pictures: a size of strokes for each painting, arrows for strokes, a weight"
    job = make_job(tv_weight=4, **of_pictures)
    made = client.post(f"/api/v1/jobs/{job.id}/look", json={"name": "Soft"}).get_json()
    assert made["settings"] == {"version": "0.2", "tv_weight": 4.0}
    assert made["left_out"] == [*of_pictures]
    sent = client.post(f"/jobs/{job.id}/look", data={"csrf_token": token(client), "name": "Softer"})
    assert words in client.get(sent.headers["Location"]).text
    typed = {"csrf_token": token(client), "tv_weight": "4", "look_name": "Softest"} | of_pictures
    page = client.post("/look", data=typed).text
    assert words in page.partition('id="look-words"')[2].partition("</p>")[0]
    assert (
        words not in client.post("/look", data={"csrf_token": token(client), "look_name": "Plain"}).text
    )


def test_a_look_of_the_farms_own_is_changed_by_nobody(client: FlaskClient) -> None:
    for answer in (
        client.delete("/api/v1/looks/oil"),
        client.patch("/api/v1/looks/oil", json={"name": "Mine"}),
        client.patch("/api/v1/looks/oil", json={"shared": False}),
    ):
        assert answer.status_code == 403
        assert "“Oil” is one of the farm's own looks" in answer.get_json()["detail"]
    assert client.delete("/api/v1/looks/oils").status_code == 404


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": "Oil"}, "name"),
        ({"style_farm_look": 9}, "style_farm_look"),
        ({"settings": []}, "settings"),
        ({"settings": None}, "settings"),
        ({"settings": {"iterations": 5}}, "settings.iterations"),
        ({"settings": {"style_weight": 0}}, "settings.style_weight"),
        ({"name": "x" * 81}, "name"),
        ({"name": " "}, "name"),
        ({"tint": 1}, "tint"),
    ],
)
def test_a_wrong_look_is_named(client: FlaskClient, changes: dict, field: str) -> None:
    answer = save(client, **changes)
    assert (answer.status_code, answer.get_json()["errors"][0]["field"]) == (422, field)
    assert len(client.get("/looks").text.split("Saved looks")) == 2


def test_the_form_takes_a_look_and_is_saved_as_one_without_a_script(
    client: FlaskClient,
) -> None:
    # Given a look, the form takes it and keeps what it does not set
    look_id = save(client).get_json()["id"]
    typed = {"csrf_token": token(client), "size": "96", "name": "Bridge", "tv_weight": "7"}
    page = client.post("/look", data=typed | {"look": look_id}).text
    for name, value in (("style_scale", "2"), ("balance", "-1"), ("size", "96"), ("tv_weight", "1")):
        assert re.search(rf'name="{name}"[^>]* value="{value}"', page), name
    assert re.search(rf'value="{look_id}"[^>]* aria-pressed="true"', page)
    assert client.get(f"/?look={look_id}").text.count('aria-pressed="true"') == 1
    assert client.get("/?look=none").status_code == 404
    gone = client.post("/look", data=typed | {"look": "0" * 32})
    assert (gone.status_code, "perhaps it was deleted" in gone.text) == (404, True)
    assert re.search(r'name="name"[^>]* value="Bridge"', gone.text)

    # When what stands in it is saved, it is there; a second time the name is taken, and nothing is lost
    named = {"look_name": "Fine"}
    assert client.post("/look", data=typed | named).status_code == 201
    again = client.post("/look", data=typed | named)
    assert again.status_code == 422
    assert "Not saved as a look yet" in again.text
    assert re.search(r'name="name"[^>]* value="Bridge"', again.text)
    found = {each["name"]: each["settings"] for each in client.get("/api/v1/looks").get_json()["items"]}
    assert found["Fine"] == {"version": "0.2", "tv_weight": 7.0}


def test_the_page_of_looks_changes_and_imports_them(client: FlaskClient) -> None:
    look_id = save(client).get_json()["id"]
    csrf = {"csrf_token": token(client)}

    def send(path: str, **fields: object) -> str:
        answer = client.post(path, data=csrf | fields, follow_redirects=True)
        return answer.text

    file = client.get(f"/looks/{look_id}/file")
    assert file.headers["Content-Disposition"] == "attachment; filename=Evening.json"
    assert "Night" in send(f"/looks/{look_id}/name", name="Night")
    assert "The name must have 1 to 80 characters" in send(f"/looks/{look_id}/name", name="")
    assert "is among your looks now" in send("/looks", file=(io.BytesIO(file.data), "a.json"))
    wrong = json.dumps(file.get_json() | {"settings": {"style_layers": {"relu1_1": -1}}}).encode()
    assert "The style layers relu1_1 should be greater" in send(
        "/looks", file=(io.BytesIO(wrong), "c.json")
    )
    newer = json.dumps(file.get_json() | {"style_farm_look": 2}).encode()
    assert "the look is of a newer farm" in send("/looks", file=(io.BytesIO(newer), "b.json"))
    assert "Choose a look" in send("/looks")
    assert "It was deleted" in send(f"/looks/{look_id}/delete")
    assert "perhaps it was deleted" in send(f"/looks/{look_id}/delete")
    assert "one of the farm&#39;s own looks" in send("/looks/oil/delete")


def test_the_command_line_knows_looks(served: str, tmp_path: Path) -> None:
    def run(*arguments: str) -> str:
        answer = CliRunner().invoke(main, ["looks", *arguments])
        assert answer.exit_code == 0, answer.output
        return answer.stdout

    url = ("--url", served)
    saving = CliRunner().invoke(
        main, ["looks", "save", "Evening", "--style-scale", "2", "--blend", "1,2", *url]
    )
    assert "Left out, as no look has what belongs to its pictures: blend.\n" in saving.stderr
    run("delete", "Evening", *url)
    run("save", "Evening", "--style-scale", "2", *url)
    assert "Evening" in run(*url)
    file = tmp_path / "evening.json"
    file.write_text(run("show", "Evening", *url))
    run("add", str(file), "--name", "Another", "--share", *url)
    assert run("share", "Another", "--stop", *url) == "yours alone\n"
    assert run("rename", "Another", "Noon", *url) == "Noon\n"
    assert json.loads(run("show", "Noon", *url))["settings"]["style_scale"] == 2
    assert run("show", "NOON", *url) == run("show", "Noon", *url)
    run("delete", "Noon", *url)
    for command in (
        ["looks", "show", "Noon"],
        ["looks", "delete", "Noon"],
        ["grow", "0" * 32, "--look", "Noon"],
    ):
        refused = CliRunner().invoke(main, [*command, *url])
        assert refused.exit_code == 1
        assert "look: is none of usual, bold, " in refused.output
        assert ", nor of those saved, Evening, nor a file.json (got 'Noon')" in refused.output


def test_a_command_without_a_farm_says_where_saved_looks_are(tmp_path: Path) -> None:
    painting = tmp_path / "a.png"
    painting.write_bytes(b"")
    command = [
        "render",
        str(painting),
        str(painting),
        "-o",
        str(tmp_path / "b.png"),
        "--look",
        "Evening",
    ]
    refused = CliRunner().invoke(main, command)
    assert refused.exit_code == 1
    assert "nor a file.json (got 'Evening')" in refused.output
    assert "from the file that `farm looks show NAME` prints" in refused.output


def test_an_error_names_so_many_looks_and_no_more() -> None:
    message = describe_unknown("x", [f"Look {number}" for number in range(21)])
    assert "Look 19, ... (`farm looks` lists them), nor" in message


@pytest.mark.browser
def test_a_look_is_taken_changed_and_saved_in_the_browser(page: Page, served: str) -> None:
    # Given a form with a sample chosen and a size typed
    page.goto(served)
    page.get_by_text("Brushwork").click()
    page.get_by_label("Longest side, px").fill("640")
    usual, oil = (page.locator(f".look-button[value={name}]") for name in ("usual", "oil"))
    expect(usual).to_have_attribute("aria-pressed", "true")

    # When a look is taken, its settings stand in the form, and the rest stays
    oil.click()
    expect(oil).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#look-words")).to_contain_text("“Oil” set")
    expect(page.get_by_label("Longest side, px")).to_have_value("640")
    expect(page.locator("input[value=brushwork]")).to_be_checked()

    # When a setting of it is changed, it is that look no more; it is saved as another, whose name stays
    page.locator("#tv_weight").fill("9")
    expect(oil).to_have_attribute("aria-pressed", "false")
    page.get_by_text("Save these settings as a look").click()
    page.get_by_label("Name of the look").fill("Evening")
    page.keyboard.press("Enter")
    expect(page.locator("#look-words")).to_have_text("“Evening” is saved as a look.")
    page.get_by_label("Name of the look").fill("Evening")
    page.keyboard.press("Enter")
    expect(page.locator("#summary")).to_contain_text("is another look's")
    expect(page.locator("#tv_weight")).to_have_value("9")

    # And all is as usual again, and as saved
    usual.click()
    expect(page.locator("#tv_weight")).to_have_value("1")
    page.get_by_role("button", name="Evening").click()
    expect(page.locator("#tv_weight")).to_have_value("9")

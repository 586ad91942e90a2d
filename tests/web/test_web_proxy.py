"""The farm behind a proxy: docs/proxies with Debian's nginx and Caddy, and what these may leave out."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx
import pytest
from flask.testing import FlaskClient
from playwright.sync_api import Browser, Page, expect

from benchmarks.testbed.processes import FARM, answers, free_port, sample_files, wait_for
from farm.database import sessions
from farm.jobs import states
from farm.people import tokens
from tests.conftest import fresh_settings
from tests.web.conftest import farm_in, finish, paint
from web import create_app

FILES = Path(__file__).parents[2] / "docs" / "proxies"
ADDRESS = re.compile(r'\b(?:href|src|action|formaction|data-[a-z]+)="([^"#?]*)')
CSRF = re.compile(r'name="csrf_token"[^>]*value="([^"]+)"')
SIZES = {"size": 64, "width": 640, "height": 480}
PUBLIC = "https://farm.example.org:8443"


def farm_with(monkeypatch: pytest.MonkeyPatch, **environment: str) -> FlaskClient:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    fresh_settings()
    return create_app().test_client()


def ask(client: FlaskClient, origin: str, **headers: str) -> tuple[int, str]:
    """A question of a page's own script: its status, and why not."""
    answer = client.post("/api/v1/estimate", json=SIZES, headers={"Origin": origin, **headers})
    return answer.status_code, (answer.get_json() or {}).get("detail", "")


@pytest.mark.usefixtures("home")
def test_pages_of_the_public_address_are_the_farms_whatever_host_the_proxy_sends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = farm_with(monkeypatch, FARM_PUBLIC_URL=PUBLIC)
    for host in ("127.0.0.1:8000", "farm.example.org", "farm.example.org:8443"):
        assert ask(client, PUBLIC, Host=host)[0] == 200
        assert ask(client, PUBLIC.upper(), Host=host)[0] == 200
        assert ask(client, "https://farm.example.org:9000", Host=host)[0] == 403
        assert ask(client, "http://farm.example.org:8443.evil.example", Host=host)[0] == 403


@pytest.mark.usefixtures("home")
def test_a_host_without_its_port_is_taken_behind_a_proxy_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    page, known = "http://farm.local:8080", {"HOST": "0.0.0.0", "FARM_REQUIRE_TOKEN": "0"}
    status, reason = ask(farm_with(monkeypatch, **known), page, Host="farm.local")
    assert status == 403
    assert page in reason
    assert "FARM_PUBLIC_URL" in reason
    client = farm_with(monkeypatch, **known, FARM_PROXIES="1")
    assert ask(client, page, Host="farm.local")[0] == 200
    assert ask(client, "http://evil.local:8080", Host="farm.local")[0] == 403


@pytest.mark.parametrize(
    ("site", "status"), [("same-origin", 200), ("same-site", 403), ("cross-site", 403)]
)
def test_a_browser_that_names_its_site_is_believed(client: FlaskClient, site: str, status: int) -> None:
    # A privacy policy turns the Origin into null, a proxy the Host into another
    for origin in ("null", "https://renamed.example"):
        assert ask(client, origin, **{"Sec-Fetch-Site": site})[0] == status
    assert ask(client, "http://localhost", **{"Sec-Fetch-Site": site})[0] == status


@pytest.mark.usefixtures("home")
def test_a_form_over_https_needs_no_referer_and_says_what_it_needs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = farm_with(monkeypatch, FARM_PUBLIC_URL=PUBLIC, FARM_PROXIES="1")
    secure = {"X-Forwarded-Proto": "https", "Host": "farm.example.org:8443"}
    found = CSRF.search(client.get("/", base_url="https://farm.example.org:8443").text)
    assert found
    data = {"csrf_token": found[1]}
    # With the cookie of https: refused for its missing pictures alone
    assert client.post("/", data=data, base_url="https://farm.example.org:8443").status_code == 422
    # Without a cookie, over http and over https, and with the token of another session
    fresh = create_app().test_client()
    assert f"open {PUBLIC}" in fresh.post("/", data=data).text
    assert "Allow cookies" in fresh.post("/", data=data, headers=secure).text
    fresh.get("/", base_url="https://farm.example.org:8443")
    other = fresh.post("/", data=data, base_url="https://farm.example.org:8443")
    assert other.status_code == 400
    assert "from before you signed in" in other.text


@pytest.mark.parametrize("host", ["10.1.2.3:8000", "", "any.example", "a b"])
def test_health_is_answered_under_any_name(client: FlaskClient, host: str) -> None:
    answer = client.get("/healthz", headers={"Host": host})
    assert (answer.status_code, answer.get_json()["status"]) == (200, "ok")


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("sent", ["/jobs", "/farm/jobs"])
@pytest.mark.parametrize(
    ("environment", "header"),
    [
        ({"FARM_PUBLIC_URL": "http://localhost/farm"}, None),
        ({"FARM_PUBLIC_URL": "http://localhost/farm"}, "/elsewhere"),
        ({"FARM_PROXIES": "1"}, "/farm"),
        ({"FARM_PROXIES": "1"}, "/farm/"),
    ],
)
def test_below_a_path_every_address_begins_with_it(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], header: str | None, sent: str
) -> None:
    client = farm_with(monkeypatch, **environment)
    page = client.get(f"{sent}?q=lake", headers={"X-Forwarded-Prefix": header} if header else {})
    assert page.status_code == 200
    assert foreign_addresses(page.text, "/farm/") == set()
    assert 'value="/farm/jobs?q=lake"' in page.text  # where a bulk action goes back to


@pytest.mark.parametrize(
    "header", ["/farm", "//evil.example", "https://evil.example", "/a/../b", "/<b>"]
)
def test_a_prefix_that_is_none_or_nobody_vouches_for_is_not_used(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, header: str
) -> None:
    clients = [client]
    if header != "/farm":
        clients.append(farm_with(monkeypatch, FARM_PROXIES="1"))
    for each in clients:
        page = each.get("/jobs", headers={"X-Forwarded-Prefix": header}).text
        assert foreign_addresses(page, "/") == set()
        assert header not in page


def test_a_job_read_below_two_paths_has_the_links_of_each(
    make_job, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job()
    client = farm_with(monkeypatch, FARM_PROXIES="1")
    for prefix in ("/one", "/two", ""):
        answer = client.get(f"/api/v1/jobs/{job.id}", headers={"X-Forwarded-Prefix": prefix})
        assert answer.get_json()["links"]["page"] == f"{prefix}/jobs/{job.id}"
        document = client.get("/openapi.json", headers={"X-Forwarded-Prefix": prefix}).get_json()
        assert document["servers"] == [{"url": prefix or "/"}]


def foreign_addresses(page: str, prefix: str) -> set[str]:
    """The addresses in a page that are elsewhere."""
    found = {each for each in ADDRESS.findall(page) if "/" in each and not each.startswith("data:")}
    assert found
    return {address for address in found if not address.startswith(prefix) or address.startswith("//")}


# Real proxies -----------------------------------------------------------------------------------

# Those that share a web part run in one process, so that it is started once.
shared = pytest.mark.xdist_group("proxies")


@contextmanager
def running(*command: str, **environment: str) -> Iterator[None]:
    process = subprocess.Popen(command, env=os.environ | environment)
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture(scope="module")
def web_part(tables: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a web part that knows of its proxies what they send, and no address of its own."""
    with serving_behind_proxies(tmp_path_factory.mktemp("farm"), tables) as port:
        yield port


@contextmanager
def serving_behind_proxies(folder: Path, tables: Path, **environment: str) -> Iterator[int]:
    """A web part of its own that believes one proxy; this process finds its farm, too."""
    port = free_port()
    environment |= {"PORT": str(port), "FARM_PROXIES": "1", "REDIS_URL": "", "FARM_PUBLIC_URL": ""}
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        stack.enter_context(farm_in(folder, tables, patch))
        stack.enter_context(running(*FARM, "web", **environment))
        wait_for(lambda: answers(f"http://127.0.0.1:{port}"), pause=0.05)
        yield port


def make_certificate(folder: Path) -> tuple[Path, Path]:
    certificate, key = folder / "tls.pem", folder / "tls.key"
    made = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
    command = ["openssl", *made.split(), "-out", str(certificate), "-keyout", str(key)]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


def write_nginx_configuration(name: str, folder: Path, port: int, farm: int) -> Path:
    """One of the documented files, on ports of loopback, in the frame that Debian puts around it."""
    certificate, key = make_certificate(folder)
    text = (FILES / name).read_text()
    for before, after in (
        (r"listen 80;", f"listen 127.0.0.1:{free_port()};"),
        (r"listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;"),
        (r"server_name \S+;", "server_name localhost;"),
        (r"ssl_certificate \S+;", f"ssl_certificate {certificate};"),
        (r"ssl_certificate_key \S+;", f"ssl_certificate_key {key};"),
        (r"127\.0\.0\.1:8000", f"127.0.0.1:{farm}"),
    ):
        text = re.sub(before, after, text)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    folders = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
    user = "user root;\n" if os.getuid() == 0 else ""
    around = f"{user}daemon off;\npid {folder}/pid;\nerror_log stderr;\nevents {{}}\n"
    path = folder / "nginx.conf"
    path.write_text(f"{around}http {{\naccess_log off;\n{folders}{text}}}\n")
    return path


@contextmanager
def serving_through(nginx: str, configuration: Path) -> Iterator[None]:
    folder = str(configuration.parent)
    with running(nginx, "-e", "stderr", "-p", folder, "-c", str(configuration)):
        yield


def walk_through(url: str) -> None:
    """Do what a browser does at a farm's address: no Referer, the Origin, cookies."""
    origin = "{0.scheme}://{0.netloc}".format(urlsplit(url))
    prefix = urlsplit(url).path
    headers = {"Accept": "text/html", "Origin": origin}
    with httpx.Client(verify=False, headers=headers, timeout=60) as browser:
        # Given the form, whose scripts and pictures are there
        page = wait_for(lambda: reach(browser, f"{url}/"))
        assert "Strict-Transport-Security" in page.headers
        assert foreign_addresses(page.text, f"{prefix}/") == set()
        for address in re.findall(r'(?:src|href)="([^"]+\.(?:js|css|svg|jpg)[^"]*)"', page.text):
            assert browser.get(urljoin(f"{url}/", address)).status_code == 200, address
        # When its script asks how large the picture will be
        asked = browser.post(f"{url}/api/v1/estimate", json=SIZES)
        assert asked.status_code == 200, asked.text
        # And it is sent
        token = CSRF.search(page.text)
        assert token
        data = {"csrf_token": token[1], "size": "64", "preset": "draft"}
        sent = browser.post(f"{url}/", data=data, files=sample_files())
        # Then the job's page comes, and the API has the same addresses
        assert sent.status_code == 303, sent.text
        place = urljoin(f"{url}/", sent.headers["Location"])
        assert place.startswith(f"{url}/jobs/")
        job = browser.get(place)
        assert job.status_code == 200
        assert foreign_addresses(job.text, f"{prefix}/") == set()
        assert url in job.text  # in the commands to copy
        links = browser.get(f"{url}/api/v1/jobs/{place.rpartition('/')[2]}").json()["links"]
        assert links["page"] == urlsplit(place).path
        with browser.stream("GET", urljoin(url, f"{links['self']}/stream")) as stream:
            assert (
                next(line for line in stream.iter_lines() if line.startswith("event: "))
                == "event: state"
            )
        # And whoever says that it comes from elsewhere may change nothing, however it is sent
        spoofed = {"Origin": "https://evil.example", "X-Forwarded-Prefix": "/evil"}
        cancel = urljoin(url, links["cancel"])
        assert browser.post(cancel, headers=spoofed).status_code == 403


def reach(browser: httpx.Client, url: str) -> httpx.Response | None:
    """A page, once the proxy is there."""
    try:
        return browser.get(url)
    except httpx.ConnectError:
        return None


@shared
@pytest.mark.processes
@pytest.mark.parametrize(("name", "path"), [("nginx.conf", ""), ("nginx-path.conf", "/farm")])
def test_the_farm_is_used_through_the_documented_nginx(
    nginx: str, web_part: int, tmp_path: Path, name: str, path: str
) -> None:
    port = free_port()
    configuration = write_nginx_configuration(name, tmp_path, port, web_part)
    with serving_through(nginx, configuration):
        walk_through(f"https://localhost:{port}{path}")


@pytest.mark.processes
def test_a_browser_below_a_path_never_asks_for_anything_outside(
    nginx: str, tables: Path, tmp_path: Path, browser: Browser
) -> None:
    # Given a farm that asks for tokens, below a path of nginx's, and a browser
    port = free_port()
    root = f"https://localhost:{port}/farm/"
    with ExitStack() as stack:
        home = tmp_path / "home"
        farm = stack.enter_context(serving_behind_proxies(home, tables, FARM_REQUIRE_TOKEN="1"))
        with sessions.write_session() as session:
            token = tokens.create(session, "Ada")
        configuration = write_nginx_configuration("nginx-path.conf", tmp_path, port, farm)
        stack.enter_context(serving_through(nginx, configuration))
        client = stack.enter_context(httpx.Client(verify=False))
        wait_for(lambda: reach(client, root))
        context = stack.enter_context(browser.new_context(ignore_https_errors=True))
        asked: list[str] = []
        wrong: list[str] = []
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("response", lambda answer: wrong.append(answer.url) if answer.status >= 400 else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        # When a person goes through all of it
        walk_in_a_browser(page, root, token)
        # Then whatever the pages asked for lies below the path, and was there; so does the cookie
        assert [url for url in asked if not url.startswith((root, "data:", "blob:"))] == []
        assert wrong == [f"{root}nowhere"]
        assert {cookie["path"] for cookie in context.cookies()} == {"/farm"}


def walk_in_a_browser(page: Page, root: str, token: str) -> None:
    # A list, which asks for a token first
    page.goto(f"{root}jobs?view=table")
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{root}jobs?view=table")
    # The form, with an estimate
    page.get_by_role("link", name="New", exact=True).click()
    page.wait_for_load_state("networkidle")
    page.locator("input[name=content_pick][value=mountain_lake]").check(force=True)
    page.locator("input[name=style_pick][value=brushwork]").check(force=True)
    page.locator("[name=size]").first.fill("96")
    page.get_by_role("button", name="Paint it").click()
    page.wait_for_url(f"{root}jobs/*")
    # The live page, until it is done
    with sessions.read_session() as session:
        job = states.get(session, page.url.rpartition("/")[2])
    attempt = paint(job)
    expect(page.locator("img[src*='/preview']").first).to_be_visible()
    finish(attempt)
    expect(page.get_by_role("slider").first).to_be_visible()
    # Its files, and the picture in the whole window
    with page.expect_download() as download:
        page.get_by_role("link", name="Download PNG").click()
    assert download.value.path().stat().st_size
    page.get_by_role("radio", name="4 stars").check(force=True)
    expect(page.get_by_text("This picture: 4.0 of 5")).to_be_visible()
    page.get_by_role("link", name="View full size").click()
    page.get_by_role("button", name="Zoom in").click()
    page.locator("body").press("Escape")
    expect(page).to_have_url(f"{root}jobs/{job.id}#rating")
    page.get_by_role("link", name="Again, with changes").click()
    page.wait_for_load_state("networkidle")
    # An exploration
    page.get_by_role("button", name="Explore").click()
    page.wait_for_url(f"{root}explore/*")
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("button", name="Stop")).to_have_count(0)
    page.get_by_role("link", name="Earlier explorations").click()
    # The gallery, lists and a bulk action
    page.get_by_role("link", name="Gallery").click()
    page.get_by_role("searchbox").fill("no such name")
    page.get_by_role("searchbox").press("Enter")
    page.get_by_role("link", name="See all pictures").click()
    page.locator(".wall a").click()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("link", name="Go back").click()
    expect(page).to_have_url(f"{root}jobs/{job.id}")
    page.get_by_role("link", name="Jobs", exact=True).click()
    page.get_by_role("link", name="Table").click()
    page.get_by_role("link", name="Name", exact=True).click()
    page.get_by_role("checkbox", name="Select").first.check()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete “Mountain lake”").click()
    expect(page.get_by_role("status").first).to_have_text("1 deleted.")
    # What stands in the foot, an error, and the way out
    for name in ("Farm", "REST API"):
        page.get_by_role("link", name=name, exact=True).click()
        page.wait_for_load_state("networkidle")
    page.goto(f"{root}nowhere")
    page.get_by_role("link", name="All pictures").click()
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(f"{root}sign-in")


@shared
@pytest.mark.processes
@pytest.mark.parametrize("head", ["1.0\r\n", "1.1\r\nHost:\r\n", "1.1\r\nHost: 10.0.0.9\r\n"])
def test_a_balancer_asks_for_health_by_address_or_without_a_host(web_part: int, head: str) -> None:
    with socket.create_connection(("127.0.0.1", web_part), timeout=60) as balancer:
        balancer.sendall(f"GET /healthz HTTP/{head}Connection: close\r\n\r\n".encode())
        assert balancer.recv(100).split()[1] == b"200"


@shared
@pytest.mark.processes
def test_the_farm_is_used_through_the_documented_caddy(
    caddy: str, web_part: int, tmp_path: Path
) -> None:
    own, below = free_port(), free_port()
    text = (FILES / "Caddyfile").read_text().replace("127.0.0.1:8000", f"127.0.0.1:{web_part}")
    text = re.sub(r"(?m)^farm\.example\.org", f"https://localhost:{own}", text)
    text = re.sub(r"(?m)^www\.example\.org", f"https://localhost:{below}", text)
    options = "{\n\tadmin off\n\tskip_install_trust\n\tlocal_certs\n\tauto_https disable_redirects\n}\n"
    (tmp_path / "Caddyfile").write_text(options + text)
    command = [caddy, "run", "--adapter", "caddyfile", "--config", str(tmp_path / "Caddyfile")]
    with running(*command, HOME=str(tmp_path)):
        walk_through(f"https://localhost:{own}")
        walk_through(f"https://localhost:{below}/farm")

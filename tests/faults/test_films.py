"""A worker dies in the midst of a stretch of a film, or the disk fills while one is encoded: in the end
it is the same film, a frame is lost at most."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from benchmarks.testbed.processes import RunningFarm, as_json, farm_up, sample_files, wait_for
from tests.faults.disk import full, small_disk
from tests.faults.six_jobs import LONGEST, QUICK
from tests.films.made import make_moving_clip

pytestmark = pytest.mark.faults

FRAMES = 12
RECIPE = {"size": 96, "start_size": 96, "iterations": [12], "style_loss": "gram"}
FILM = {"spacing": 6, "format": "zip"}  # parts: anchors 0 and 1, stretches 2 (1 to 5) and 3, joining 4
STRETCH = range(1, 6)
PREVIEW_BYTES = 16_000  # 96 x 72 px as JPEG, and more than that; the film has 12 such frames as PNG


def submit(farm: RunningFarm) -> str:
    files = [("clip", ("walk.gif", make_moving_clip(FRAMES)))]
    files += [(name, file) for name, file in sample_files() if name == "style"]
    data = {"recipe": as_json(RECIPE), "film": as_json(FILM)}
    answer = farm.api("POST", "/films", files=files, data=data)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def read(farm: RunningFarm, film_id: str) -> dict[str, Any]:
    return dict(farm.api("GET", f"/films/{film_id}").json())


def wait_for_end(farm: RunningFarm, film_id: str) -> dict[str, Any]:
    ended = ("succeeded", "failed", "cancelled")
    return dict(wait_for(lambda: (film := read(farm, film_id))["state"] in ended and film, 2 * LONGEST))


def digest(farm: RunningFarm, film_id: str) -> list[str]:
    """Wait for the film; SHA-256 of its frames and of its file."""
    found = wait_for_end(farm, film_id)
    assert found["state"] == "succeeded", found["error"]
    paths = [*(f"frames/{number}" for number in range(FRAMES)), "result"]
    answers = [farm.api("GET", f"/films/{film_id}/{path}") for path in paths]
    assert {answer.status_code for answer in answers} == {200}
    return [hashlib.sha256(answer.content).hexdigest() for answer in answers]


def test_a_worker_killed_in_a_stretch_costs_a_frame_at_most(tmp_path: Path, weights_dir: Path) -> None:
    with farm_up(tmp_path / "home", **QUICK) as farm:
        undisturbed = digest(farm, submit(farm))

        # When the process that paints is killed with two frames of a stretch in storage
        film_id = submit(farm)

        def is_in_the_midst() -> bool:
            return 2 <= len(set(read(farm, film_id)["painted_frames"]) & set(STRETCH)) < len(STRETCH)

        wait_for(is_in_the_midst, LONGEST, pause=0.05)
        farm.renderer().kill()
        before = read(farm, film_id)

        # Then another goes on after the last of them, and the film is the same
        assert digest(farm, film_id) == undisturbed
        after = read(farm, film_id)
        jobs = [farm.api("GET", part["job"].removeprefix("/api/v1")).json() for part in after["parts"]]
        assert max(job["attempt"] for job in jobs) > 1, "nobody was disturbed"
        assert set(before["painted_frames"]) <= set(after["painted_frames"])


def have_begun(parts: list[dict[str, Any]]) -> bool:
    return all(part["state"] in ("running", "succeeded") for part in parts)


def test_a_disk_that_fills_while_a_film_is_encoded_fails_it_in_words_and_leaves_no_half_film(
    tmp_path: Path, weights_dir: Path
) -> None:
    disk = tmp_path / "home" / "storage"
    with small_disk(disk), farm_up(tmp_path / "home", **QUICK | {"FARM_OUTAGE_SECONDS": "5"}) as farm:
        undisturbed = digest(farm, submit(farm))

        # Given a film whose last part may not begin before the disk has room for a preview alone
        film_id = submit(farm)
        wait_for(lambda: have_begun(read(farm, film_id)["parts"][:-1]), LONGEST, pause=0.05)
        assert farm.api("POST", "/queue/pause").status_code == 200
        wait_for(lambda: read(farm, film_id)["parts"][-1]["state"] == "queued", LONGEST)
        with full(disk, but=PREVIEW_BYTES):
            assert farm.api("POST", "/queue/resume").status_code == 200
            failed = wait_for_end(farm, film_id)
            names = [path.name for path in disk.rglob("*")]

        # Then it fails in words, and nothing is left of the encoder's file
        assert failed["state"] == "failed"
        assert "Joining all frames: The storage refused: No space left on device." in failed["error"]
        assert (names.count("film"), [name for name in names if name.endswith(".part")]) == (1, [])

        # And with room again it is joined from the frames that are there
        assert farm.api("POST", f"/films/{film_id}/retry").status_code == 200
        assert digest(farm, film_id) == undisturbed
        assert read(farm, film_id)["painted_frames"] == failed["painted_frames"]

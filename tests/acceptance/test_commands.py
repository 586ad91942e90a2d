"""The command line: the engine alone, and a running farm."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from benchmarks.testbed.processes import FARM, SAMPLES, RunningFarm, wait_for
from farm.cli import main
from farm.cli.render_files import render_files
from farm.engine.checkpoint import read
from farm.engine.optimise import Step
from farm.pictures.encode import read_embedded_recipe
from farm.recipe import Recipe
from tests.conftest import fresh_settings

pytestmark = pytest.mark.processes

LAKE, STROKES = str(SAMPLES / "mountain_lake.jpg"), str(SAMPLES / "brushwork.jpg")
QUICK = ["--size", "64", "--start-size", "48", "--iterations", "3,2"]


def farm_command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*FARM, *arguments], env=os.environ | environment, capture_output=True, text=True, timeout=240
    )


def run_here(*arguments: str, **environment: str) -> Result:
    """A command in this process, where torch and the farm's modules are imported already. How a process
    begins and ends is held by the tests that start one."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        fresh_settings()
        with ExitStack() as connections:  # which otherwise end with the command's process
            connect = httpx.Client
            patch.setattr(
                httpx, "Client", lambda **options: connections.enter_context(connect(**options))
            )
            done = CliRunner().invoke(main, arguments)
    fresh_settings()
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exc_info
    return done


def test_render_writes_the_same_file_twice_and_its_figures(tmp_path: Path, weights_dir: Path) -> None:
    one, other = tmp_path / "one.png", tmp_path / "other.png"
    done = farm_command("render", LAKE, STROKES, "-o", str(one), *QUICK, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["size"] == 64
    assert report["levels"] == 2
    assert report["iterations"] == [3, 2]
    assert report["features"] == "vgg16"
    assert report["seconds"] > 0
    assert report["peak_memory_bytes"] > 10**8
    assert set(report["metrics"]) == {
        "ssim",
        "gram_cosine",
        "gram_cosine_centred",
        "content_loss",
        "style_loss",
        "tv_loss",
        "lpips_vgg16",
    }
    assert run_here("render", LAKE, STROKES, "-o", str(other), *QUICK).exit_code == 0
    assert one.read_bytes() == other.read_bytes()
    recipe = Recipe.parse(read_embedded_recipe(one.read_bytes()))
    assert (recipe.iterations, recipe.features) == ((3, 2), "vgg16")
    assert recipe.precision in ("winograd", "mixed")  # what auto chose here
    assert [level["iterations"] for level in report["log"]] == [3, 2]
    assert all(level["peak_memory_bytes"] > 10**8 for level in report["log"])


def test_a_killed_rendering_goes_on_to_the_same_file(tmp_path: Path, weights_dir: Path) -> None:
    # Given a rendering that is killed in the middle of its second level
    long = ["--size", "64", "--start-size", "48", "--iterations", "5,40"]
    whole, killed, state = (tmp_path / name for name in ("whole.png", "killed.png", "state"))
    command = ["render", LAKE, STROKES, "-o", str(killed), *long]
    keep = ["--checkpoint", str(state), "--checkpoint-seconds", "0"]
    process = subprocess.Popen([*FARM, *command, *keep], stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: state.exists() and read(state).facts.level == 2, 180)
        wait_for(lambda: read(state).facts.iteration >= 5, 60, pause=0.05)
    finally:
        process.kill()
        process.wait()
    assert not killed.exists()
    begun = read(state).facts.iteration
    assert begun < 40
    # When the same command is given again
    done = farm_command(*command, *keep)
    assert done.returncode == 0, done.stderr
    assert f"going on from level 2, iteration {begun}" in done.stderr
    # Then its picture is the uninterrupted one, byte for byte, and nothing is left over
    assert run_here("render", LAKE, STROKES, "-o", str(whole), *long).exit_code == 0
    assert killed.read_bytes() == whole.read_bytes()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["killed.png", "whole.png"]


def test_ctrl_c_saves_what_the_same_command_goes_on_from(tmp_path: Path, weights_dir: Path) -> None:
    # Given a rendering whose next checkpoint is far away
    picture, state = tmp_path / "x.png", tmp_path / "state"
    size = ["--size", "64", "--start-size", "48", "--iterations", "3,400"]
    command = [*FARM, "render", LAKE, STROKES, "-o", str(picture), *size, "--checkpoint", str(state)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    log = process.stderr
    assert log is not None
    wait_for(lambda: "level 1" in log.readline(), 180, pause=0)
    # When Ctrl-C is pressed after its first level
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=120)[1]
    # Then it has saved what it has, and says so to shell and person
    assert process.returncode == 130, said
    assert f"The same command goes on from {state}" in said
    assert read(state).facts.iteration >= 1
    assert [file.name for file in tmp_path.iterdir()] == ["state"]


@pytest.mark.parametrize("own", [{"features": "vgg16-bsds"}, {"version": "0.1"}])
def test_a_checkpoint_goes_on_with_its_own_network_and_version_whatever_is_usual_today(
    tmp_path: Path, weights_dir: Path, own: dict[str, str]
) -> None:
    # Given a rendering by another network or version than today's, broken off after its first level
    output, state = tmp_path / "x.png", tmp_path / "state"
    asked = {"size": 64, "start_size": 48, "iterations": (3, 2)}
    recipe = Recipe.parse(asked)
    given: dict[str, Any] = {"tile": "auto", "checkpoint": state, "checkpoint_seconds": 0.0}

    def stop(step: Step) -> None:
        if step.level == 2:
            raise KeyboardInterrupt

    named = Recipe.parse(asked | own)
    with pytest.raises(KeyboardInterrupt):
        render_files(Path(LAKE), [Path(STROKES)], output, named, say=print, show=stop, **given)
    # When it is taken up by a recipe that names neither, then it goes on as it began
    said: list[str] = []
    report = render_files(
        Path(LAKE), [Path(STROKES)], output, recipe, say=said.append, show=lambda step: None, **given
    )
    assert any(re.match("going on from level 1, iteration ., with its network", line) for line in said)
    assert report["features"] == own.get("features", "vgg16")
    embedded = Recipe.parse(read_embedded_recipe(output.read_bytes())).model_dump()
    assert {name: embedded[name] for name in own} == own


def test_the_list_of_weights_says_which_network_paints(tmp_path: Path) -> None:
    said = " ".join(run_here("weights", "list", FARM_WEIGHTS_DIR=str(tmp_path)).stdout.split())
    assert "auto fetches vgg19, else vgg16. Pictures differ between networks." in said
    for name in ("vgg16-bsds", "vgg16"):
        (tmp_path / f"{name}.safetensors").touch()
    done = run_here("weights", "list", FARM_WEIGHTS_DIR=str(tmp_path))
    assert "auto paints with vgg16. Pictures differ between networks." in " ".join(done.stdout.split())


def test_weights_that_are_damaged_are_named_with_what_mends_them(tmp_path: Path) -> None:
    path = tmp_path / "vgg16.safetensors"
    path.write_bytes(b"half a fi")
    done = run_here("weights", "verify", FARM_WEIGHTS_DIR=str(tmp_path))
    assert done.exit_code == 1
    assert f"vgg16: {path} cannot be read" in done.stdout
    assert "delete it and run `farm weights fetch vgg16`" in done.stdout
    # A rendering is refused with the same words
    picture = tmp_path / "x.png"
    done = run_here("render", LAKE, STROKES, "-o", str(picture), *QUICK, FARM_WEIGHTS_DIR=str(tmp_path))
    assert done.exit_code == 1
    assert "delete it and run `farm weights fetch vgg16`" in " ".join(done.stderr.split())
    assert not picture.exists()


def test_a_checkpoint_that_does_not_fit_is_refused_by_name(tmp_path: Path, weights_dir: Path) -> None:
    state = tmp_path / "state"
    state.write_bytes(b"not a checkpoint")
    done = run_here(
        "render", LAKE, STROKES, "-o", str(tmp_path / "x.png"), *QUICK, "--checkpoint", str(state)
    )
    assert done.exit_code == 1
    assert "checkpoint:" in done.stderr
    assert "Traceback" not in done.stderr
    assert state.read_bytes() == b"not a checkpoint"


def test_what_cannot_be_written_is_refused_before_any_work(tmp_path: Path) -> None:
    picture, pipe = tmp_path / "x.png", tmp_path / "pipe"
    os.mkfifo(pipe)
    for output, state, told in (
        (picture, picture, "checkpoint: .* used by this command already"),
        (Path(LAKE), tmp_path / "state", "output: .* used by this command already"),
        (picture, pipe, "checkpoint: .* is not a plain file"),
        (tmp_path / ("a" * 300 + ".png"), tmp_path / "state", "output: .* cannot be written: File name"),
        (picture, tmp_path / "none" / "state", "checkpoint: .*none is not a folder"),
    ):
        done = run_here("render", LAKE, STROKES, "-o", str(output), *QUICK, "--checkpoint", str(state))
        assert done.exit_code == 1
        assert re.search(told, " ".join(done.stderr.split()))
    assert [file.name for file in tmp_path.iterdir()] == ["pipe"]


@pytest.mark.parametrize("tile", ["0", "63", "9999", "half", "-5", "²"])
def test_a_tile_out_of_range_is_refused(tmp_path: Path, tile: str) -> None:
    done = run_here("render", LAKE, STROKES, "-o", str(tmp_path / "x.png"), "--tile", tile)
    assert done.exit_code == 1
    assert "tile: must be auto, whole or 64 to 7680 px" in done.stderr


def test_what_cannot_fit_is_refused_before_it_starts(tmp_path: Path, weights_dir: Path) -> None:
    done = run_here(
        "render", LAKE, STROKES, "-o", str(tmp_path / "x.png"), "--size", "7680", FARM_MEMORY_GB="2"
    )
    assert done.exit_code == 1
    said = " ".join(done.stderr.split())
    assert "7680 x 5118 needs" in said
    assert "2.0 GB may be used" in said


def test_render_writes_the_format_of_the_ending(tmp_path: Path, weights_dir: Path) -> None:
    path = tmp_path / "picture.tif"
    assert run_here("render", LAKE, STROKES, "-o", str(path), *QUICK).exit_code == 0
    with Image.open(path) as picture:
        assert (picture.format, picture.size) == ("TIFF", (64, 43))
    assert Recipe.parse(read_embedded_recipe(path.read_bytes())).format == "tiff16"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--size", "100000"], "size: input should be less than or equal to 7680"),
        (["--style-layers", "relu9_9"], "style_layers: has relu9_9, which is not a layer"),
        (["--content-weight", "-2"], "content_weight: input should be greater than or equal to 0"),
        (["--iterations", "1,2,3,4,5,6"], "iterations: lists 6 levels; there are 5"),
        (["-o", "picture.bmp"], "output: ends in .bmp"),
        (["--format", "tiff16"], "format: tiff16 goes into a file that ends in .tif or .tiff"),
        (["-o", "/nowhere/picture.png"], "output: /nowhere is not a folder"),
        (["--blend", "1,2,3"], "blend: has 3 weights for 1 painting"),
    ],
)
def test_a_wrong_argument_is_one_clear_line(
    tmp_path: Path, weights_dir: Path, arguments: list[str], says: str
) -> None:
    done = run_here("render", LAKE, STROKES, "-o", str(tmp_path / "x.png"), *arguments)
    assert done.exit_code == 1
    assert says in " ".join(done.stderr.split())
    assert list(tmp_path.glob("*.png")) == []


def test_a_file_that_is_no_picture_is_named(tmp_path: Path, weights_dir: Path) -> None:
    letter = tmp_path / "letter.jpg"
    letter.write_text("Dear farm")
    done = run_here("render", str(letter), STROKES, "-o", str(tmp_path / "x.png"))
    assert done.exit_code == 1
    assert "letter.jpg: is not a JPEG, PNG, WebP, TIFF, AVIF or HEIC picture" in " ".join(
        done.stderr.split()
    )


def test_submit_status_fetch_and_cancel_talk_to_a_farm(
    farm: RunningFarm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # When a job is submitted
    words = ["--name", "by hand", "--format", "tiff16", "--url", farm.url]
    done = farm_command("submit", LAKE, STROKES, *QUICK, *words)
    assert done.returncode == 0, done.stderr
    job_id = done.stdout.strip()
    farm.wait_for_state(job_id, "succeeded")
    # Then its status is told, for people and for scripts
    assert "by hand" in run_here("status", FARM_URL=farm.url).stdout
    status = json.loads(run_here("status", job_id, "--json", FARM_URL=farm.url).stdout)
    assert status["state"] == "succeeded"
    # And its picture comes, under the name that was said or with the ending of its format
    path = tmp_path / "fetched.tif"
    assert run_here("fetch", job_id, "-o", str(path), FARM_URL=farm.url).exit_code == 0
    with Image.open(path) as picture:
        assert (picture.format, picture.size) == ("TIFF", (64, 43))
    monkeypatch.chdir(tmp_path)
    assert run_here("fetch", job_id, FARM_URL=farm.url).stdout.strip() == f"{job_id}.tif"
    assert Path(f"{job_id}.tif").read_bytes() == path.read_bytes()
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted([path.name, f"{job_id}.tif"])
    # And cancelling it now is refused with the reason
    refused = run_here("cancel", job_id, FARM_URL=farm.url)
    assert refused.exit_code == 1
    assert "already succeeded" in refused.stderr
    # And once deleted, it is gone
    assert run_here("delete", job_id, FARM_URL=farm.url).stdout == "deleted\n"
    assert run_here("fetch", job_id, FARM_URL=farm.url).exit_code == 1


def test_a_farm_that_is_not_there_is_said_so() -> None:
    done = run_here("status", FARM_URL="http://127.0.0.1:9")
    assert done.exit_code == 1
    assert "Is the farm running?" in done.stderr


def test_the_web_part_runs_where_torch_is_not_installed() -> None:
    code = (
        "import sys; sys.modules['torch'] = sys.modules['torchvision'] = None\n"
        "import web, workers.janitor\n"
        "assert web.create_app() is not None"
    )
    done = subprocess.run([FARM[0], "-c", code], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr

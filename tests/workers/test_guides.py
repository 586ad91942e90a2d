"""Guides of a rendering come from uploads to the engine; transparency comes into the picture."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from farm.database import sessions
from farm.database.models import Job, State, Upload
from farm.jobs import details
from farm.jobs.guides import GuideFiles
from farm.jobs.submit import submit
from farm.recipe import Recipe
from farm.storage import storage
from tests.jobs.test_guides import half
from tests.jobs.test_submit import picture
from tests.workers.test_render_job import RECIPE, rendered
from workers.inputs import load_inputs

pytestmark = pytest.mark.usefixtures("farm_with_tables")


def cut_out() -> bytes:
    """A photograph of which the left half is transparent."""
    pixels = np.random.default_rng(4).integers(0, 255, (80, 120, 4), dtype=np.uint8)
    pixels[..., 3] = np.where(np.arange(120) < 60, 0, 255)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def read(upload: Upload, _label: str) -> bytes:
    return storage().get(upload.key)


def test_maps_come_as_levels_no_larger_than_the_picture_and_the_start_as_colours() -> None:
    storage().mark()
    masks = half("left", 240, 160), half("right", 60, 40)
    guides = GuideFiles(masks, half("right", 240, 160), picture(3, 60, 40))
    job = submit(cut_out(), [picture(1), picture(2)], Recipe(size=120), guides=guides)
    found = load_inputs(job, Recipe.parse(job.recipe), read).guides

    shapes = [mask.shape for mask in found.masks]
    assert shapes == [(80, 120), (40, 60)]
    assert (found.masks[0] == np.where(np.arange(120) < 60, 255, 0)).all()
    assert found.keep is not None
    assert (found.keep == 255 - found.masks[0]).all()
    assert found.opaque is not None
    assert (found.opaque == found.keep).all()
    assert found.start is not None
    assert found.start.shape == (40, 60, 3)

    # A job without any has none, though its photograph's file could hold transparency
    opaque = io.BytesIO()
    Image.new("RGBA", (120, 80), (200, 10, 10, 255)).save(opaque, "PNG")
    plain = submit(opaque.getvalue(), [picture(1)], Recipe(size=96))
    assert [*load_inputs(plain, Recipe.parse(plain.recipe), read).guides.iterate_named()] == []


@pytest.mark.usefixtures("weights_dir")
@pytest.mark.parametrize("format", ["png", "jpeg"])
def test_the_picture_of_a_cut_out_is_cut_out_where_its_format_can_be(format: str) -> None:
    storage().mark()
    job = submit(cut_out(), [picture(1)], RECIPE.model_copy(update={"format": format}))
    done = rendered(job)
    assert done.state is State.SUCCEEDED
    with Image.open(io.BytesIO(storage().get(done.result_key))) as result:
        if format == "png":
            alpha = np.asarray(result.getchannel("A"))
            assert (alpha[:, :30] == 0).all()
            assert (alpha[:, 34:] == 255).all()
        else:
            assert result.mode == "RGB"
            assert_white_on_the_left(result)
    with Image.open(io.BytesIO(storage().get(done.preview_key))) as preview:
        assert_white_on_the_left(preview)
    assert has_note(done) == (format == "jpeg")


def assert_white_on_the_left(image: Image.Image) -> None:
    pixels = np.asarray(image)
    assert pixels[:, :24].min() > 245
    assert pixels[:, 40:].mean() < 245


def has_note(job: Job) -> bool:
    with sessions.read_session() as session:
        return any("no transparency" in line.text for line in details.list_last_log_lines(session, job))

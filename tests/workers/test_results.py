"""What a worker leaves in storage when a picture is finished."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from farm.database.models import Job, JobPicture, PictureRole
from farm.pictures.encode import read_embedded_recipe
from farm.recipe import Recipe
from farm.recipe.formats import FORMATS, PREVIEW_PIXELS
from farm.storage import Storage
from workers.render import store_pictures


def stored(folder: Path, width: int, height: int, recipe: dict[str, str]) -> Storage:
    """After the first attempt of a job has made a picture of this size."""
    picture = np.random.default_rng(0).random((height, width, 3), dtype=np.float32)
    store = Storage(f"file://{folder}")
    store.mark()
    job = Job(id="1", attempt=1, width=width, height=height, recipe=recipe)
    job.pictures = [
        JobPicture(role=PictureRole.CONTENT, position=0, file_name="harbour.jpg"),
        JobPicture(role=PictureRole.STYLE, position=0, file_name="wave.jpg"),
    ]
    stored_bytes = store_pictures(job, store, picture, Recipe.parse(recipe))
    assert stored_bytes == sum(store.list_sizes().values())
    return store


@pytest.mark.parametrize("format", FORMATS)
def test_a_large_picture_has_a_light_copy_unless_it_is_light_itself(tmp_path: Path, format: str) -> None:
    store = stored(tmp_path, 30, PREVIEW_PIXELS + 1, {"format": format})
    light = format in ("jpeg", "webp")
    names = ["preview.jpg", f"result{FORMATS[format].suffix}"] + ["view.jpg"] * (not light)
    assert store.list_keys() == [f"jobs/1/1/{name}" for name in names]
    result = store.get(store.list_keys()[1])
    assert Recipe.parse(read_embedded_recipe(result)).format == format
    assert b"harbour.jpg in the style of wave.jpg, made with Style Farm" in result
    with Image.open(io.BytesIO(store.get(store.list_keys()[-1]))) as shown:
        assert shown.size == (30, PREVIEW_PIXELS + 1)
        assert shown.format in ("JPEG", "WEBP")


def test_of_a_small_picture_the_preview_is_enough(tmp_path: Path) -> None:
    store = stored(tmp_path, PREVIEW_PIXELS, 30, {})
    assert store.list_keys() == ["jobs/1/1/preview.jpg", "jobs/1/1/result.png"]
    with Image.open(io.BytesIO(store.get("jobs/1/1/preview.jpg"))) as shown:
        assert shown.size == (PREVIEW_PIXELS, 30)

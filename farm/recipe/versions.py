"""Versions of recipes: the settings that each had at first, and what has another default since."""

from __future__ import annotations

from typing import Any, Literal

Version = Literal["0.1", "0.2"]
NEWEST: Version = "0.2"
# Defaults of a recipe of version 0.1 that are others now.
DEFAULTS_OF_0_1: dict[str, Any] = {
    "content_weight": 0.1,
    "tv_weight": 2.0,
    "style_layers": {"relu1_1": 1.0, "relu2_1": 1.0, "relu3_1": 1.0, "relu4_1": 1.0, "relu5_1": 1.0},
}
# The settings there always were: whole recipes without a version, as 0.1 wrote them, have all of them.
FIRST_SETTINGS = frozenset(
    {
        *("size", "preset", "content_weight", "style_weight", "tv_weight", "content_layers"),
        *("style_layers", "style_loss", "style_scale", "blend", "start_size", "iterations", "init"),
        *("seed", "precision", "features"),
    }
)
SETTINGS_OF_0_1 = FIRST_SETTINGS | {"format", "tolerance", "optimizer"}
# The settings that each version had when it came out. Looks and requests are known again by them, so a
# setting that comes later is in none of them, and changes neither where it has its default.
SETTINGS_OF: dict[Version, frozenset[str]] = {
    "0.1": SETTINGS_OF_0_1,
    "0.2": SETTINGS_OF_0_1 | {"version", "grown_from"},
}
FIRST_STYLE_LOSSES = ("gram", "wasserstein")  # that version 0.1 had

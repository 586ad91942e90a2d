"""Plot of the engine's cost, from the rows that `benchmarks/engine.py` measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Plot the rows in four panels."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(11, 7.5), layout="constrained")
    tiled = [row for row in rows if row["part"] == "tiled"]
    for way in dict.fromkeys(row["way"] for row in tiled):
        mine = [row for row in tiled if row["way"] == way]
        label = "plain autograd, whole picture" if way == "autograd" else f"tiled, {way}"
        sizes = [row["size"] for row in mine]
        axes[0, 0].plot(sizes, [row["seconds"] for row in mine], "o-", label=label)
        axes[0, 1].plot(sizes, [row["bytes"] / 1e9 for row in mine], "o-", label=label)
    axes[0, 0].set(title="one gradient", xlabel="longest side, px", ylabel="seconds")
    axes[0, 1].set(title="memory beyond the idle process", xlabel="longest side, px", ylabel="GB")
    scaling = [row for row in rows if row["part"] == "scaling" and row["size"]]
    raw = next((r["flops_per_second"] for r in rows if r["part"] == "scaling" and not r["size"]), None)
    megapixels = [row["megapixels"] for row in scaling]
    axes[1, 0].plot(megapixels, [row["seconds_per_megapixel"] for row in scaling], "o-")
    axes[1, 0].set(
        title="as pictures grow", xlabel="megapixels", xscale="log", ylabel="seconds a megapixel"
    )
    axes[1, 0].set_ylim(bottom=0)
    if raw:
        shares = [row["flops_per_second"] / raw for row in scaling]
        axes[1, 1].plot(megapixels, shares, "o-")
        axes[1, 1].axhline(1, color="grey", linewidth=1)
    axes[1, 1].set(title="share of the raw rate of convolutions", xlabel="megapixels", xscale="log")
    axes[1, 1].set_ylim(bottom=0)
    for axis in axes.flat:
        axis.grid(alpha=0.3)
        if axis.get_legend_handles_labels()[0]:
            axis.legend(fontsize=8)
    figure.savefig(path, dpi=110)

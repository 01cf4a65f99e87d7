"""The picture: bars of each family's share of the limit, for quantnn and each peer."""

from __future__ import annotations

from pathlib import Path

from ._measure import Means

# of the colour-blind-safe palette of Okabe and Ito; quantnn first
COLOURS = ("#D55E00", "#0072B2", "#56B4E9", "#009E73", "#F0E442", "#CC79A7")


def plot(path: Path, groups: list[Means], names: list[str], title: str) -> None:
    """A panel for each number of threads. `names`: quantnn and the peers."""
    from matplotlib.figure import Figure

    groups = [g for g in groups if g.shares]
    threads = list(dict.fromkeys(g.threads for g in groups))
    families = list(dict.fromkeys(g.group for g in groups))
    figure = Figure(figsize=(2 + 5 * len(threads), 1.5 + 0.07 * len(families) * (len(names) + 2)), layout="constrained")
    panels = figure.subplots(1, len(threads), sharey=True, squeeze=False)[0]
    height = 1 / (len(names) + 2)
    for panel, n in zip(panels, threads, strict=True):
        by_family = {g.group: g for g in groups if g.threads == n}
        for i, name in enumerate(names):
            bars = [(f, by_family[g].shares[name]) for f, g in enumerate(families)
                    if g in by_family and name in by_family[g].shares]  # fmt: skip
            places = [f + (i - (len(names) - 1) / 2) * height for f, _ in bars]
            panel.barh(places, [share for _, share in bars], height, label=name, color=COLOURS[i % len(COLOURS)])
        panel.set_xlim(0, 1)
        panel.set_xlabel(f"share of the limit, {n} thread{'s' * (n > 1)}")
        panel.set_yticks(range(len(families)), families)
        panel.grid(axis="x", alpha=0.3)
        panel.set_axisbelow(True)
    panels[0].set_ylim(len(families) - 0.5, -0.5)
    panels[0].legend(loc="lower right", fontsize="small")
    figure.suptitle(title, fontsize="medium")
    figure.savefig(path)

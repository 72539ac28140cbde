"""Anytime curves as one HTML page: mean regret over the budget, overall and for each family, with 95 % intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.compare.runner import Run, points
from benchmarks.compare.scoring import NoCommonRuns, score
from benchmarks.compare.task import Reference

COLORS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22")


def write_plot(
    file: Path,
    runs: Sequence[Run],
    references: Mapping[str, Reference],
    best: Mapping[str, float],
    setting: str,
    own_seeds: bool = False,
) -> None:
    """Write the page to `file`. own_seeds: see `score`."""
    try:
        from plotly.graph_objects import Figure, Scatter
        from plotly.subplots import make_subplots
    except ImportError as error:
        raise SystemExit('--plot needs plotly: pip install "ray-hpo[bench]"') from error
    groups = {"all tasks": list(runs)}
    for family in sorted({run.task.split("/")[0] for run in runs}):
        groups[family] = [run for run in runs if run.task.startswith(f"{family}/")]
    x = [100 * fraction for fraction in points(setting)] if setting == "A" else points(setting)
    found = {}
    for title, part in groups.items():
        with suppress(NoCommonRuns):
            found[title] = score(part, references, best, setting, own_seeds)
    columns = min(3, len(found))
    figure: Figure = make_subplots(-(-len(found) // columns), columns, subplot_titles=list(found))
    colors: dict[str, str] = {}
    for k, scores in enumerate(found.values()):
        place: dict[str, Any] = {"row": k // columns + 1, "col": k % columns + 1}
        for i, method in enumerate(scores.methods):
            color = colors.setdefault(method, COLORS[len(colors) % len(COLORS)])
            low, high = scores.interval(i)
            mean = scores.curves[i].mean(axis=0)
            shared: dict[str, Any] = {"legendgroup": method, "line_color": color}
            band = [*high, *reversed(low)]
            figure.add_trace(
                Scatter(x=[*x, *reversed(x)], y=band, fill="toself", opacity=0.15, line_width=0,
                        showlegend=False, hoverinfo="skip", **shared), **place
            )  # fmt: skip
            figure.add_trace(Scatter(x=x, y=mean, name=method, showlegend=k == 0, **shared), **place)
    figure.update_xaxes(type="log", title="% of the budget" if setting == "A" else "evaluations")
    figure.update_yaxes(type="log", title="mean regret")
    figure.update_layout(height=420 * (-(-len(found) // columns)), title="Search comparison: lower is better")
    figure.write_html(file, include_plotlyjs=True)

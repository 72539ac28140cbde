"""The comparison as text: a table of all tasks, and one for each family."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.compare.runner import CURVE, PEER, Run, points
from benchmarks.compare.scoring import NoCommonRuns, Scores, score
from benchmarks.compare.task import Reference
from ray_hpo.errors import InvalidInput

RANDOM = "random"


def print_tables(
    runs: Sequence[Run],
    references: Mapping[str, Reference],
    best: Mapping[str, float],
    setting: str,
    sooner_than: str | None,
    own_seeds: bool = False,
) -> None:
    """Print all.

    own_seeds: see `score`.
    sooner_than: the method that the last columns are about, besides random search; None for the best at the end that
    is not ours.

    Raises:
        NoCommonRuns: no task was run with every method and the same seed.
        InvalidInput: there is no method `sooner_than`.
    """
    scores = score(runs, references, best, setting, own_seeds)
    other = best_other(scores) if sooner_than is None else _named(scores.methods, sooner_than)
    _print_table("all", scores, runs, setting, other)
    if other is not None:
        print("x random, x other: how many times sooner where that method ends, median over tasks; 0: never")
        reason = "the lowest end that is not ours" if sooner_than is None else "--sooner-than"
        print(f"other: {other}, {reason}")
    families = sorted({one.task.split("/")[0] for one in runs})
    for family in families if len(families) > 1 else []:
        part = [one for one in runs if one.task.startswith(f"{family}/")]
        try:
            _print_table(family, score(part, references, best, setting, own_seeds), part, setting, other)
        except NoCommonRuns as error:
            print(f"\n{family}: {error}")


def best_other(scores: Scores) -> str | None:
    """The peer, or the curve from a file, with the lowest mean regret at the end."""
    ends = scores.curves[:, :, -1].mean(axis=1)
    others = [i for i, method in enumerate(scores.methods) if method.endswith((PEER, CURVE))]
    return scores.methods[min(others, key=lambda i: float(ends[i]))] if others else None


def _named(methods: Sequence[str], name: str) -> str:
    for full in (name, name + PEER, name + CURVE):
        if full in methods:
            return full
    raise InvalidInput(f"--sooner-than {name!r} is not among the methods compared: {', '.join(methods)}")


def _print_table(title: str, scores: Scores, runs: Sequence[Run], setting: str, other: str | None) -> None:
    width = max(26, *map(len, scores.methods))
    ranks = scores.ranks()
    random = _random(scores.methods)
    compared = [name for name in dict.fromkeys((random, other)) if name in scores.methods]
    heads = ["x random" if name == random else "x other" for name in compared]
    print(f"\n{title}: {len(scores.tasks)} tasks; mean regret along the budget, 95 % interval at the end, mean rank")
    print(
        " " * width
        + " ".join(f"{point:6.3g}" for point in points(setting))
        + "    end interval   rank   end seeds "
        + "".join(f"{head:>9}" for head in heads)
        + "   ask ms"
    )
    for i in sorted(range(len(scores.methods)), key=lambda i: float(ranks[i].mean())):
        method = scores.methods[i]
        low, high = scores.interval(i)
        asks = [1e3 * one.ask_median_s for one in runs if one.method == method]
        sooner = [scores.sooner(i, scores.methods.index(name)) for name in compared]
        print(
            f"{method:{width}s}"
            + " ".join(f"{value:6.3f}" for value in scores.curves[i].mean(axis=0))
            + f"  [{low[-1]:.3f}, {high[-1]:.3f}] {ranks[i].mean():6.2f} {ranks[i, :, -1].mean():5.2f}"
            + f" {scores.seeds[i]:5d} "
            + "".join(f"{factor:9.1f}" for factor in sooner)
            + f" {np.mean(asks):8.2f}"
        )


def _random(methods: Sequence[str]) -> str | None:
    """Our random search, or else one from a file."""
    return next((name for name in (RANDOM, RANDOM + CURVE) if name in methods), None)

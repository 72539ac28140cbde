"""How long a suggestion takes, beside Optuna's samplers: one run, one thread, ten dimensions.

    python -m benchmarks.suggest [--json FILE] [--algos tpe,kde] [--repeats 15]

For each number n of results: the median of one suggestion asked for right after a new result, and of 64 asked for at
once, each of which the next ones know to be running. Both sides see the same configurations and values, and are asked
directly, without a journal or a storage on disk; CPU time counts. Optuna is optional: pip install "ray-hpo[bench]".
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from strategies.actions import Reached
from strategies.domains import uniform
from strategies.history import History
from strategies.registry import SEARCHERS
from strategies.searchers.base import Context
from strategies.space_builder import as_space

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
DIM = 10
AT_ONCE = 64
AT_ONCE_LIMIT = 10  # so many times one suggestion is the most that they should cost
MOST_SECONDS = 20.0  # for one figure; at least three repeats are made all the same


@dataclass(frozen=True)
class Case:
    """One of our searchers beside one of Optuna's samplers. limit: the ratio that we promise to stay below."""

    algo: str
    peer: str
    sizes: tuple[int, ...]
    limit: float


@dataclass(frozen=True)
class Row:
    """One line of the table; times in milliseconds. peer_*: None without Optuna."""

    algo: str
    peer: str
    n: int
    one_ms: float
    at_once_ms: float
    peer_one_ms: float | None
    limit: float

    @property
    def ratio(self) -> float | None:
        return None if self.peer_one_ms is None else self.one_ms / self.peer_one_ms

    @property
    def at_once_ratio(self) -> float:
        """How many times one suggestion all of them cost."""
        return self.at_once_ms / self.one_ms


CASES = (
    Case("tpe", "TPESampler", (100, 1_000, 5_000), 1 / 4),
    Case("kde", "TPESampler", (100, 1_000, 5_000), 1 / 4),
    Case("gp", "GPSampler", (50, 200, 500, 2_000), 1 / 3),
)
SLOW_PEERS = {("GPSampler", 2_000)}  # minutes a suggestion


def values_of(X: np.ndarray[Any, np.dtype[np.float64]]) -> list[float]:
    """A smooth function of the configurations, with some noise: (n,) for X (n, d)."""
    noise = np.random.default_rng(1).normal(size=len(X))
    return [float(v) for v in np.square(X - 0.4).sum(axis=1) + 0.05 * noise]


def median_ms(ask: Callable[[], None], prepare: Callable[[], None], repeats: int) -> float:
    """The median CPU time of `ask`, each time after `prepare`, whose time does not count.

    Neither side waits for anything, so that CPU time is what a suggestion takes, even where others use the machine.
    """
    times: list[float] = []
    for k in range(repeats + 1):
        prepare()
        began = time.process_time()
        ask()
        if k:  # the first loads modules
            times.append(time.process_time() - began)
        if sum(times) > MOST_SECONDS and k >= 3:
            break
    return 1e3 * statistics.median(times)


def ours(algo: str, n: int, repeats: int) -> tuple[float, float]:
    """Milliseconds of one suggestion, and of 64 at once, with n results."""
    space = as_space({f"x{i}": uniform(0.0, 1.0) for i in range(DIM)})
    rng = np.random.default_rng(0)
    X = space.sample(rng, n)
    searcher = SEARCHERS[algo]()

    def told() -> History:
        history = History(DIM)
        for k, (row, value) in enumerate(zip(X, values_of(X), strict=True)):
            history.start(row, 1.0)
            history.apply(Reached(k, 1.0, value))
        return history

    history = told()

    def one_more() -> None:
        row = space.sample(rng, 1)[0]
        history.start(row, 1.0)
        history.apply(Reached(len(history) - 1, 1.0, values_of(row[None])[0]))

    def ask() -> None:
        searcher.suggest(Context(space, history, 0, 1.0))

    one = median_ms(ask, one_more, repeats)

    def start_again() -> None:
        nonlocal history
        history = told()
        ask()  # both figures are those of a searcher that knows the past
        one_more()

    def ask_many() -> None:
        for _ in range(AT_ONCE):
            history.start(searcher.suggest(Context(space, history, 0, 1.0)), 1.0)

    return one, median_ms(ask_many, start_again, max(3, repeats // 5))


def optuna_ms(peer: str, n: int, repeats: int) -> float:
    """Milliseconds of one suggestion of Optuna's, with n results."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    if peer == "GPSampler":
        sampler: Any = optuna.samplers.GPSampler(seed=0)
    else:
        sampler = optuna.samplers.TPESampler(multivariate=True, constant_liar=True, seed=0)
    space: dict[str, Any] = {f"x{i}": optuna.distributions.FloatDistribution(0.0, 1.0) for i in range(DIM)}
    study = optuna.create_study(sampler=sampler)
    X = np.random.default_rng(0).random((n, DIM))
    for row, value in zip(X, values_of(X), strict=True):
        params = dict(zip(space, row.tolist(), strict=True))
        study.add_trial(optuna.create_trial(params=params, distributions=space, value=value))
    asked: list[Any] = []

    def one_more() -> None:
        for trial in asked:
            study.tell(trial, values_of(np.array([list(trial.params.values())]))[0])
        asked.clear()

    return median_ms(lambda: asked.append(study.ask(space)), one_more, repeats)


def has_optuna() -> bool:
    try:
        import optuna  # noqa: F401
    except ImportError:
        return False
    return True


def measure(case: Case, n: int, repeats: int, peers: bool) -> Row:
    one, at_once = ours(case.algo, n, repeats)
    beside = optuna_ms(case.peer, n, repeats) if peers and (case.peer, n) not in SLOW_PEERS else None
    return Row(case.algo, case.peer, n, one, at_once, beside, case.limit)


def line(row: Row) -> str:
    peer = f"{row.peer_one_ms:9.2f}" if row.peer_one_ms is not None else f"{'-':>9}"
    ratio = f"{row.ratio:7.3f} (limit {row.limit:.2f})" if row.ratio is not None else f"{'-':>7}"
    at_once = f"{row.at_once_ms:9.2f} = {row.at_once_ratio:4.1f} x one (limit {AT_ONCE_LIMIT})"
    return f"{row.algo:4} {row.n:6} {row.one_ms:9.2f} {at_once}   {row.peer:10} {peer} {ratio}"


def main() -> None:
    known = [case.algo for case in CASES if case.algo in SEARCHERS]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", metavar="FILE", help="write the rows there as well")
    parser.add_argument("--algos", default=",".join(known), help=f"some of {','.join(known)}")
    parser.add_argument("--repeats", type=int, default=15)
    args = parser.parse_args()
    algos = args.algos.split(",")
    if unknown := set(algos) - set(known):
        parser.error(f"--algos: {', '.join(sorted(unknown))} is not known here; some of {','.join(known)}")
    peers = has_optuna()
    if not peers:
        print('Optuna is not installed, so its columns are empty: pip install "ray-hpo[bench]"')
    print(f"milliseconds, d = {DIM}, one thread, median")
    print(f"{'':4} {'n':>6} {'one':>9} {f'{AT_ONCE} at once':>9} {'':21}   {'Optuna':10} {'one':>9} {'ratio':>7}")
    rows: list[Row] = []
    for case in CASES:
        for n in case.sizes if case.algo in algos else ():
            rows.append(measure(case, n, args.repeats, peers))
            print(line(rows[-1]), flush=True)
    if args.json:
        with open(args.json, "w") as file:
            derived = [{"ratio": row.ratio, "at_once_ratio": row.at_once_ratio, "dim": DIM} for row in rows]
            json.dump([asdict(row) | more for row, more in zip(rows, derived, strict=True)], file, indent=1)


if __name__ == "__main__":
    if any(os.environ.get(name) != "1" for name in THREADS):
        # NumPy, already loaded, reads these once: start again with one thread for either side.
        os.execve(sys.executable, sys.orig_argv, {**os.environ, **dict.fromkeys(THREADS, "1")})
    main()

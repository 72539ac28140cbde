"""Whether two rungs rank alike up to noise, and how much noise there is (Bohdal et al. 2023, "PASHA", section 4); and
how much they have in common (Kendall 1938, "A new measure of rank correlation").

m  configurations      r  fidelities, ascending      lower, upper  values at two neighbouring rungs; minimised, finite
"""

from __future__ import annotations

import numpy as np

from strategies.history import Array

PERCENTILE = 90  # of the differences between configurations that noise alone tells apart: the paper's


def agree(lower: Array, upper: Array, epsilon: float) -> bool:
    """Whether the rungs rank alike: at each place of the upper ranking stands a configuration that is, at the lower
    rung, within `epsilon` of the one that has this place there. Ties in `upper` are no disagreement.

    lower, upper: (m,).
    """
    order = np.lexsort((lower, upper))
    return bool(np.all(np.abs(lower[order] - np.sort(lower)) <= epsilon))


def noise(curves: Array) -> float:
    """The paper's epsilon for learning curves (m, r): a percentile of the differences, at the last fidelity, of those
    pairs that changed places and changed back; 0 if none did."""
    first, second = np.triu_indices(len(curves), k=1)
    ahead = curves[first] - curves[second]
    # From the last fidelity back: 1 where the order is the last one, -1 where it is the opposite, 0 at a tie.
    same = (np.sign(ahead) * np.sign(ahead[:, -1:]))[:, ::-1]
    changed = np.maximum.accumulate(same < 0, axis=1)
    back_and_forth = (changed & (same > 0)).any(axis=1)
    if not back_and_forth.any():
        return 0.0
    return float(np.percentile(np.abs(ahead[back_and_forth, -1]), PERCENTILE))


def concordance(lower: Array, upper: Array) -> float:
    """Kendall's tau (a): of all pairs, the share that both rungs order alike less the share that they order in opposite
    ways; 0 if there is no pair.

    lower, upper: (m,).
    """
    first, second = np.triu_indices(len(lower), k=1)
    if not len(first):
        return 0.0
    return float(np.mean(np.sign(lower[first] - lower[second]) * np.sign(upper[first] - upper[second])))

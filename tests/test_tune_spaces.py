"""Dicts of real `ray.tune` domains become our spaces."""

import numpy as np
import pytest
from ray import tune

from strategies import domains
from strategies.domains import Space
from strategies.errors import InvalidInput

from ray_hpo.spaces import to_space


def test_every_tune_domain_has_its_counterpart() -> None:
    theirs = {
        "uniform": tune.uniform(0, 1),
        "quniform": tune.quniform(0, 1, 0.1),
        "loguniform": tune.loguniform(1e-4, 1),
        "qloguniform": tune.qloguniform(1, 8, 0.5),
        "randint": tune.randint(1, 9),
        "qrandint": tune.qrandint(8, 64, 8),
        "qrandint_1": tune.qrandint(1, 9, 1),
        "lograndint": tune.lograndint(1, 9),
        "qlograndint": tune.qlograndint(8, 64, 8),
        "choice": tune.choice(["a", None, (1, 2)]),
        "grid": tune.grid_search([1, 2]),
        "nested": {"choice": tune.choice([True, False]), "constant": 3},
    }
    ours = {
        "uniform": domains.uniform(0, 1),
        "quniform": domains.quniform(0, 1, 0.1),
        "loguniform": domains.loguniform(1e-4, 1),
        "qloguniform": domains.qloguniform(1, 8, 0.5),
        "randint": domains.randint(1, 9),
        "qrandint": domains.qrandint(8, 64, 8),
        "qrandint_1": domains.randint(1, 9),
        "lograndint": domains.lograndint(1, 9),
        "qlograndint": domains.qlograndint(8, 64, 8),
        "choice": domains.choice(["a", None, [1, 2]]),
        "grid": domains.choice([1, 2]),
        "nested": {"choice": domains.choice([True, False]), "constant": 3},
    }
    assert to_space(theirs) == to_space(ours)


def test_integers_cover_the_values_that_tune_draws() -> None:
    """Each of at most 8 values is missed with probability below (7/8)^400 < 1e-23."""
    for domain in (
        tune.randint(1, 4),
        tune.qrandint(1, 4, 1),
        tune.qrandint(8, 64, 8),
        tune.lograndint(1, 3),
    ):
        space = to_space({"x": domain})
        points = space.sample(np.random.default_rng(0), 400)
        ours = {space.decode(u)["x"] for u in points}
        theirs = {int(domain.sample(random_state=np.random.default_rng(i))) for i in range(400)}
        assert ours == theirs


def test_both_kinds_mix() -> None:
    space = to_space(
        Space(
            {
                "optimizer": tune.choice(["sgd", "adam"]),
                "momentum": domains.uniform(0, 1).when(optimizer="sgd"),
                "lr": tune.loguniform(1e-4, 1),
            },
            forbidden=["optimizer == sgd and lr > 0.5"],
        )
    )
    assert space.names == ("optimizer", "momentum", "lr")
    assert len(space.forbidden) == 1
    assert to_space(space) is space


@pytest.mark.parametrize(
    ("domain", "message"),
    [
        (
            tune.sample_from(lambda config: 1),
            r"^model\.lr: tune\.sample_from has no fixed set of values; use a ",
        ),
        (tune.randn(0, 1), r"^model\.lr: tune\.randn has no bounds; use .* here uniform\(-2, 2\)$"),
        (tune.qrandn(0, 1, 0.1), r"^model\.lr: tune\.randn has no bounds"),
        (tune.choice([1, 1]), r"^model\.lr: choice: options must differ; got 1 twice$"),
        (tune.uniform(2, 1), r"^model\.lr: uniform: low must be below high; got low=2, high=1$"),
        (tune.grid_search([]), r"^model\.lr: choice: options must not be empty"),
        ([tune.uniform(0, 1)], r"^model\.lr: a list is not a domain"),
    ],
)
def test_errors_name_the_parameter(domain: object, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        to_space({"model": {"lr": domain}})

"""Where a worker lives: the options of its actor, and the placement group of trials with several bundles."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

from ray.util.placement_group import PlacementGroup, placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from ray_hpo.resources import Bundle, Request


def place(request: Request, avoided: Set[str] = frozenset()) -> tuple[dict[str, Any], PlacementGroup | None]:
    """Options of a Ray actor that holds what `request` asks for, and the group that is to be removed after it.

    avoided: ids of nodes that it is not to be on.
    """
    options, labels = _options(request.bundles[0]), {**_not_on(avoided), **(request.labels or {})}
    if not request.grouped:
        return {**options, "label_selector": labels} if labels else options, None
    bundles = [{name: amount for name, amount in bundle.items() if amount} for bundle in request.bundles]
    group = placement_group(
        bundles,
        strategy=request.strategy,
        **({"bundle_label_selector": [labels] * len(bundles)} if labels else {}),
    )
    inside = PlacementGroupSchedulingStrategy(
        group, placement_group_bundle_index=0, placement_group_capture_child_tasks=True
    )
    return {**options, "scheduling_strategy": inside}, group


def _not_on(nodes: Set[str]) -> dict[str, str]:
    return {"ray.io/node-id": f"!in({', '.join(sorted(nodes))})"} if nodes else {}


def _options(bundle: Bundle) -> dict[str, Any]:
    own = ("CPU", "GPU", "memory")
    options = {
        "num_cpus": bundle.get("CPU", 0),
        "num_gpus": bundle.get("GPU", 0),
        "resources": {name: amount for name, amount in bundle.items() if name not in own and amount},
    }
    return {**options, "memory": int(bundle["memory"])} if bundle.get("memory") else options

"""Where a worker lives: the options of its actor, and the placement group of trials with several bundles."""

from __future__ import annotations

from typing import Any

from ray.util.placement_group import PlacementGroup, placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from ray_hpo.resources import Bundle, Request


def place(request: Request) -> tuple[dict[str, Any], PlacementGroup | None]:
    """Options of a Ray actor that holds what `request` asks for, and the group that is to be removed after it."""
    options = _options(request.bundles[0])
    if not request.grouped:
        return {**options, "label_selector": dict(request.labels)} if request.labels else options, None
    bundles = [{name: amount for name, amount in bundle.items() if amount} for bundle in request.bundles]
    selectors = {"bundle_label_selector": [dict(request.labels)] * len(bundles)} if request.labels else {}
    group = placement_group(bundles, strategy=request.strategy, **selectors)
    inside = PlacementGroupSchedulingStrategy(
        group, placement_group_bundle_index=0, placement_group_capture_child_tasks=True
    )
    return {**options, "scheduling_strategy": inside}, group


def _options(bundle: Bundle) -> dict[str, Any]:
    own = ("CPU", "GPU", "memory")
    options = {
        "num_cpus": bundle.get("CPU", 0),
        "num_gpus": bundle.get("GPU", 0),
        "resources": {name: amount for name, amount in bundle.items() if name not in own and amount},
    }
    return {**options, "memory": int(bundle["memory"])} if bundle.get("memory") else options

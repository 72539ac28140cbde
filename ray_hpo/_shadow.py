"""`strategies` is a name that others use too: make sure that it is ours before anything relies on it."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

OURS = Path(__file__).resolve().parent.parent / "strategies" / "__init__.py"


def refuse_foreign_strategies() -> None:
    """
    Raises:
        ImportError: `import strategies` gives, or would give, another package than the one beside ray_hpo.
    """
    loaded = sys.modules.get("strategies")
    if loaded is not None:
        found = getattr(loaded, "__file__", None)
    else:
        spec = importlib.util.find_spec("strategies")
        found = spec.origin if spec else None
    if found is None or Path(found).resolve() != OURS:
        raise ImportError(
            f"ray_hpo needs its own package 'strategies' ({OURS.parent}), but `import strategies` finds "
            f"{found or 'a folder without code'}: rename that one, or take its folder off sys.path and PYTHONPATH"
        )

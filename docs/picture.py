"""Draw docs/live.svg, the picture in the README, from an experiment on disk: python docs/picture.py PATH [seconds]

It replays the journal up to so many seconds after its start and renders the very panel that the terminal shows.
"""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from pathlib import Path

from strategies.actions import Limit
from strategies.plan import planned_budget

from ray_hpo.budget import Budget
from ray_hpo.journal import read_spec
from ray_hpo.journal.reader import fold
from ray_hpo.progress import Outlook, View, panel
from ray_hpo.screen import Screen
from ray_hpo.spec import Spec
from ray_hpo.summary import plan_lines, print_lines


def main(path: Path, seconds: float) -> None:
    spec = Spec.from_json(read_spec(path))
    with closing(sqlite3.connect(":memory:")) as part, closing(sqlite3.connect(path / "journal.sqlite")) as whole:
        whole.backup(part)
        (began,) = part.execute("SELECT MIN(time) FROM events").fetchone()
        part.execute("DELETE FROM events WHERE time > ?", (began + seconds,))
        part.execute("DELETE FROM reports WHERE time > ?", (began + seconds,))
        part.commit()
        experiment = spec.experiment()
        total = planned_budget(spec.algo, spec.problem(), [Limit(spec.num_trials)], workers=4)
        outlook = Outlook(Budget(), spec.num_trials, total)
        view = View(spec, experiment, outlook, slots=lambda: 4, clock=lambda: began + seconds)
        fold(part, experiment)
    console = Screen(record=True, width=118, force_terminal=True)
    console.print("$ make demo", highlight=False)
    print_lines(console, plan_lines(spec, spec.experiment(), spec.num_trials, total, 4))
    console.print()
    console.print(panel(view))
    console.save_svg(str(Path(__file__).parent / "live.svg"), title="ray_hpo")


if __name__ == "__main__":
    main(Path(sys.argv[1]).expanduser(), float(sys.argv[2]) if len(sys.argv) > 2 else 12.0)

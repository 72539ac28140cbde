"""What documents name must be there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_tests_that_hold_a_promise_exist() -> None:
    text = (ROOT / "docs" / "reliability.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| ") and "held by |" not in line]
    rows = [row for row in rows if not row.startswith("| ---")]
    assert len(rows) > 15
    for row in rows:
        held_by = row.split("|")[-2]
        assert "`tests/" in held_by, f"nothing holds: {row}"
    for name in re.findall(r"`(tests/[\w/.]+)`", text):
        assert (ROOT / name).is_file(), f"docs/reliability.md names {name}, which is not there"

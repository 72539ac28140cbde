"""The benchmark of suggestion times: that it runs and writes what it found; times are not looked at."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import suggest


@pytest.mark.parametrize("peers", [False, True])
def test_writes_its_figures(
    peers: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "suggest.json"
    monkeypatch.setattr(suggest, "CASES", (suggest.Case("kde", "TPESampler", (30,), 1 / 4),))
    monkeypatch.setattr(suggest, "has_optuna", lambda: peers)
    monkeypatch.setattr("sys.argv", ["suggest", "--json", str(file), "--algos", "kde", "--repeats", "1"])
    suggest.main()
    (row,) = json.loads(file.read_text())
    assert (row["algo"], row["n"], row["dim"]) == ("kde", 30, 10)
    assert row["at_once_ratio"] == pytest.approx(row["at_once_ms"] / row["one_ms"])
    if peers:
        assert row["ratio"] == pytest.approx(row["one_ms"] / row["peer_one_ms"])
    else:
        assert row["peer_one_ms"] is row["ratio"] is None
        assert 'pip install "ray-hpo[bench]"' in capsys.readouterr().out


def test_unknown_algorithms_are_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["suggest", "--algos", "tpe,nothing"])
    with pytest.raises(SystemExit):
        suggest.main()
    assert "nothing is not known here; some of tpe,kde,gp" in capsys.readouterr().err

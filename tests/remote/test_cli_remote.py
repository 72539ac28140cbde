"""The commands that take the path of an experiment take its URI."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ray_hpo
from ray_hpo.cli.main import main
from ray_hpo.remote.folder import RemoteFolder
from ray_hpo.remote.uri import Uri
from tests.remote.sweep import live_folder, on_a_new_machine, run
from tests.s3 import S3

Answer = tuple[int, str, str]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    def run(*arguments: Any) -> Answer:
        monkeypatch.setattr(sys, "argv", ["ray-hpo", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        return ended.value.code if isinstance(ended.value.code, int) else 0, out, err

    return run


def test_all_that_look_at_an_experiment(s3: S3, command: Callable[..., Answer], tmp_path: Path) -> None:
    first = run(s3.uri(), num_trials=3, algo="random", max_budget=3, name="one")
    second = run(s3.uri(), num_trials=2, algo="random", max_budget=3, name="two")
    on_a_new_machine()
    code, out, _ = command("ls", s3.uri(), "--json")
    rows = json.loads(out)
    assert code == 0
    assert {row["name"]: (row["status"], row["trials"], row["path"]) for row in rows} == {
        "one": ("all trials have run", 3, first.path),
        "two": ("all trials have run", 2, second.path),
    }
    code, out, _ = command("show", first.path, "--json")
    assert (code, len(json.loads(out)["trials"])) == (0, 3)
    code, out, _ = command("show", first.path, "--trial", 1)
    assert code == 0 and f"ray-hpo logs '{first.path}' 1" in out
    code, out, _ = command("why", first.path, 0)
    assert code == 0 and out.startswith("trial 0: completed")
    code, out, _ = command("compare", first.path, second.path, "--json")
    assert code == 0 and [row["name"] for row in json.loads(out)] == ["one", "two"]
    code, out, _ = command("export", first.path, "--csv", tmp_path / "all.csv", "--reports")
    assert code == 0 and len((tmp_path / "all.csv").read_text().splitlines()) == 10
    code, out, _ = command("logs", first.path, 2)
    assert code == 0 and [line.split()[:2] for line in out.splitlines()] == [["epoch", str(n)] for n in (1, 2, 3)]
    code, out, _ = command("logs", first.path, 2, "-f")
    assert code == 0 and len(out.splitlines()) == 3
    code, out, _ = command("top", first.path, "--once")
    assert code == 0 and "all trials have run" in out
    code, out, _ = command("replay", first.path, "--algo", "asha", "--json")
    assert code == 0 and json.loads(out)["recorded_budget"] == 9


def test_rm_removes_all_of_it(s3: S3, command: Callable[..., Answer]) -> None:
    result = run(s3.uri(), num_trials=1)
    assert live_folder(result.path).is_dir()
    code, out, _ = command("rm", "-y", result.path)
    assert (code, out) == (0, f"removed {result.path}\n")
    assert RemoteFolder(Uri.parse(s3.uri())).files() == []
    assert not live_folder(result.path).exists()
    code, _, err = command("show", result.path)
    assert code == 1 and "holds no experiment" in err


def test_run_and_resume(s3: S3, command: Callable[..., Answer], tmp_path: Path) -> None:
    sweep = tmp_path / "sweep.yaml"
    sweep.write_text(f"""
command: "{sys.executable} -c 'import sys; print(\\"loss=\\" + sys.argv[1])' :x:"
parameters:
  x: 0.0:1.0
metric: loss
algo: random
num_trials: 2
storage: "{s3.uri()}"
name: sweep
""")
    code, out, err = command("run", sweep, "--executor", "inline", "--json")
    assert code == 0, err
    path = json.loads(out)["path"]
    assert path == s3.uri("sweeps/sweep")
    on_a_new_machine()
    code, out, err = command("resume", path, "--num-trials", 3, "--executor", "inline")
    assert code == 0, err
    assert len(ray_hpo.load(path).trials) == 3
    code, out, err = command("run", sweep, "--executor", "inline", "--storage", s3.uri().replace(s3.bucket, "nobody"))
    assert (code, err.count("\n")) == (2, 1) and "there is no bucket 'nobody': create it, or mend the name" in err

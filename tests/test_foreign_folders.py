"""An experiment's folder from somebody who means harm: looking at it runs nothing of it, and leads nowhere else."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings, strategies as st
from typer.main import get_command

import ray_hpo
from ray_hpo import InvalidInput, JournalError, RayHpoError, report, resume, tune_run, uniform
from ray_hpo.cli.main import app

CLI, COMMANDS = CliRunner(), get_command(app)


def train(config: dict[str, Any]) -> None:
    state = ray_hpo.get_checkpoint() or {"epoch": 0}
    assert isinstance(state, dict)
    for epoch in range(state["epoch"] + 1, 4):
        report({"loss": config["x"] + 1 / epoch}, checkpoint={"epoch": epoch})


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    result = tune_run(
        {"x": uniform(0.0, 1.0)},
        train,
        metric="loss",
        algo="asha",
        max_budget=3,
        num_trials=5,
        storage=tmp_path_factory.mktemp("original"),
        name="foreign",
        seed=4,
        executor="inline",
        progress=False,
    )
    assert isinstance(result, ray_hpo.Result)
    return result.path


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "runs" / "foreign"))


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A folder of the reader's own, with a file in it."""
    path = tmp_path / "victim"
    (path / "checkpoint_1-home").mkdir(parents=True)
    (path / "checkpoint_1-home" / "thesis.tex").write_text("years of work")
    return path


def is_whole(victim: Path) -> bool:
    files = sorted(str(file.relative_to(victim)) for file in victim.rglob("*"))
    return files == ["checkpoint_1-home", "checkpoint_1-home/thesis.tex"] and (
        (victim / "checkpoint_1-home" / "thesis.tex").read_text() == "years of work"
    )


def look(folder: Path) -> list[BaseException | None]:
    """All commands that look at experiments; how each ended."""
    csv = str(folder.parent.parent / "out.csv")
    commands = [
        ["ls", str(folder.parent)],
        ["ls", str(folder.parent), "--json"],
        ["show", str(folder)],
        ["show", str(folder), "--json"],
        ["show", str(folder), "--trial", "0"],
        ["show", str(folder), "--trial", "0", "--json"],
        ["export", str(folder), "--csv", csv],
        ["export", str(folder), "--csv", csv, "--reports"],
        ["why", str(folder), "0"],
        ["compare", str(folder), str(folder)],
        ["replay", str(folder), "--algo", "hyperband"],
        ["top", str(folder), "--once"],
        ["logs", str(folder), "0"],
    ]
    ends: list[BaseException | None] = []
    for command in commands:
        ended = CLI.invoke(COMMANDS, command)
        expected = ended.exception is None or isinstance(ended.exception, (SystemExit, RayHpoError, InvalidInput))
        if not expected:
            raise AssertionError(f"{command}: {ended.exception!r}") from ended.exception
        ends.append(ended.exception)
    return ends


def change(folder: Path, *statements: str) -> None:
    with closing(sqlite3.connect(folder / "journal.sqlite", isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def go_on(folder: Path, trainable: Any = train, **limits: Any) -> None:
    resume(folder, trainable, executor="inline", progress=False, **{"num_trials": 8, **limits})


# ---- code ----


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self._mark,)


def test_nothing_in_it_is_unpickled_or_run(folder: Path, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    for trial in (folder / "trials").iterdir():
        for checkpoint in trial.glob("checkpoint_*"):
            (checkpoint / ".ray_hpo_checkpoint.pkl").write_bytes(pickle.dumps(Bomb(mark)))
    for name in ("evil.py", "sitecustomize.py", "__init__.py", "trials/conftest.py"):
        (folder / name).write_text(f"import pathlib; pathlib.Path({str(mark)!r}).touch()\ndef train(config): ...\n")
    for name in ("spec.pkl", "trainable.pkl"):
        (folder / name).write_bytes(pickle.dumps(Bomb(mark)))
    name_trainable(folder, {"module": "", "name": "train", "file": str(folder / "evil.py")})
    assert set(look(folder)) == {None}
    with pytest.raises(InvalidInput, match="num_trials=2 is below"):
        go_on(folder, None, num_trials=2)
    with pytest.raises(InvalidInput, match="the space differs"):
        go_on(folder, None, space={"y": uniform(0.0, 1.0)})
    shutil.copytree(folder, tmp_path / "elsewhere")
    change(tmp_path / "elsewhere", "UPDATE events SET body = json_set(body, '$.path', '../x') WHERE kind = 'saved'")
    with pytest.raises(JournalError):
        go_on(tmp_path / "elsewhere", None)
    assert not mark.exists()
    pickle.loads(pickle.dumps(Bomb(mark)))
    assert mark.exists(), "it would have been noticed"


def name_trainable(folder: Path, reference: Any) -> None:
    with closing(sqlite3.connect(folder / "journal.sqlite", isolation_level=None)) as connection:
        ((text,),) = connection.execute("SELECT spec FROM head")
        spec = {**json.loads(text), "trainable": reference}
        connection.execute("UPDATE head SET spec = ?", (json.dumps(spec),))


@pytest.mark.parametrize("reference", ["os.system", 3, {}, {"command": {}}, {"command": 3}, {"module": [], "name": 1}])
def test_a_trainable_that_is_none_is_told(folder: Path, reference: Any) -> None:
    name_trainable(folder, reference)
    with pytest.raises(RayHpoError):
        go_on(folder, None)


# ---- paths ----


@pytest.mark.parametrize(
    "path",
    ["{victim}", "../../victim", "trials/../../../victim", "trials/00000/../../../../victim", "", ".", "trials",
     "trials/00000", "journal.sqlite", "trials/00000/link", "trials/00000/link/thesis.tex", "trials/00000/a\0b"],
)  # fmt: skip
def test_a_checkpoint_elsewhere_is_neither_read_nor_deleted(folder: Path, victim: Path, path: str) -> None:
    (folder / "trials" / "00000").mkdir(parents=True, exist_ok=True)
    (folder / "trials" / "00000" / "link").symlink_to(victim / "checkpoint_1-home")
    with closing(sqlite3.connect(folder / "journal.sqlite", isolation_level=None)) as connection:
        body = json.dumps({"path": path.format(victim=victim), "step": 1.0})
        connection.execute("UPDATE events SET body = ? WHERE kind = 'saved' AND trial = 0", (body,))
        connection.execute("UPDATE events SET kind = 'pause' WHERE kind = 'stop'")  # so that they are still needed
    look(folder)
    before = sorted(folder.rglob("*"))
    with pytest.raises(JournalError, match=r"which is not among its trials' files|is a link out of the experiment"):
        go_on(folder)
    assert set(before) <= {*folder.rglob("*")}
    result = ray_hpo.load(folder)
    with pytest.raises(JournalError):
        result.checkpoint(result.trials[0])
    assert is_whole(victim)


def link_trials(folder: Path, victim: Path) -> None:
    shutil.rmtree(folder / "trials")
    (folder / "trials").symlink_to(victim.parent)


def link_trial(folder: Path, victim: Path) -> None:
    shutil.rmtree(folder / "trials" / "00001", ignore_errors=True)
    (folder / "trials" / "00001").symlink_to(victim)


def link_output(folder: Path, victim: Path) -> None:
    (folder / "trials" / "00000").mkdir(exist_ok=True)
    (folder / "trials" / "00000" / "output.log").symlink_to(victim / "checkpoint_1-home" / "thesis.tex")


def link_lock(folder: Path, victim: Path) -> None:
    (folder / "journal.lock").unlink()
    (folder / "journal.lock").symlink_to(victim / "checkpoint_1-home" / "thesis.tex")


def link_journal(folder: Path, victim: Path) -> None:
    shutil.move(folder / "journal.sqlite", folder.parent / "journal.sqlite")
    (folder / "journal.sqlite").symlink_to(folder.parent / "journal.sqlite")


def fifo_for_a_lock(folder: Path, victim: Path) -> None:
    (folder / "journal.lock").unlink()
    os.mkfifo(folder / "journal.lock")
    (folder / "trials" / "00001").mkdir(exist_ok=True)
    (folder / "trials" / "00001" / "output.log").symlink_to(victim)


LINKS = [link_trials, link_trial, link_output, link_lock, link_journal, fifo_for_a_lock]


@pytest.mark.parametrize("link", LINKS, ids=lambda link: link.__name__)
def test_a_link_that_leads_out_is_not_followed(folder: Path, victim: Path, link: Callable[[Path, Path], None]) -> None:
    link(folder, victim)
    look(folder)
    with pytest.raises(RayHpoError) as caught:
        go_on(folder)
    assert "\n" not in str(caught.value)
    assert is_whole(victim)


def test_links_to_where_the_session_asks_for_saving_and_to_verifications(folder: Path, victim: Path) -> None:
    (folder / "save-now").symlink_to(victim / "new")
    (folder / "verification-0").symlink_to(folder.parent / "foreign")
    (folder / "verification-x").mkdir()
    shutil.copy(folder / "journal.sqlite", folder / "verification-x")
    look(folder)
    (folder / "save-now").unlink()
    (folder / "verification-0").unlink()
    assert set(look(folder)) == {None}
    assert is_whole(victim)


# ---- SQL ----

PROGRAMS = {
    "a view for a table": [
        "ALTER TABLE head RENAME TO old",
        "CREATE VIEW head AS SELECT version, spec FROM old",
    ],
    "a view without an end": [
        "CREATE VIEW more AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n",
    ],
    "a trigger": ["CREATE TRIGGER cheat AFTER INSERT ON events BEGIN DELETE FROM reports; END"],
    "a computed column": ["ALTER TABLE events ADD COLUMN big AS (zeroblob(1000000000))"],
    "another table": ["CREATE TABLE more (x)"],
    "an index over an expression": ["CREATE INDEX more ON events (abs(time))"],
    "a virtual table": ["CREATE VIRTUAL TABLE more USING fts5(x)"],
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_whatever_sqlite_would_carry_out_is_refused(folder: Path, program: str) -> None:
    change(folder, *PROGRAMS[program])
    ends = look(folder)
    assert all(isinstance(end, JournalError) for end in ends[2:])
    with pytest.raises(JournalError, match=r"holds a (view|trigger|table|index) .* that no journal has"):
        go_on(folder)


# ---- JSON ----

LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([10**400, -(10**20), 1e308, -0.0, float("nan"), float("inf")]),
    st.text(max_size=5),
    st.sampled_from(["inf", "\x1b[31m", "\0", "\ud800", "../..", "[bold]", "x", "min", "loss"]),
    st.just([]),
    st.just({}),
    st.just([[[]]]),
    st.just({"x": {"x": 1}}),
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where something stands in a JSON value."""
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        found += places(inner, (*path, key))
    return found


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_json_of_any_kind_is_told(original: Path, tmp_path: Path, data: st.DataObject) -> None:
    """One value of the journal is another one: what cannot be understood is one error of ours, never a traceback."""
    folder = tmp_path / "runs" / "foreign"
    shutil.rmtree(tmp_path / "runs", ignore_errors=True)
    shutil.copytree(original, folder)
    with closing(sqlite3.connect(folder / "journal.sqlite", isolation_level=None)) as connection:
        rows = [("head", "spec", row, text) for row, text in connection.execute("SELECT rowid, spec FROM head")] * 20
        rows += [("events", "body", seq, text) for seq, text in connection.execute("SELECT seq, body FROM events")]
        table, column, row, text = data.draw(st.sampled_from(rows))
        body = json.loads(text)
        at = data.draw(st.sampled_from(places(body) or [("more",)]))
        holder = body
        for key in at[:-1]:
            holder = holder[key]
        holder[at[-1]] = data.draw(LEAVES)
        connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = {row}", (json.dumps(body),))
    look(folder)


def test_half_a_character_can_be_exported(original: Path, tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "foreign"
    shutil.copytree(original, folder)
    with closing(sqlite3.connect(folder / "journal.sqlite", isolation_level=None)) as connection:
        ((seq, body),) = connection.execute("SELECT seq, body FROM events WHERE kind = 'start' LIMIT 1").fetchall()
        start = json.loads(body)
        start["config"]["x"] = "\ud800"
        connection.execute("UPDATE events SET body = ? WHERE seq = ?", (json.dumps(start), seq))
    look(folder)
    CLI.invoke(COMMANDS, ["export", str(folder), "--csv", str(tmp_path / "trials.csv")])
    assert "\\ud800" in (tmp_path / "trials.csv").read_text()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET trial = -1 WHERE trial = 1",
        "UPDATE events SET trial = 'x' WHERE trial = 1",
        "UPDATE events SET trial = 1000000 WHERE trial = 1",
        "UPDATE events SET time = 'now' WHERE seq = 5",
        "UPDATE events SET time = 9e999 WHERE seq = 5",
        "UPDATE events SET kind = 'nonsense' WHERE seq = 5",
        "UPDATE events SET body = x'ff00' WHERE seq = 5",
        "UPDATE events SET body = replace(hex(zeroblob(50000)), '0', '[') WHERE seq = 5",
        "UPDATE reports SET columns = '{}'",
        "UPDATE reports SET columns = '[]'",
        """UPDATE reports SET columns = '{"step": ["x"], "time": [0], "metrics": {"loss": [[]]}}'""",
        "UPDATE reports SET step = 'x', trial = 'y' WHERE trial = 1 AND step = 1",
        "UPDATE reports SET trial = -5 WHERE trial = 1 AND step = 1",
        "UPDATE head SET spec = replace(hex(zeroblob(50000)), '0', '[')",
        "UPDATE head SET version = 'x'",
        "DELETE FROM events WHERE kind = 'start'",
        "DELETE FROM events WHERE kind = 'reached'",
        "DELETE FROM reports",
    ],
)
def test_rows_of_any_kind_are_told(folder: Path, statement: str) -> None:
    change(folder, statement)
    look(folder)

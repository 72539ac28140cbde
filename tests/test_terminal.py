"""Text from elsewhere does not steer the terminal: whatever is in a folder, it is shown and not obeyed."""

from __future__ import annotations

import ast
import contextlib
import io
import itertools
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

import ray_hpo
from ray_hpo import choice, report, tune_run
from ray_hpo.cli.logs import OnTerminal
from ray_hpo.cli.main import main
from ray_hpo.screen import Screen, plain
from ray_hpo.visible import Output, visible

EVIL = "\x1b]0;title\x07\x1b[2J\x1b[1A\rbest: 0.0\x08\x7f\x9b31m\x9d\x00\u202e[/red][bold]:boom:"
COLOUR = re.compile("\x1b\\[[0-9;:]*m")
STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
CONTROLS = st.text(st.sampled_from([*map(chr, range(0xA0)), "\u202e", "\u2066", "\u2028", "é", "名", "🙂"]))
ODD = st.one_of(st.text(), CONTROLS)

Terminal = Callable[..., str]


# ---- the function ----


@given(ODD)
def test_nothing_steers_in_visible_text(text: str) -> None:
    shown = visible(text)
    assert not STEERING.search(shown)
    assert shown.count("\n") == text.count("\n") and shown.count("\t") == text.count("\t")


@given(st.text())
def test_ordinary_text_stays(text: str) -> None:
    ordinary = STEERING.sub("", text)
    assert visible(ordinary) == ordinary


def test_control_characters_are_shown_as_people_write_them() -> None:
    assert visible("a\x1b[2J\x9b\r\x07b\n\tc\u202e") == "a\\x1b[2J\\x9b\\r\\x07b\n\tc\\u202e"


# ---- output of programs ----


PIECES = st.one_of(
    st.binary(max_size=6),
    st.sampled_from(
        [b"\x1b[31m", b"\x1b[0m", b"\x1b[38;5;12m", b"\x1b[", b"\r\n", b"\r", b"\xc2\x9b", b"\x1b]0;x\x07"]
    ),
    ODD.map(lambda text: text.encode("utf-8", "surrogatepass")),
)


@given(st.lists(PIECES), st.lists(st.integers(0, 60)))
def test_only_colours_reach_a_terminal_and_pieces_do_not_matter(pieces: list[bytes], cuts: list[int]) -> None:
    data = b"".join(pieces)
    whole = Output().next(data, last=True)
    assert not STEERING.search(COLOUR.sub("", whole))
    output, places = Output(), sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    parts = [output.next(data[begin:end]) for begin, end in itertools.pairwise(places)]
    assert "".join([*parts, output.next(b"", last=True)]) == whole


def test_output_keeps_colours_and_overwrites_nothing() -> None:
    bar = "\x1b[1;32mloss\x1b[m 0.5\r\n 10%|#\r 20%|##\x1b[K\n"
    assert Output().next(bar.encode()) == "\x1b[1;32mloss\x1b[m 0.5\n 10%|#\n 20%|##\\x1b[K\n"
    assert Output().next(b"\xff \xc3\xa9") == "\\xff é"


def test_colours_end_with_the_output() -> None:
    for data, after in ((b"\x1b[31mred", "\x1b[31mred\x1b[0m"), (b"plain\x1b", "plain\\x1b")):
        stream = io.StringIO()
        target = OnTerminal(stream)
        target.write(data)
        target.close()
        assert stream.getvalue() == after


# ---- rich ----


@given(ODD)
def test_what_is_printed_by_way_of_rich_does_not_steer_either(text: str) -> None:
    from rich.table import Table

    stream = io.StringIO()
    screen, table = Screen(file=stream, width=40, force_terminal=True, color_system="truecolor"), Table(text, box=None)
    table.add_row(text)
    screen.print(text, plain(text, "bold"), table)
    assert not STEERING.search(COLOUR.sub("", stream.getvalue()))


def test_no_markup_is_read_into_text() -> None:
    stream = io.StringIO()
    Screen(file=stream, width=80).print("[bold]x[/bold] [/none] [link=https://a.b]c[/link] :smile:")
    assert stream.getvalue() == "[bold]x[/bold] [/none] [link=https://a.b]c[/link] :smile:\n"


# ---- the command line, on a terminal ----


class Tty(io.BytesIO):
    """Keeps what is sent to it."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """`ray-hpo` with arguments: all that it sends to its terminal, on either stream."""
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)

    def run(*arguments: object, call: Callable[[], object] = main) -> str:
        kept = Tty()
        with monkeypatch.context() as patch:
            stream = io.TextIOWrapper(kept, encoding="utf-8", write_through=True)
            patch.setattr(sys, "argv", ["ray-hpo", *map(str, arguments)])
            patch.setattr(sys, "stdout", stream)
            patch.setattr(sys, "stderr", stream)
            with contextlib.suppress(SystemExit):
                call()
            stream.flush()
            return kept.getvalue().decode()

    return run


def foreign(storage: Path, text: str, **options: Any) -> Path:
    """An experiment with `text` wherever somebody else's text may be. The last trial fails."""

    def train(config: dict[str, Any]) -> None:
        if ray_hpo.get_context().trial == 2:
            raise ValueError(text)
        report({"loss": 1.0, f"more {text}": text}, checkpoint={})

    defaults: dict[str, Any] = {"algo": "random", "num_trials": 3, "seed": 1, "executor": "inline", "progress": False}
    space = {f"a {text}": choice([f"b {text}", f"c {text}"])}
    result = tune_run(space, train, **{**defaults, "metric": "loss", "storage": storage, "name": "foreign", **options})
    assert isinstance(result, ray_hpo.Result)
    for trial in range(3):
        folder = result.place.store().trial_folder(trial)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "output.log").write_text(f"\x1b[32mepoch\x1b[0m {text}", "utf-8", "surrogatepass")
    return result.path


def looks(path: Path) -> list[tuple[object, ...]]:
    return [
        ("ls", path.parent),
        ("ls", path.parent, "--json"),
        ("show", path),
        ("show", path, "--json"),
        *[("show", path, "--trial", trial) for trial in (0, 2)],
        *[("why", path, trial) for trial in (0, 2)],
        *[("logs", path, trial) for trial in (0, 2)],
        ("compare", path, path),
        ("top", path, "--once"),
        ("export", path, "--csv", "-"),
        ("export", path, "--csv", "-", "--reports"),
    ]


def test_an_experiment_that_means_harm_is_shown_and_not_obeyed(terminal: Terminal, tmp_path: Path) -> None:
    path = foreign(tmp_path, EVIL)
    seen = {look: terminal(*look) for look in looks(path)}
    for look, text in seen.items():
        assert not STEERING.search(COLOUR.sub("", text)), look
    assert f"ValueError: {visible(EVIL.splitlines()[0])}\n" in seen["why", path, 2]
    assert f"a {visible(EVIL)}=" in seen["show", path, "--trial", 2]
    assert seen["logs", path, 0].startswith("\x1b[32mepoch\x1b[0m \\x1b]0;title\\x07\\x1b[2J\\x1b[1A\nbest: 0.0")


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ODD.filter(lambda text: text.encode("utf-8", "ignore").decode() == text))
def test_whatever_is_in_an_experiment_does_not_steer(terminal: Terminal, text: str) -> None:
    with tempfile.TemporaryDirectory() as storage:
        path = foreign(Path(storage), text, num_trials=3)
        for look in looks(path):
            assert not STEERING.search(COLOUR.sub("", terminal(*look))), look


def test_what_is_seen_of_a_run_does_not_steer(terminal: Terminal, tmp_path: Path) -> None:
    """On a terminal the display moves the cursor; nothing else may."""
    own = re.compile(r"\x1b\[(\?25[lh]|\d*[AK]|2K)|\r")
    seen = terminal(call=lambda: foreign(tmp_path, EVIL, progress=True))
    assert not STEERING.search(own.sub("", COLOUR.sub("", seen)))
    assert visible(EVIL)[:20] in seen


def test_mistakes_are_told_without_steering(terminal: Terminal, tmp_path: Path) -> None:
    odd = tmp_path / "x\x1b[2J"
    for arguments in (("show", odd), ("rm", odd), ("ls", odd), ("logs", odd, 0)):
        seen = terminal(*arguments)
        assert "x\\x1b[2J" in seen and not STEERING.search(COLOUR.sub("", seen))


def test_logs_in_a_pipe_are_what_the_trial_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    path = foreign(tmp_path, EVIL)
    written = EVIL.encode() + bytes(range(256))
    log = ray_hpo.load(path).place.store().trial_folder(0) / "output.log"
    log.write_bytes(written)
    monkeypatch.setattr(sys, "argv", ["ray-hpo", "logs", str(path), "0"])
    with pytest.raises(SystemExit):
        main()
    assert capfdbinary.readouterr().out == written


# ---- one place ----

WAYS_OUT = {  # to a terminal, and the one file that may use each
    "Console": "ray_hpo/screen.py",
    "Text": "ray_hpo/screen.py",
    "echo": "ray_hpo/cli/app.py",
    "secho": "",
    "confirm": "ray_hpo/cli/app.py",
    "print": "ray_hpo/sweepfile/argparse_probe.py",  # into a pipe
}


def test_there_is_one_way_to_the_terminal() -> None:
    root = Path(ray_hpo.__file__).parent
    for file in root.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call):
                by_name = node.func.id if isinstance(node.func, ast.Name) else None
                by_typer = (
                    node.func.attr
                    if isinstance(node.func, ast.Attribute)
                    and isinstance(node.func.value, ast.Name)
                    and node.func.value.id == "typer"
                    else None
                )
                place = WAYS_OUT.get(by_name or by_typer or "")
                assert place in (None, str(file.relative_to(root.parent))), f"{file}:{node.lineno}"

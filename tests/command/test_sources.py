"""Files that grow, read as they grow."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from ray_hpo.command.sources import CHUNK, Source, make_source
from ray_hpo.command.tensorboard import scalars
from ray_hpo.command.values import line_values


def source(kind: str, path: Path) -> Source:
    return make_source(kind, path, line_values)


def test_text_is_read_as_it_grows(tmp_path: Path) -> None:
    path = tmp_path / "stdout.log"
    path.write_text("loss=9\n")  # an earlier attempt's
    text = source("stdout", path)
    with open(path, "a") as file:
        print("loss=1\nno", end="", file=file, flush=True)
        assert list(text.read()) == [{"loss": 1}]
        print("ise\nloss=2", end="", file=file, flush=True)
        assert list(text.read()) == []
    assert list(text.read(last=True)) == [{"loss": 2}]


def test_large_files_are_read_in_pieces(tmp_path: Path) -> None:
    path = tmp_path / "stdout.log"
    path.write_text(("x" * 99 + "\n") * (3 * CHUNK // 100) + "loss=1\n")
    text = make_source("stdout", tmp_path / "none", line_values)
    text._path = path  # type: ignore[attr-defined]  # as if it had appeared now
    assert list(text.read()) == [{"loss": 1}]


def test_jsonl(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    lines = source("jsonl", path)
    assert list(lines.read()) == []
    path.write_text('{"epoch": 1, "val": {"loss": 0.5}}\nnot json\n{"epoch": 2')
    assert list(lines.read()) == [{"epoch": 1, "val.loss": 0.5}]


def test_csv(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    rows = source("csv", path)
    assert list(rows.read()) == []
    path.write_text("epoch,loss,name\n1,0.5,a\n2,,")
    assert list(rows.read()) == [{"epoch": 1, "loss": 0.5, "name": "a"}]
    path.write_text("epoch,loss,name\n1,0.5,a\n2,,\n3,nan,b\n")
    new = list(rows.read())
    assert new[0] == {"epoch": 2} and new[1]["loss"] != new[1]["loss"]


def test_a_csv_file_that_is_written_anew_with_more_columns(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    rows = source("csv", path)
    path.write_text("epoch,loss\n1,0.5\n")
    assert list(rows.read()) == [{"epoch": 1, "loss": 0.5}]
    path.write_text("epoch,loss,acc\n1,0.5,\n2,0.25,0.9\n")
    assert list(rows.read()) == [{"epoch": 2, "loss": 0.25, "acc": 0.9}]


def test_rows_of_an_earlier_attempt_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("epoch,loss\n1,0.5\n")
    rows = source("csv", path)
    assert list(rows.read(last=True)) == []
    path.write_text("epoch,loss\n")  # it starts anew
    assert list(rows.read()) == []
    path.write_text("epoch,loss\n1,0.4\n")
    assert list(rows.read()) == [{"epoch": 1, "loss": 0.4}]


# Written by tensorboardX 2.6.5: val/loss 0.5 at step 1, a text, val/loss 0.25 at step 2.
EVENT_FILE = base64.b64decode(
    "GAAAAAAAAACjf0siCXzOJK9pwNpBGg1icmFpbi5FdmVudDoyjm8z8x4AAAAAAAAA2dwSMgnVAyWvacDaQRABKhEKDwoIdmFsL2xv"
    "c3MVAAAAP5yDA3s9AAAAAAAAAGBJ8ewJ10Ilr2nA2kEQASowCi4KEW5vdGUvdGV4dF9zdW1tYXJ5Qg8IBxIEEgIIAUIFaGVsbG9K"
    "CAoGCgR0ZXh0JuQOlR4AAAAAAAAA2dwSMgmvSSWvacDaQRACKhEKDwoIdmFsL2xvc3MVAACAPpDMBnU="
)
LOSSES = [{"step": 1, "val/loss": 0.5}, {"step": 2, "val/loss": 0.25}]


def test_tensorboard(tmp_path: Path) -> None:
    (tmp_path / "old.tfevents").write_bytes(EVENT_FILE)  # of an earlier attempt
    events = source("tensorboard", tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "events.out.tfevents.1").write_bytes(EVENT_FILE)
    assert list(events.read()) == LOSSES
    assert list(events.read(last=True)) == []


def test_half_a_tensorboard_record_is_left_for_later(tmp_path: Path) -> None:
    events, found = source("tensorboard", tmp_path), []
    for end in range(len(EVENT_FILE) + 1):
        (tmp_path / "tfevents").write_bytes(EVENT_FILE[:end])
        found += events.read()
    assert found == LOSSES


@pytest.mark.parametrize(
    ("event", "values"),
    [  # Events of tensorboardX's protobuf: float_val, tensor_content, double_val; a negative step
        ("EAMqEgoQCgRsb3NzQggIASoEAACAPg==", {"step": 3, "loss": 0.25}),
        ("EAMqEgoQCgRsb3NzQggIASIEAACAPg==", {"step": 3, "loss": 0.25}),
        ("EAMqFgoUCgRsb3NzQgwIAjIImpmZmZmZub8=", {"step": 3, "loss": -0.1}),
        ("EP///////////wEqFgoUCgRsb3NzQgwIAiIImpmZmZmZub8=", {"step": -1, "loss": -0.1}),
    ],
)
def test_scalars_that_newer_writers_store_as_tensors(event: str, values: dict[str, Any]) -> None:
    assert list(scalars(base64.b64decode(event))) == [values]


@given(st.binary(max_size=60))
def test_what_is_no_event_has_no_scalars(data: bytes) -> None:
    list(scalars(data))

"""Files that grow, read as they grow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import given, strategies as st

from ray_hpo.command.sources import CHUNK, Source, make_source
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


def test_tensorboard(tmp_path: Path) -> None:
    from tensorboardX import SummaryWriter

    with SummaryWriter(str(tmp_path / "old")) as writer:
        writer.add_scalar("val/loss", 9.0, 0)
    events = source("tensorboard", tmp_path)
    assert list(events.read()) == []
    with SummaryWriter(str(tmp_path / "new")) as writer:
        writer.add_scalar("val/loss", 0.5, 1)
        writer.add_text("note", "hello", 1)
        writer.add_scalar("val/loss", 0.25, 2)
    assert list(events.read()) == [{"step": 1, "val/loss": 0.5}, {"step": 2, "val/loss": 0.25}]
    assert list(events.read(last=True)) == []


@given(value=st.floats(allow_nan=False, width=32), double=st.booleans(), packed=st.booleans())
def test_scalars_that_newer_writers_store_as_tensors(value: float, double: bool, packed: bool) -> None:
    import struct

    from tensorboardX.proto.event_pb2 import Event

    from ray_hpo.command.tensorboard import scalars

    event = Event(step=3)
    tensor = event.summary.value.add(tag="loss").tensor
    tensor.dtype = 2 if double else 1
    if packed:
        tensor.tensor_content = struct.pack("<d" if double else "<f", value)
    else:
        (tensor.double_val if double else tensor.float_val).append(value)
    assert list(scalars(event)) == [{"step": 3, "loss": value}]


def test_half_a_tensorboard_record_is_left_for_later(tmp_path: Path) -> None:
    from tensorboardX import SummaryWriter

    with SummaryWriter(str(tmp_path / "whole")) as writer:
        writer.add_scalar("loss", 0.5, 1)
    (whole,) = (tmp_path / "whole").iterdir()
    data = whole.read_bytes()
    growing = tmp_path / "growing"
    growing.mkdir()
    events = source("tensorboard", growing)
    found: list[Any] = []
    for end in range(0, len(data) + 1, 7):
        (growing / "tfevents").write_bytes(data[:end])
        found += events.read()
    (growing / "tfevents").write_bytes(data)
    found += events.read(last=True)
    assert found == [{"step": 1, "loss": 0.5}]

"""Scalars in TensorBoard's event files, as they are written.

An event file is a sequence of TFRecords: length (8 bytes), its checksum (4), data, the data's checksum (4); the data is
an Event in protobuf. tensorboardX, which Ray Tune brings along, has the message; checksums are not looked at, since
what is incomplete is seen by its length.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ray_hpo.command.values import Values
from ray_hpo.errors import RayHpoError

_HEAD, _FOOT = 12, 4
PATTERN = "*tfevents*"


class TensorBoardSource:
    """Scalars of all event files below `folder`: name -> value, and the step."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._offsets = {path: path.stat().st_size for path in folder.rglob(PATTERN)}
        self._parse = _event_parser()

    def read(self, last: bool = False) -> Iterator[Values]:
        for path in sorted(self._folder.rglob(PATTERN)):
            with open(path, "rb") as file:
                file.seek(self._offsets.get(path, 0))
                for record, end in _records(file, self._offsets.get(path, 0)):
                    self._offsets[path] = end
                    yield from scalars(self._parse(record))


def scalars(event: Any) -> Iterator[Values]:
    """The scalars of one Event, each with the step."""
    for value in event.summary.value:
        if value.HasField("simple_value"):
            yield {"step": event.step, value.tag: value.simple_value}
        elif value.HasField("tensor"):
            number = _scalar(value.tensor)
            if number is not None:
                yield {"step": event.step, value.tag: number}


def _scalar(tensor: Any) -> float | None:
    """The content of a tensor that holds one float (dtype 1) or double (2), which newer writers use for scalars."""
    if tensor.dtype not in (1, 2) or any(dimension.size != 1 for dimension in tensor.tensor_shape.dim):
        return None
    if tensor.tensor_content:
        (number,) = struct.unpack("<f" if tensor.dtype == 1 else "<d", tensor.tensor_content)
        return float(number)
    numbers = tensor.float_val if tensor.dtype == 1 else tensor.double_val
    return float(numbers[0]) if len(numbers) == 1 else None


def _records(file: Any, offset: int) -> Iterator[tuple[bytes, int]]:
    """The complete records from `offset` on, each with the offset of its end."""
    while True:
        head = file.read(_HEAD)
        if len(head) < _HEAD:
            return
        (length,) = struct.unpack("<Q", head[:8])
        data = file.read(length + _FOOT)
        if len(data) < length + _FOOT:
            return
        offset += _HEAD + length + _FOOT
        yield data[:length], offset


def _event_parser() -> Any:
    try:
        from tensorboardX.proto.event_pb2 import Event
    except ImportError as error:
        raise RayHpoError(f"reading TensorBoard's event files needs tensorboardX: pip install tensorboardX ({error})") from error
    return Event.FromString

"""Scalars in TensorBoard's event files, as they are written.

An event file is a sequence of TFRecords: length (8 bytes, little-endian), its checksum (4), data, the data's checksum
(4); the data is an Event in protobuf. Checksums are not looked at: what is incomplete is seen by its length. The few
fields that scalars need are read here, since the packages that know the message take seconds to import:

Event: 2 step (varint), 5 summary; Summary: 1 value, repeated; Value: 1 tag, 2 simple_value (float), 8 tensor;
TensorProto: 1 dtype (1 float, 2 double), 4 tensor_content, 5 float_val, 6 double_val, both packed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ray_hpo.command.values import Values

PATTERN = "*tfevents*"

_HEAD, _FOOT = 12, 4


class TensorBoardSource:
    """Scalars of all event files below `folder`: name -> value, and the step."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._offsets = {path: path.stat().st_size for path in folder.rglob(PATTERN)}

    def read(self, last: bool = False) -> Iterator[Values]:
        for path in sorted(self._folder.rglob(PATTERN)):
            offset = self._offsets.get(path, 0)
            with open(path, "rb") as file:
                file.seek(offset)
                for record in _records(file):
                    self._offsets[path] = offset = offset + _HEAD + len(record) + _FOOT
                    yield from scalars(record)


def scalars(event: bytes) -> Iterator[Values]:
    """The scalars of one Event, each with its step; none if the data is something else."""
    try:
        fields = list(_fields(event))
        step = next((_signed(value) for number, value in fields if number == 2 and isinstance(value, int)), 0)
        for number, summary in fields:
            if number == 5 and isinstance(summary, bytes):
                for inner, value in _fields(summary):
                    if inner == 1 and isinstance(value, bytes):
                        yield from _scalar(value, step)
    except (ValueError, struct.error, IndexError):
        return


def _scalar(value: bytes, step: int) -> Iterator[Values]:
    parts = dict(_fields(value))
    tag, simple, tensor = parts.get(1), parts.get(2), parts.get(8)
    if not isinstance(tag, bytes):
        return
    if isinstance(simple, bytes):
        yield {"step": step, tag.decode(): struct.unpack("<f", simple)[0]}
    elif isinstance(tensor, bytes):
        found = _tensor(dict(_fields(tensor)))
        if found is not None:
            yield {"step": step, tag.decode(): found}


def _tensor(parts: dict[int, int | bytes]) -> float | None:
    """The number in a tensor that holds one; None for any other."""
    kind = {1: ("<f", 5), 2: ("<d", 6)}.get(parts.get(1, 0))  # type: ignore[arg-type]  # bytes are no key of it
    if kind is None:
        return None
    form, listed = kind
    data = parts.get(4) or parts.get(listed)
    if not isinstance(data, bytes) or len(data) != struct.calcsize(form):
        return None
    return float(struct.unpack(form, data)[0])


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(number, value) of each field: an int for a varint, else its bytes."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        if kind == 2:
            length, at = _varint(message, at)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise ValueError("not a protobuf message")
        if at + length > len(message):
            raise ValueError("cut off")
        yield key >> 3, message[at : at + length]
        at += length


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def _records(file: BinaryIO) -> Iterator[bytes]:
    """The records that are complete."""
    while len(head := file.read(_HEAD)) == _HEAD:
        (length,) = struct.unpack("<Q", head[:8])
        data = file.read(length + _FOOT)
        if len(data) < length + _FOOT:
            return
        yield data[:length]

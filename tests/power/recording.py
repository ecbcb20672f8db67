"""Recordings of the steps on files, and the content that a disk may have after a power loss."""

from __future__ import annotations

import enum
import random
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_HEAD = struct.Struct("<BHqI")
_SECTOR_BYTES = 512
"""Size of a sector: a disk writes it whole or not at all."""


class Kind(enum.IntEnum):
    """The kind of a step on a file. `Step.number` depends on it:

    - OPEN: 1 if the first sync after it also syncs the directory.
    - WRITE: the offset.
    - TRUNCATE: the new size.
    - SYNC, SYNCED: the number of the sync that begins or ends.
    - DELETE: 1 if the directory is synced.
    """

    OPEN = 0
    WRITE = 1
    TRUNCATE = 2
    SYNC = 3
    SYNCED = 4
    DELETE = 5


class Step(NamedTuple):
    """One operation on one file; `position` is the recording's size before it, in bytes."""

    position: int
    kind: Kind
    path: str
    number: int
    content: bytes


def packed(kind: Kind, path: str, number: int, content: bytes) -> bytes:
    """Return the bytes of a step in a recording."""
    name = path.encode()
    return _HEAD.pack(kind, len(name), number, len(content)) + name + content


def steps(recording: Path) -> Iterator[Step]:
    """Yield the steps of a recording."""
    data = recording.read_bytes()
    position = 0
    while position < len(data):
        kind, name, number, length = _HEAD.unpack_from(data, position)
        start = position + _HEAD.size
        content = data[start + name : start + name + length]
        yield Step(position, Kind(kind), data[start : start + name].decode(), number, content)
        position = start + name + length


class _File:
    """A file: its content on the disk, and the later steps that the disk may have.

    `done` counts the steps that are certainly on the disk.
    """

    def __init__(self) -> None:
        self.content: bytearray | None = bytearray()
        self.pending: list[Step] = []
        self.done = 0
        self.syncs_directory = False

    def sync_deletion(self) -> None:
        """Write the deletion of the file to the disk, if it was deleted."""
        deletions = [n for n, step in enumerate(self.pending, 1) if step.kind is Kind.DELETE]
        if deletions:
            self.sync_first(self.done + deletions[-1])

    def sync_first(self, until: int) -> None:
        """Write the first steps to the disk, counted from the file's first step."""
        count = max(until - self.done, 0)
        for step in self.pending[:count]:
            self.content = _changed(self.content, step)
        del self.pending[:count]
        self.done += count


class Disk:
    """The files of one directory, after the steps taken so far.

    A file's name is on the disk as soon as the file exists. The name's deletion is on the disk when
    the directory is synced, which SQLite does with the first sync of each log that it opens.
    """

    def __init__(self) -> None:
        self._files: dict[str, _File] = {}
        self._syncs: dict[int, int] = {}

    def take(self, step: Step) -> None:
        """Apply the next step."""
        file = self._files.setdefault(step.path, _File())
        if step.kind is Kind.OPEN:
            file.syncs_directory = bool(step.number)
            if file.content is None and not file.pending:
                file.content = bytearray()
        elif step.kind is Kind.SYNC:
            self._syncs[step.number] = file.done + len(file.pending)
        elif step.kind is Kind.SYNCED:
            file.sync_first(self._syncs.pop(step.number))
            if file.syncs_directory:
                self._sync_directory()
                file.syncs_directory = False
        else:
            file.pending.append(step)
            if step.kind is Kind.DELETE and step.number:
                self._sync_directory()

    def _sync_directory(self) -> None:
        for file in self._files.values():
            file.sync_deletion()

    def cut(self, rng: random.Random, kept: float) -> dict[str, bytes]:
        """Return each file as it may be after a power loss at this time.

        Each step that was not synced is kept with probability `kept`, independently of the steps
        before it. Some of the kept writes are torn.
        """
        found = {}
        for path, file in self._files.items():
            content = None if file.content is None else bytearray(file.content)
            for step in file.pending:
                if rng.random() < kept:
                    whole = kept == 1 or rng.random() < 0.5
                    for piece in [step] if whole else _torn(step, rng):
                        content = _changed(content, piece)
            if content is not None:
                found[path] = bytes(content)
        return found


def _torn(step: Step, rng: random.Random) -> Iterator[Step]:
    """Yield some of the sectors of a write; a disk does all other steps atomically."""
    if step.kind is not Kind.WRITE:
        yield step
        return
    start, end = step.number, step.number + len(step.content)
    while start < end:
        until = min((start // _SECTOR_BYTES + 1) * _SECTOR_BYTES, end)
        if rng.random() < 0.5:
            content = step.content[start - step.number : until - step.number]
            yield step._replace(number=start, content=content)
        start = until


def _changed(content: bytearray | None, step: Step) -> bytearray | None:
    if step.kind is Kind.DELETE:
        return None
    content = bytearray() if content is None else content
    if step.kind is Kind.TRUNCATE:
        del content[step.number :]
        content.extend(bytes(step.number - len(content)))
    else:
        # A hole before the write reads as zeros.
        content.extend(bytes(max(step.number - len(content), 0)))
        content[step.number : step.number + len(step.content)] = step.content
    return content

"""Run the server and record what SQLite does to files: `python -m tests.power.recorder FILE`.

SQLite calls the operating system through a table of functions, its VFS. This module replaces the
functions of the default VFS that open, write, sync, truncate and delete, for the whole process.
The index of the log (`-shm`) is not recorded: it is shared memory, which a power loss clears.
"""

from __future__ import annotations

import _sqlite3
import ctypes
import os
import sys
import threading
import time
from ctypes import CFUNCTYPE, POINTER, Structure, c_char_p, c_int, c_int64, c_void_p
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from queueserver.cli import main
from tests.power.recording import Kind, packed

_SYNC_SECONDS = 0.001
"""Delay added to each sync: a server that answers before its sync ends is then noticed."""

_OK = 0
_CREATE = 0x4
_LOGS = 0x800 | 0x4000 | 0x80000
"""SQLite's flags for a rollback journal, a super-journal and a write-ahead log."""

# A path must stay the pointer that SQLite passed: SQLite uses it as long as the file is open.
_OPEN = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, c_void_p)
_DELETE = CFUNCTYPE(c_int, c_void_p, c_char_p, c_int)
_WRITE = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)
_TRUNCATE = CFUNCTYPE(c_int, c_void_p, c_int64)
_SYNC = CFUNCTYPE(c_int, c_void_p, c_int)


class _Vfs(Structure):
    _fields_ = [
        ("iVersion", c_int),
        ("szOsFile", c_int),
        ("mxPathname", c_int),
        ("pNext", c_void_p),
        ("zName", c_char_p),
        ("pAppData", c_void_p),
        ("xOpen", _OPEN),
        ("xDelete", _DELETE),
    ]


class _Methods(Structure):
    _fields_ = [
        ("iVersion", c_int),
        ("xClose", c_void_p),
        ("xRead", c_void_p),
        ("xWrite", _WRITE),
        ("xTruncate", _TRUNCATE),
        ("xSync", _SYNC),
        # Version 3 has so many more functions, which are not replaced.
        ("others", c_void_p * 13),
    ]


if TYPE_CHECKING:
    _Pointer: TypeAlias = ctypes._Pointer[_Methods]


class _File(Structure):
    _fields_ = [("pMethods", POINTER(_Methods))]


def library() -> ctypes.CDLL:
    """Return the SQLite library that Python uses.

    Raises:
        AttributeError: SQLite is linked into Python without its symbols.
    """
    found = ctypes.CDLL(_sqlite3.__file__)
    found.sqlite3_vfs_find.restype = POINTER(_Vfs)
    return found


class Recorder:
    """Records the steps done to files, in order; a sync has one at its begin and one at its end.

    It replaces functions of the default VFS when it is constructed.
    """

    def __init__(self, recording: Path) -> None:
        self._record = os.open(recording, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._lock = threading.RLock()
        self._paths: dict[int, str] = {}
        self._syncs = 0
        self._wrapped: dict[int, _Methods] = {}
        vfs = library().sqlite3_vfs_find(None).contents
        # SQLite calls these as long as the process runs: Python must not free them.
        self._referenced: list[object] = [vfs]
        self._open, self._delete = (
            _OPEN(ctypes.cast(vfs.xOpen, c_void_p).value or 0),
            _DELETE(ctypes.cast(vfs.xDelete, c_void_p).value or 0),
        )
        vfs.xOpen, vfs.xDelete = _OPEN(self._open_file), _DELETE(self._delete_file)
        self._referenced += [vfs.xOpen, vfs.xDelete]

    def _append(self, kind: Kind, path: str, number: int = 0, content: bytes = b"") -> None:
        """Append a step to the recording."""
        os.write(self._record, packed(kind, path, number, content))

    def _open_file(self, vfs: int, path: int | None, file: int, flags: int, out: int | None) -> int:
        status = self._open(vfs, path, file, flags, out)
        if status == _OK and path is not None:
            with self._lock:
                self._paths[file] = os.fsdecode(ctypes.string_at(path))
                self._append(Kind.OPEN, self._paths[file], bool(flags & _LOGS and flags & _CREATE))
                opened = ctypes.cast(file, POINTER(_File)).contents
                opened.pMethods = ctypes.pointer(self._wrap(opened.pMethods))
        return int(status)

    def _delete_file(self, vfs: int, path: bytes, is_synced: int) -> int:
        with self._lock:
            status = self._delete(vfs, path, is_synced)
            if status == _OK:
                self._append(Kind.DELETE, os.fsdecode(path), is_synced)
        return int(status)

    def _wrap(self, methods: _Pointer) -> _Methods:
        """Return a copy of a file's table of functions, with some of them replaced."""
        address = ctypes.addressof(methods.contents)
        if address not in self._wrapped:
            original = methods.contents
            copy = _Methods.from_buffer_copy(original)

            def write(file: int, content: int, length: int, offset: int) -> int:
                with self._lock:
                    self._append(
                        Kind.WRITE, self._paths[file], offset, ctypes.string_at(content, length)
                    )
                    return int(original.xWrite(file, content, length, offset))

            def truncate(file: int, size: int) -> int:
                with self._lock:
                    self._append(Kind.TRUNCATE, self._paths[file], size)
                    return int(original.xTruncate(file, size))

            def sync(file: int, flags: int) -> int:
                path = self._paths[file]
                with self._lock:
                    self._syncs += 1
                    number = self._syncs
                    self._append(Kind.SYNC, path, number)
                status = int(original.xSync(file, flags))
                time.sleep(_SYNC_SECONDS)
                if status == _OK:
                    with self._lock:
                        self._append(Kind.SYNCED, path, number)
                return status

            copy.xWrite, copy.xTruncate, copy.xSync = (
                _WRITE(write),
                _TRUNCATE(truncate),
                _SYNC(sync),
            )
            self._referenced += [original, copy.xWrite, copy.xTruncate, copy.xSync]
            self._wrapped[address] = copy
        return self._wrapped[address]


if __name__ == "__main__":
    recorder = Recorder(Path(sys.argv.pop(1)))
    sys.exit(main())

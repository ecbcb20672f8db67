"""The server, with all that SQLite does to files recorded: `python -m tests.power.recorder FILE`.

SQLite reaches the system through a table of functions, its VFS. Those of the default one that
write, sync, truncate and delete are wrapped here, for the whole process. What goes through no
function is the index of the log (`-shm`), which is memory and does not outlive its machine.
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
"""How much longer a sync takes: who answers before it is over is then seen to do so."""

_OK = 0
_CREATE = 0x4
_LOGS = 0x800 | 0x4000 | 0x80000
"""What SQLite calls a rollback journal, a super-journal and a write-ahead log."""

# A path is passed on as the very pointer that it came as: SQLite keeps it as long as the file.
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
        # Version 3 has so many more functions, which stay what they are.
        ("others", c_void_p * 13),
    ]


if TYPE_CHECKING:
    _Pointer: TypeAlias = ctypes._Pointer[_Methods]


class _File(Structure):
    _fields_ = [("pMethods", POINTER(_Methods))]


def library() -> ctypes.CDLL:
    """Give the SQLite that Python uses.

    Raises:
        AttributeError: it is built into Python in a way that hides its functions.
    """
    found = ctypes.CDLL(_sqlite3.__file__)
    found.sqlite3_vfs_find.restype = POINTER(_Vfs)
    return found


class Recorder:
    """Writes down what is done to files, in order; each sync when it begins and when it is over."""

    def __init__(self, recording: Path) -> None:
        self._record = os.open(recording, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._turn = threading.RLock()
        self._paths: dict[int, str] = {}
        self._syncs = 0
        self._wrapped: dict[int, _Methods] = {}
        vfs = library().sqlite3_vfs_find(None).contents
        # What Python made for SQLite must live as long as SQLite.
        self._kept: list[object] = [vfs]
        self._open, self._delete = (
            _OPEN(ctypes.cast(vfs.xOpen, c_void_p).value or 0),
            _DELETE(ctypes.cast(vfs.xDelete, c_void_p).value or 0),
        )
        vfs.xOpen, vfs.xDelete = _OPEN(self.open), _DELETE(self.delete)
        self._kept += [vfs.xOpen, vfs.xDelete]

    def _note(self, kind: Kind, path: str, number: int = 0, content: bytes = b"") -> None:
        os.write(self._record, packed(kind, path, number, content))

    def open(self, vfs: int, path: int | None, file: int, flags: int, out: int | None) -> int:
        status = self._open(vfs, path, file, flags, out)
        if status == _OK and path is not None:
            with self._turn:
                self._paths[file] = os.fsdecode(ctypes.string_at(path))
                self._note(Kind.OPEN, self._paths[file], bool(flags & _LOGS and flags & _CREATE))
                opened = ctypes.cast(file, POINTER(_File)).contents
                opened.pMethods = ctypes.pointer(self._wrap(opened.pMethods))
        return int(status)

    def delete(self, vfs: int, path: bytes, is_synced: int) -> int:
        with self._turn:
            status = self._delete(vfs, path, is_synced)
            if status == _OK:
                self._note(Kind.DELETE, os.fsdecode(path), is_synced)
        return int(status)

    def _wrap(self, methods: _Pointer) -> _Methods:
        """Copy a table of functions, with some of them replaced."""
        address = ctypes.addressof(methods.contents)
        if address not in self._wrapped:
            true = methods.contents
            copy = _Methods.from_buffer_copy(true)

            def write(file: int, content: int, length: int, offset: int) -> int:
                with self._turn:
                    self._note(
                        Kind.WRITE, self._paths[file], offset, ctypes.string_at(content, length)
                    )
                    return int(true.xWrite(file, content, length, offset))

            def truncate(file: int, size: int) -> int:
                with self._turn:
                    self._note(Kind.TRUNCATE, self._paths[file], size)
                    return int(true.xTruncate(file, size))

            def sync(file: int, flags: int) -> int:
                path = self._paths[file]
                with self._turn:
                    self._syncs += 1
                    number = self._syncs
                    self._note(Kind.SYNC, path, number)
                status = int(true.xSync(file, flags))
                time.sleep(_SYNC_SECONDS)
                if status == _OK:
                    with self._turn:
                        self._note(Kind.SYNCED, path, number)
                return status

            copy.xWrite, copy.xTruncate, copy.xSync = (
                _WRITE(write),
                _TRUNCATE(truncate),
                _SYNC(sync),
            )
            self._kept += [true, copy.xWrite, copy.xTruncate, copy.xSync]
            self._wrapped[address] = copy
        return self._wrapped[address]


if __name__ == "__main__":
    recorder = Recorder(Path(sys.argv.pop(1)))
    sys.exit(main())

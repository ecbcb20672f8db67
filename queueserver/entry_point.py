"""Start the command `queueserver` with the packages `protocol` and `storage` of this server.

The wheel has one top-level name: the two packages lie inside `queueserver`, where no other project
meets them. Only the process that runs the command can import them. Importing this module changes
nothing in the importing process. The server has no library interface: run it as a process.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

_HERE = Path(__file__).parent
_NAMES = ("protocol", "storage")
_FOLDERS = (str(_HERE / "_packages"), str(_HERE.parent))
"""The folders of the two packages: in the wheel, else in the source, beside `queueserver`."""


class OwnPackages:
    """Find `protocol` and `storage` in this server's folders, and nothing else.

    This finder goes first on `sys.meta_path`. A folder that goes first on `sys.path` is not enough:
    import hooks and editable installs of other projects may add finders that are asked before
    `sys.path` is searched.
    """

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where a module of the two packages is, None for every other module."""
        if name.partition(".")[0] not in _NAMES:
            return None
        return PathFinder.find_spec(name, _FOLDERS if path is None else path, target)


def main() -> int:
    """Run the command line; return the exit status."""
    from queueserver import reload_signal, standard_streams, stop_signals

    stop_signals.block()
    reload_signal.block()
    try:
        standard_streams.open_missing()
        _remove_foreign_packages()
        sys.meta_path.insert(0, OwnPackages())
        from queueserver.cli import main as run

        return run()
    finally:
        # The process is ending: another signal must not change its status.
        stop_signals.block()


def _remove_foreign_packages() -> None:
    """Remove modules of these names that a sitecustomize or a .pth file has imported already."""
    for name in list(sys.modules):
        if name.partition(".")[0] in _NAMES:
            del sys.modules[name]

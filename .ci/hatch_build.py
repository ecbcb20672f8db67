"""Build a wheel with one top-level name: `queueserver`, with `protocol` and `storage` inside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class NestedPackages(BuildHookInterface[Any]):
    """Add `protocol` and `storage` where `queueserver/entry_point.py` looks for them."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the packages to the wheel; an editable install imports them from the source tree."""
        if version == "standard":
            for name in ("protocol", "storage"):
                for path in Path(self.root, name).rglob("*"):
                    if path.suffix == ".py" or path.name == "py.typed":
                        source = path.relative_to(self.root).as_posix()
                        build_data["force_include"][source] = f"queueserver/_packages/{source}"

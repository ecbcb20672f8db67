"""Build a wheel with one top-level name: `queueserver`, with `protocol` and `storage` inside."""

from __future__ import annotations

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class NestedPackages(BuildHookInterface[Any]):
    """Add `protocol` and `storage` where `queueserver/entry_point.py` looks for them."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the packages to the wheel; an editable install imports them from the source tree."""
        if version == "standard":
            for name in ("protocol", "storage"):
                build_data["force_include"][name] = f"queueserver/_packages/{name}"

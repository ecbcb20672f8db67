"""One target under atheris, in a process of its own, which ends with it: libFuzzer has it so."""

from __future__ import annotations

import sys

import atheris


def main() -> None:
    """Run the target that is named first, with libFuzzer's own options after it."""
    with atheris.instrument_imports(include=["protocol", "queueserver", "storage"]):
        from tests.fuzz.targets import TARGETS
    name = sys.argv.pop(1)
    make, _ = TARGETS[name]
    atheris.Setup(sys.argv, make())
    atheris.Fuzz()


if __name__ == "__main__":
    main()

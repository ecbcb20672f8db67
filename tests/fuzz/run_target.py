"""Run one fuzz target under atheris, in its own process: libFuzzer ends the process after the run.

`python -m tests.fuzz.run_target TARGET FILE` runs the target once, on the input in a file.
"""

from __future__ import annotations

import sys

import atheris


def main() -> None:
    """Run the target named by the first argument; the other arguments are libFuzzer's options."""
    with atheris.instrument_imports(include=["protocol", "queueserver", "storage"]):
        from tests.fuzz.targets import TARGETS
    name = sys.argv.pop(1)
    make_target, _ = TARGETS[name]
    atheris.Setup(sys.argv, make_target())
    atheris.Fuzz()


if __name__ == "__main__":
    main()

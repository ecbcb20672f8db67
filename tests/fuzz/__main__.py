"""Fuzz the server, guided by code coverage: `python -m tests.fuzz --minutes 10`.

Needs atheris (`pip install '.[fuzz]'`). Each target runs in its own process until its time is over
or it finds a failure: an error that is the server's fault, an invalid response or a timeout. Inputs
that reach new code are saved in a directory, and the next run continues from them. An input that
fails is saved in a file: `python -m tests.fuzz.run_target TARGET FILE` repeats it.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.fuzz.targets import TARGETS, dictionary_words

INPUT_TIMEOUT_SECONDS = 20
"""Timeout of one input; the slowest takes a fraction of it on an idle machine."""
MAXIMUM_INPUT_BYTES = 16_384
_RUNS = re.compile(r"^stat::number_of_executed_units: (\d+)$", re.MULTILINE)
_COVERAGE = re.compile(r"cov: (\d+)")


def main() -> int:
    """Run the targets named on the command line; return 1 if one of them fails, else 0."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"one of {', '.join(TARGETS)}")
    parser.add_argument("--minutes", type=float, default=10, help="run time of each target")
    parser.add_argument("--at-once", type=int, default=1, help="number of targets in parallel")
    parser.add_argument(
        "--directory", type=Path, default=Path(".fuzz"), help="directory of saved inputs"
    )
    arguments = parser.parse_args()
    targets = arguments.targets or list(TARGETS)
    if unknown := set(targets) - set(TARGETS):
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    if importlib.util.find_spec("atheris") is None:
        parser.error("atheris is not installed: pip install '.[fuzz]'")
    arguments.directory.mkdir(exist_ok=True)
    write_dictionary(arguments.directory / "dictionary")
    has_passed = True
    for first in range(0, len(targets), arguments.at_once):
        batch = targets[first : first + arguments.at_once]
        started = [
            (name, start_target(name, arguments.directory, arguments.minutes)) for name in batch
        ]
        for name, process in started:
            has_passed = wait_for_target(name, arguments.directory, process) and has_passed
    return 0 if has_passed else 1


def write_dictionary(path: Path) -> None:
    """Write the words from which libFuzzer builds inputs, in the format of its dictionaries."""
    lines = ["".join(f"\\x{byte:02x}" for byte in word) for word in dictionary_words() if word]
    path.write_text("".join(f'"{line}"\n' for line in lines))


def start_target(name: str, directory: Path, minutes: float) -> subprocess.Popen[bytes]:
    """Start a target on its seed inputs, and on the inputs that earlier runs saved."""
    corpus = directory / name
    corpus.mkdir(exist_ok=True)
    for number, seed in enumerate(TARGETS[name][1]()):
        (corpus / f"seed-{number}").write_bytes(seed)
    options = [
        f"-dict={directory / 'dictionary'}",
        f"-artifact_prefix={directory / name}-",
        f"-max_total_time={round(minutes * 60)}",
        f"-timeout={INPUT_TIMEOUT_SECONDS}",
        f"-max_len={MAXIMUM_INPUT_BYTES}",
        "-print_final_stats=1",
        str(corpus),
    ]
    with (directory / f"{name}.log").open("wb") as log:
        return subprocess.Popen(command(name, *options), stdout=log, stderr=log)


def command(name: str, *options: str) -> Sequence[str]:
    """Return the command that runs a target, at the lowest priority."""
    return ["nice", "-n", "19", sys.executable, "-m", "tests.fuzz.run_target", name, *options]


def wait_for_target(name: str, directory: Path, process: subprocess.Popen[bytes]) -> bool:
    """Wait for the end of a target, print its result, and return whether it found no failure."""
    status = process.wait()
    log = (directory / f"{name}.log").read_text(errors="replace")
    runs = _RUNS.findall(log)
    coverage = _COVERAGE.findall(log)
    result = "passed" if status == 0 else f"FAILED: see {directory / name}.log"
    line = f"{name}: {(runs or ['?'])[-1]} runs, coverage {(coverage or ['?'])[-1]}: {result}"
    sys.stdout.write(f"{line}{os.linesep}")
    sys.stdout.flush()
    return status == 0


if __name__ == "__main__":
    sys.exit(main())

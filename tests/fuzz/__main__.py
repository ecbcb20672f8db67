"""`python -m tests.fuzz --minutes 10`: send anything, and be led by what the code does with it.

Needs atheris (`pip install '.[fuzz]'`). Every target runs in a process of its own, for so long or
until it finds something: an error that is no refusal, an answer that cannot be read, or a hang.
What reached something new is kept in a directory, and the next run goes on from there. What was
found is there, too, in a file: `python -m tests.fuzz.guided TARGET FILE` tries it again.
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

from tests.fuzz.targets import TARGETS, words

HANG_SECONDS = 20
"""How long an input may take: many times what it does, as the machine may be busy."""
LONGEST_BYTES = 16_384
_RUNS = re.compile(r"^stat::number_of_executed_units: (\d+)$", re.MULTILINE)
_COVERAGE = re.compile(r"cov: (\d+)")


def main() -> int:
    """Run as asked; the status is 1 if anything was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}")
    parser.add_argument("--minutes", type=float, default=10, help="how long each target runs")
    parser.add_argument("--at-once", type=int, default=1, help="how many run beside each other")
    parser.add_argument("--directory", type=Path, default=Path(".fuzz"), help="what is kept")
    arguments = parser.parse_args()
    targets = arguments.targets or list(TARGETS)
    if unknown := set(targets) - set(TARGETS):
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    if importlib.util.find_spec("atheris") is None:
        parser.error("atheris is not installed: pip install '.[fuzz]'")
    arguments.directory.mkdir(exist_ok=True)
    write_words(arguments.directory / "words")
    is_clean = True
    for first in range(0, len(targets), arguments.at_once):
        some = targets[first : first + arguments.at_once]
        started = [(name, start(name, arguments.directory, arguments.minutes)) for name in some]
        for name, process in started:
            is_clean = end(name, arguments.directory, process) and is_clean
    return 0 if is_clean else 1


def write_words(path: Path) -> None:
    """Write what inputs are put together from, as libFuzzer reads it."""
    lines = ["".join(f"\\x{byte:02x}" for byte in word) for word in words() if word]
    path.write_text("".join(f'"{line}"\n' for line in lines))


def start(name: str, directory: Path, minutes: float) -> subprocess.Popen[bytes]:
    """Start a target on what was kept of it, or on its first inputs."""
    corpus = directory / name
    corpus.mkdir(exist_ok=True)
    for number, seed in enumerate(TARGETS[name][1]()):
        (corpus / f"seed-{number}").write_bytes(seed)
    options = [
        f"-dict={directory / 'words'}",
        f"-artifact_prefix={directory / name}-",
        f"-max_total_time={round(minutes * 60)}",
        f"-timeout={HANG_SECONDS}",
        f"-max_len={LONGEST_BYTES}",
        "-print_final_stats=1",
        str(corpus),
    ]
    with (directory / f"{name}.log").open("wb") as log:
        return subprocess.Popen(command(name, *options), stdout=log, stderr=log)


def command(name: str, *options: str) -> Sequence[str]:
    """Give the command that runs a target, as nice as can be."""
    return ["nice", "-n", "19", sys.executable, "-m", "tests.fuzz.guided", name, *options]


def end(name: str, directory: Path, process: subprocess.Popen[bytes]) -> bool:
    """Wait for a target, and say what came of it; tell if it found nothing."""
    status = process.wait()
    log = (directory / f"{name}.log").read_text(errors="replace")
    runs = _RUNS.findall(log)
    coverage = _COVERAGE.findall(log)
    verdict = "nothing found" if status == 0 else f"FOUND SOMETHING: see {directory / name}.log"
    line = f"{name}: {(runs or ['?'])[-1]} runs, coverage {(coverage or ['?'])[-1]}: {verdict}"
    sys.stdout.write(f"{line}{os.linesep}")
    sys.stdout.flush()
    return status == 0


if __name__ == "__main__":
    sys.exit(main())

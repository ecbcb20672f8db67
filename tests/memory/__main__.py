"""Attack the memory of a server, and print how much it grows: `python -m tests.memory`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.memory.attacks import ATTACKS, MIB, measure


def main() -> int:
    """Run all attacks; the exit status is 1 if one made a server grow beyond its limit."""
    argparse.ArgumentParser(
        prog="python -m tests.memory", description="Attack the memory of a server."
    ).parse_args()
    failed = False
    for name, attack in ATTACKS.items():
        with tempfile.TemporaryDirectory(prefix="queueserver-memory-") as made:
            growth = measure(attack, Path(made))
        failed |= growth.bytes > attack.most_mib * MIB
        before, peak, after = (value / MIB for value in growth[:3])
        sys.stdout.write(
            f"{name:32} before {before:5.0f} MiB, peak {peak:5.0f} MiB, after {after:5.0f} MiB, "
            f"limit +{attack.most_mib} MiB, accepted {growth.accepted}, "
            f"rejected {growth.rejected}\n"
        )
        sys.stdout.flush()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

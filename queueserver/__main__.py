"""Run the command `queueserver` as `python -m queueserver`."""

from __future__ import annotations

import sys

from queueserver.cli import main

sys.exit(main())

"""`python -m queueserver` is the command `queueserver`."""

from __future__ import annotations

import sys

from queueserver.cli import main

sys.exit(main())

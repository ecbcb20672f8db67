"""Run the command `queueserver` as `python -m queueserver`."""

import sys

# `-m` searches the working folder first, where a user's queue.py would hide the standard library's.
if not sys.flags.safe_path:
    sys.path.append(sys.path.pop(0))

from queueserver.entry_point import main

sys.exit(main())

"""Run the command `queueserver` as `python -m queueserver`."""

import sys

# `-m` searches the working folder first, where a user's queue.py would replace the standard
# library's, and a user's brotli.py or aiodns.py would be imported by aiohttp.
if not sys.flags.safe_path:
    del sys.path[0]

from queueserver.entry_point import main

sys.exit(main())

"""The scenario of all signers by boto3, with the release of boto3 that this environment has."""

from __future__ import annotations

import runpy
from pathlib import Path

if __name__ == "__main__":
    scenario = Path(__file__).parents[1] / "boto3_current" / "signer.py"
    runpy.run_path(str(scenario), run_name="__main__")

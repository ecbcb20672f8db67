"""The scenario of all signers by Terraform: a queue that it creates, and lists that it cannot read.

The arguments begin with the path of Terraform, and the directory of the configurations.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, TypeAlias

Events: TypeAlias = list[dict[str, Any]]

_REJECTION = re.compile(r"api error (\w+):")


class Terraform:
    """Runs Terraform with a provider whose requests go to one server."""

    def __init__(self, program: str, endpoint: str, given: str) -> None:
        case = json.loads(given)
        self._program = program
        self._environment = {
            **os.environ,
            "CHECKPOINT_DISABLE": "1",
            "GOGC": "400",  # the start of the provider takes a third less of CPU time
            "TF_CLI_CONFIG_FILE": os.devnull,
            "TF_VAR_endpoint": endpoint,
            "TF_VAR_name": case["name"],
            "TF_VAR_pairs": json.dumps(case["pairs"]),
        }

    def start(self, configuration: Path, *words: str) -> subprocess.Popen[str]:
        """Start a command on a configuration."""
        return subprocess.Popen(
            [self._program, f"-chdir={configuration}", *words, "-input=false", "-json"],
            env=self._environment,
            stdout=subprocess.PIPE,
            text=True,
        )


def events(process: subprocess.Popen[str]) -> Events:
    """Wait for the end of a command, and return the events that it has printed."""
    printed, _ = process.communicate()
    return [json.loads(line) for line in printed.splitlines()]


def outputs(found: Events) -> dict[str, Any]:
    """Return the values that a command has printed last."""
    event = found[-1]
    assert event["type"] == "outputs", found
    return {name: output["value"] for name, output in event["outputs"].items()}


def rejections(found: Events) -> dict[str, str]:
    """Return the codes of errors, by the names of the data sources that could not be read."""
    codes = {}
    for event in found:
        if event["type"] == "diagnostic":
            diagnostic = event["diagnostic"]
            code = _REJECTION.search(diagnostic["summary"] + diagnostic["detail"])
            name = diagnostic.get("address", "").rpartition(".")[2].replace("_", " ")
            codes[name] = code[1] if code else diagnostic["summary"]
    return codes


def main(program: str, configurations: str, endpoint: str, given: str) -> None:
    terraform = Terraform(program, endpoint, given)
    state = Path("terraform.tfstate").absolute()
    # The provider reads the attributes of a new queue for 25 s, until it believes that they stay.
    applying = terraform.start(
        Path(configurations, "queue"), "apply", "-auto-approve", f"-state={state}"
    )
    planning = terraform.start(Path(configurations, "rejections"), "plan")
    facts = {**rejections(events(planning)), "queue": outputs(events(applying))}
    json.dump(facts, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])

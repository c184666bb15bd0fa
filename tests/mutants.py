"""Change the code on purpose, once for each mutant, and count which changes a fast test or mypy notices.

`make mutants MODULES="gateway/uploads gateway/auth/tickets.py"` narrows it; [tool.mutmut] of pyproject.toml says what
can be changed and which tests run. The program mutmut makes the mutants and runs the tests.
"""

from __future__ import annotations

import json
import subprocess
import sys

OF_MUTMUT = frozenset({"unused-ignore", "ignore-without-code", "no-redef"})
"""Errors in the code that mutmut adds around each function, not in a mutant."""


def print_type_errors() -> None:
    """Check the mutants' types as `make check` does the code's, for mutmut to read."""
    command = [sys.executable, "-m", "mypy", "--strict", "gateway", "--output", "json"]
    for line in subprocess.run(command, capture_output=True, text=True).stdout.splitlines():
        if json.loads(line)["code"] not in OF_MUTMUT:
            print(line)


if __name__ == "__main__":
    print_type_errors()

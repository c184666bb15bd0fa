"""Change the code on purpose, one change at a time, and count the changes that a fast test or mypy notices.

Run by `make mutants`; CONTRIBUTING.md says how to read the table. mutmut makes the changes (the mutants) and runs the
tests; [tool.mutmut] in pyproject.toml names the modules and the tests.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

FOLDER = Path("mutants")
"""mutmut's own folder: a copy of the code with every mutant, and the results."""

OF_MUTMUT = frozenset({"unused-ignore", "ignore-without-code", "no-redef"})
"""mypy's errors in the code that mutmut adds around each function; they are in no mutant."""

KILLED, BY_TYPES, NO_TEST, SURVIVED = "killed", "by types", "no test", "survived"
WORDS = "words"
"""A survivor that changes only a sentence or a line of the log: its meaning is tested, not each of its letters."""

COLUMNS = (KILLED, BY_TYPES, WORDS, SURVIVED, NO_TEST)
_STATUS = {0: SURVIVED, 1: KILLED, 3: KILLED, 5: NO_TEST, 33: NO_TEST, 37: BY_TYPES}
_ENDED_BY_TIME = frozenset({24, -24, 36, 152, 255})
_SENTENCE = re.compile(r"""[fr]?"[^"]* [^"]*"|[fr]?'[^']* [^']*'""")


def print_type_errors() -> None:
    """Check the types of all mutants as `make check` does the code's, for mutmut to read."""
    command = [sys.executable, "-m", "mypy", "--strict", "gateway", "--output", "json"]
    for line in subprocess.run(command, capture_output=True, text=True).stdout.splitlines():
        if line.strip() and json.loads(line)["code"] not in OF_MUTMUT:
            print(line)


class Module:
    """The results of one module, and the text of its mutants."""

    def __init__(self, results: Path) -> None:
        self.path = results.with_suffix("").relative_to(FOLDER)
        self.codes: dict[str, int | None] = json.loads(results.read_text())["exit_code_by_key"]
        source = results.with_suffix("").read_text()
        lines = source.splitlines()
        self._functions = {
            node.name: lines[node.lineno : node.end_lineno]
            for node in ast.walk(ast.parse(source))
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        }

    def change(self, mutant: str) -> list[str]:
        """Give the lines that a mutant takes away (-) and adds (+)."""
        name = mutant.rpartition(".")[2]
        original = self._functions[re.sub(r"__mutmut_\d+$", "__mutmut_orig", name)]
        lines = difflib.unified_diff(original, self._functions[name], n=0, lineterm="")
        return [line[0] + line[1:].strip() for line in lines if not line.startswith(("---", "+++", "@@"))]

    def status(self, mutant: str) -> str:
        """Give the column of a mutant."""
        code = self.codes[mutant]
        if code in _ENDED_BY_TIME:
            return KILLED
        status = _STATUS.get(code, "not run") if code is not None else "not run"
        return WORDS if status == SURVIVED and _only_words(self.change(mutant)) else status


def _only_words(change: list[str]) -> bool:
    """Say whether a change is one of a sentence alone, or lies in a call of the logger."""
    before, after = ([line[1:] for line in change if line[0] == sign] for sign in "-+")
    plain = [_SENTENCE.sub("…", " ".join(lines)) for lines in (before, after)]
    return plain[0] == plain[1] or any(line.startswith("logger.") for line in before)


def run(modules: list[str]) -> None:
    """Make all mutants, and run the tests on those of the modules asked for."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    patterns = [f"{name.removesuffix('.py').strip('/').replace('/', '.')}*" for name in modules]
    subprocess.run(["mutmut", "run", "--max-children", "1", *patterns], check=True, env=environment)


def results(modules: list[str]) -> Iterator[Module]:
    """Give the modules that were run."""
    for path in sorted(FOLDER.glob("gateway/**/*.meta")):
        module = Module(path)
        if module.codes and (not modules or str(module.path).startswith(tuple(modules))):
            yield module


def report(modules: list[str]) -> None:
    """Print each survivor, then the table."""
    total: Counter[str] = Counter()
    rows = []
    for module in results(modules):
        counted = Counter(module.status(mutant) for mutant in module.codes)
        rows.append((str(module.path), counted))
        total += counted
        for mutant in module.codes:
            if module.status(mutant) in (SURVIVED, NO_TEST, "not run"):
                print(f"{module.status(mutant)}: {mutant}", *module.change(mutant), sep="\n  ")
    print(f"\n{'module':40}" + "".join(f"{name:>10}" for name in ("mutants", *COLUMNS)))
    for name, counted in [*rows, ("all", total)]:
        print(f"{name:40}" + "".join(f"{count:10}" for count in (counted.total(), *(counted[one] for one in COLUMNS))))


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", help="paths of modules or folders; none: all")
    parser.add_argument("--report", action="store_true", help="print the results of the last run again")
    parser.add_argument("--check-types", action="store_true", help="for mutmut: print what mypy finds in the mutants")
    asked = parser.parse_args()
    if asked.check_types:
        print_type_errors()
        return
    if not asked.report:
        run(asked.modules)
    report(asked.modules)


if __name__ == "__main__":
    main()

"""Find every regular expression of the package, and write what is worst for each from its own structure."""

from __future__ import annotations

import ast
import importlib
import json
import re
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from re import _compiler, _parser  # type: ignore[attr-defined]  # there is no public way to an expression's structure
from re import _constants as sre  # type: ignore[attr-defined]  # as above
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "gateway"
METHODS = frozenset({"match", "fullmatch", "search", "sub", "split", "findall", "finditer"})
JAVASCRIPT = re.compile(
    r"(?:^|[(,=:\[!&|?{;]|return)\s*/((?![*/])(?:[^\\/\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+)/([a-z]*)", re.MULTILINE
)
SIZE = 1 << 20
ENDS = ("", "\x00\n")
"""Of a class that has one of the two, the other breaks it off; of one that has both, the end of the text."""
REPEATS = (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT)
CLASSES = (sre.IN, sre.NOT_LITERAL, sre.ANY)
Pick = Callable[[list[str]], str]


@dataclass(frozen=True)
class Found:
    """One expression: where it is, what it says, and how it is used; no method: pydantic's engine matches it."""

    place: str
    pattern: str | bytes
    flags: int
    methods: tuple[str, ...]

    def __str__(self) -> str:
        return self.place


def every_regex() -> list[Found]:
    """Find them all, in Python and in what is sent to browsers."""
    found = [regex for path in sorted(PACKAGE.rglob("*.py")) for regex in _in_python(path)]
    return found + [regex for path in sorted(PACKAGE.rglob("*.js")) for regex in _in_javascript(path)]


def _in_python(path: Path) -> Iterator[Found]:
    tree = ast.parse(path.read_text())
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        place = f"{name}:{node.lineno}"
        if isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) == "re" and node.func.attr != "escape":
            flags = [arg for arg in node.args[1:] if "re." in ast.unparse(arg)]
            flags += [keyword.value for keyword in node.keywords if keyword.arg == "flags"]
            compiled = ast.unparse(ast.Call(ast.parse("re.compile", mode="eval").body, [node.args[0], *flags], []))
            pattern: re.Pattern[Any] = _evaluate(name, compiled)
            yield Found(place, pattern.pattern, pattern.flags, _methods(tree, parents, node))
        for keyword in node.keywords:
            if keyword.arg in ("pattern", "regex"):
                yield Found(place, _evaluate(name, ast.unparse(keyword.value)), 0, ())


def _evaluate(module: str, expression: str) -> Any:
    """Read an expression as its module does; one inside a function, where names are others, belongs on top."""
    return eval(expression, {**vars(importlib.import_module(module)), "re": re})


def _methods(tree: ast.Module, parents: dict[ast.AST, ast.AST], node: ast.Call) -> tuple[str, ...]:
    """Name the methods that a pattern is used by; all where that cannot be seen."""
    assert isinstance(node.func, ast.Attribute)
    if node.func.attr in METHODS:
        return (node.func.attr,)
    parent = parents[node]
    if isinstance(parent, ast.Attribute):
        return (parent.attr,)
    if not (isinstance(parent, ast.Assign) and isinstance(parent.targets[0], ast.Name)):
        return tuple(sorted(METHODS))
    made = parent.targets[0]
    uses = [use for use in ast.walk(tree) if isinstance(use, ast.Name) and use.id == made.id and use is not made]
    called = {getattr(parents[use], "attr", "") for use in uses}
    return tuple(sorted(called if called and called <= METHODS else METHODS))


def _in_javascript(path: Path) -> Iterator[Found]:
    text = path.read_text()
    for match in JAVASCRIPT.finditer(text):
        place = f"{path.name}:{text.count(chr(10), 0, match.start(1)) + 1}"
        # What is used here means the same in Python, whose engine goes back in the same way.
        yield Found(place, match[1].replace("\\/", "/"), re.IGNORECASE if "i" in match[2] else 0, ("search", "sub"))


def worst(pattern: str | bytes, flags: int) -> set[tuple[str, str, str]]:
    """Give beginning, unit and end of texts that nearly match, or do again and again; none where nothing repeats."""
    parsed = _parser.parse(pattern, flags & ~re.UNICODE if isinstance(pattern, bytes) else flags)
    found: set[tuple[str, str]] = set()
    for pick in (_first_letter, _first_other):
        if repeated := {*_repeated(parsed, pick)}:
            found |= repeated | {("", unit) for unit in (*_pieces(parsed, pick), *_beginnings(parsed, pick))}
    return {(head, unit, end) for (head, unit), end in product(found, ENDS) if unit}


def try_out(regex: Found) -> None:
    """Use an expression as the package does on 1 MiB of each text that is worst for it; say each before it is tried."""
    use = _uses(regex)
    for head, unit, end in sorted(worst(regex.pattern, regex.flags)):
        print(repr((head, unit, end)), flush=True)
        text = head + unit * (SIZE // len(unit)) + end
        use(text.encode("latin-1") if isinstance(regex.pattern, bytes) else text)


def comes_back(regex: Found, seconds: float) -> tuple[bool, str]:
    """Try an expression out in a process of its own; say whether it ended by itself, else in what."""
    is_bytes = isinstance(regex.pattern, bytes)
    text = regex.pattern.decode("latin-1") if isinstance(regex.pattern, bytes) else regex.pattern
    task = json.dumps([regex.place, text, is_bytes, regex.flags, regex.methods])
    command = [sys.executable, "-m", "tests.regexes"]
    try:
        subprocess.run(command, input=task.encode(), stdout=subprocess.PIPE, timeout=seconds, cwd=ROOT, check=True)
    except subprocess.TimeoutExpired as error:
        return False, (error.stdout or b"").decode().splitlines()[-1]
    return True, ""


def _uses(regex: Found) -> Callable[[Any], object]:
    if not regex.methods:
        checked = TypeAdapter(Annotated[str, Field(pattern=str(regex.pattern))])
        return lambda text: _refused(checked, text)
    pattern = re.compile(regex.pattern, regex.flags)
    blank: Any = pattern.pattern[:0]
    calls: list[Callable[[Any], object]] = [
        partial(pattern.sub, blank) if name == "sub" else getattr(pattern, name) for name in regex.methods
    ]
    # An iterator has not begun to look: consumed without keeping anything.
    return lambda text: [deque(found, 0) if isinstance(found := call(text), Iterator) else None for call in calls]


def _refused(checked: TypeAdapter[str], text: str) -> None:
    with suppress(ValidationError):
        checked.validate_python(text)


def _beginnings(parsed: Any, pick: Pick) -> Iterator[str]:
    """Give everything up to each piece, of which the next one is then missing."""
    before = ""
    for operation, value in parsed:
        for part in _parts(operation, value):
            yield from (before + beginning for beginning in _beginnings(part, pick))
        before += _example(operation, value, pick)
        yield before


def _repeated(parsed: Any, pick: Pick) -> Iterator[tuple[str, str]]:
    """Give what leads to each place where the pattern repeats something, and what it repeats there."""
    before = ""
    for operation, value in parsed:
        for part in _parts(operation, value):
            if operation in REPEATS:
                yield from ((before, unit) for unit in _pieces(part, pick))
                yield before, "".join(_example(*piece, pick) for piece in part)
            yield from ((before + head, unit) for head, unit in _repeated(part, pick))
        before += _example(operation, value, pick)


def _pieces(parsed: Any, pick: Pick) -> Iterator[str]:
    """Give each class and each group by itself; of a class also two members, between which a word may end."""
    for operation, value in parsed:
        if operation in CLASSES:
            members = _members(operation, value)
            yield from (pick(members), _first_letter(members) + _first_other(members))
        for part in _parts(operation, value):
            yield "".join(_example(*piece, pick) for piece in part)
            yield from _pieces(part, pick)


def _parts(operation: Any, value: Any) -> list[Any]:
    """Give the patterns inside one piece of a pattern."""
    if operation in REPEATS:
        return [value[2]]
    if operation is sre.SUBPATTERN:
        return [value[3]]
    return value[1] if operation is sre.BRANCH else []


def _example(operation: Any, value: Any, pick: Pick) -> str:
    """Give a short text that this piece matches."""
    if operation is sre.LITERAL:
        return chr(value)
    if operation in CLASSES:
        return pick(_members(operation, value))
    times = max(1, min(value[0], 50)) if operation in REPEATS else 1
    return "".join(_example(*piece, pick) for part in _parts(operation, value)[:1] for piece in part) * times


def _first_letter(members: list[str]) -> str:
    return next((one for one in members if one.isalnum()), members[0])


def _first_other(members: list[str]) -> str:
    return next((one for one in members if not one.isalnum() and one != "_"), members[0])


def _members(operation: Any, value: Any) -> list[str]:
    """Give the characters of a class, letters first, as the engine itself sees them."""
    one = _compiler.compile(_parser.SubPattern(_parser.State(), [(operation, value)]))
    known = "ab01ABxyz" + "".join(map(chr, range(256)))
    return [character for character in known if one.fullmatch(character)] or ["\u2028"]


if __name__ == "__main__":
    place, text, is_bytes, flags, methods = json.load(sys.stdin)
    try_out(Found(place, text.encode("latin-1") if is_bytes else text, flags, tuple(methods)))

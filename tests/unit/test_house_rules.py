"""The rules of the house that no linter knows."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "gateway"
MODULES = sorted(PACKAGE.rglob("*.py"))
MOST_FUNCTION_LINES = 40
MOST_MODULE_LINES = 300

# Name and reason of each exception.
LONG_MODULES: dict[str, str] = {
    "gateway/settings.py": "one table of every knob, each with its reason; in two files one would look twice",
}
LONG_FUNCTIONS: dict[str, str] = {}

Function = ast.FunctionDef | ast.AsyncFunctionDef
# An exception to a rule, and the text after it that has to say why.
EXCEPTION = re.compile(r"#\s*(?:noqa(?::\s*[A-Z]+\d+(?:,\s*[A-Z]+\d+)*)?|type:\s*ignore(?:\[[\w, -]+\])?)(.*)")


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _functions(tree: ast.Module) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def _lines_without_docstring(node: Function) -> int:
    lines = (node.end_lineno or node.lineno) - node.lineno + 1
    first = node.body[0]
    if ast.get_docstring(node, clean=False) is not None and first.end_lineno is not None:
        lines -= first.end_lineno - first.lineno + 1
    return lines


def _public_without_docstring(body: list[ast.stmt], owner: str) -> Iterator[str]:
    for node in body:
        if not isinstance(node, (ast.ClassDef, *Function.__args__)) or node.name.startswith("_"):
            continue
        decorators = {ast.unparse(decorator) for decorator in node.decorator_list}
        if ast.get_docstring(node) is None and not decorators & {"overload", "typing.overload", "override"}:
            yield f"{owner}{node.name}"
        if isinstance(node, ast.ClassDef):
            yield from _public_without_docstring(node.body, f"{owner}{node.name}.")


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_modules_are_short(path: Path) -> None:
    """A module has at most 300 lines."""
    lines = len(path.read_text().splitlines())
    assert lines <= MOST_MODULE_LINES or _name(path) in LONG_MODULES, f"{lines} lines"


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_functions_are_short(path: Path) -> None:
    """A function has at most 40 lines, its docstring not counted."""
    long = {
        node.name: _lines_without_docstring(node)
        for node in _functions(ast.parse(path.read_text()))
        if _lines_without_docstring(node) > MOST_FUNCTION_LINES and f"{_name(path)}:{node.name}" not in LONG_FUNCTIONS
    }
    assert long == {}


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_public_names_have_docstrings(path: Path) -> None:
    """Every module with code, public class, function and method says what it is for."""
    tree = ast.parse(path.read_text())
    assert tree.body == [] or ast.get_docstring(tree), "the module has no docstring"
    assert list(_public_without_docstring(tree.body, "")) == []


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_exceptions_carry_their_reason(path: Path) -> None:
    """Whoever switches a rule off says why on the same line, or on the line above."""
    text = path.read_text()
    lines = text.splitlines()
    bare = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type != tokenize.COMMENT or not (found := EXCEPTION.match(token.string)):
            continue
        above = lines[token.start[0] - 2].strip() if token.start[0] > 1 else ""
        if not re.search(r"\w{2}", found[1]) and not above.startswith("#"):
            bare.append(f"line {token.start[0]}: {token.string}")
    assert bare == []


def test_allow_lists_hold_nothing_old() -> None:
    """An exception that is no longer needed is taken away."""
    for name in LONG_MODULES:
        assert len((ROOT / name).read_text().splitlines()) > MOST_MODULE_LINES, name
    for entry in LONG_FUNCTIONS:
        name, function = entry.split(":")
        nodes = _functions(ast.parse((ROOT / name).read_text()))
        assert any(n.name == function and _lines_without_docstring(n) > MOST_FUNCTION_LINES for n in nodes), entry

"""Check the house rules that no linter checks."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "gateway"
MODULES = sorted(PACKAGE.rglob("*.py"))
MOST_FUNCTION_LINES = 40
MOST_MODULE_LINES = 400

# Name and reason of each exception.
LONG_MODULES: dict[str, str] = {}
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


def _short_functions(path: Path, tree: ast.Module) -> Iterator[str]:
    for node in _functions(tree):
        lines = _lines_without_docstring(node)
        if lines > MOST_FUNCTION_LINES and f"{_name(path)}:{node.name}" not in LONG_FUNCTIONS:
            yield f"{node.name}: {lines} lines"


def _private_imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module is not None and node.module.startswith("gateway"):
            for alias in node.names:
                if alias.name.startswith("_") and not alias.name.startswith("__"):
                    yield f"line {node.lineno}: {node.module}.{alias.name}"


def _unexplained_exceptions(text: str) -> Iterator[str]:
    lines = text.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type != tokenize.COMMENT or not (found := EXCEPTION.match(token.string)):
            continue
        above = lines[token.start[0] - 2].strip() if token.start[0] > 1 else ""
        if not re.search(r"\w{2}", found[1]) and not above.startswith("#"):
            yield f"line {token.start[0]}: {token.string}"


def _violations(check: Callable[[Path, str, ast.Module], Iterable[str]]) -> dict[str, list[str]]:
    found = {}
    for path in MODULES:
        text = path.read_text()
        if problems := list(check(path, text, ast.parse(text))):
            found[_name(path)] = problems
    return found


def test_modules_and_functions_are_short() -> None:
    """A module has at most 400 lines, a function at most 40 without its docstring."""

    def check(path: Path, text: str, tree: ast.Module) -> Iterator[str]:
        lines = len(text.splitlines())
        if lines > MOST_MODULE_LINES and _name(path) not in LONG_MODULES:
            yield f"{lines} lines"
        yield from _short_functions(path, tree)

    assert _violations(check) == {}


def test_public_names_have_docstrings() -> None:
    """Every module with code and every public class, function and method has a docstring."""

    def check(_path: Path, _text: str, tree: ast.Module) -> Iterator[str]:
        if tree.body and not ast.get_docstring(tree):
            yield "the module has no docstring"
        yield from _public_without_docstring(tree.body, "")

    assert _violations(check) == {}


def test_exceptions_to_rules_have_a_reason() -> None:
    """A comment that disables a rule gives the reason on its line or on the line above."""
    assert _violations(lambda _path, text, _tree: _unexplained_exceptions(text)) == {}


def test_no_private_name_of_another_module_is_imported() -> None:
    """A name with a leading underscore stays in its module."""
    assert _violations(lambda _path, _text, tree: _private_imports(tree)) == {}


def test_allow_lists_hold_nothing_old() -> None:
    """The allow lists hold no exception that is no longer needed."""
    for name in LONG_MODULES:
        assert len((ROOT / name).read_text().splitlines()) > MOST_MODULE_LINES, name
    for entry in LONG_FUNCTIONS:
        name, function = entry.split(":")
        nodes = _functions(ast.parse((ROOT / name).read_text()))
        assert any(n.name == function and _lines_without_docstring(n) > MOST_FUNCTION_LINES for n in nodes), entry

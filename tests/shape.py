"""Print the shape of the code: lengths, packages, imports between packages, typed share: `make shape`.

A package here is the directory of a module under `gateway`, or `gateway` itself. An import edge is one pair of
packages of which the first imports the second.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1] / "gateway"
Function = ast.FunctionDef | ast.AsyncFunctionDef


def modules() -> dict[str, tuple[str, ast.Module]]:
    """Return package and syntax tree of every module but the migrations, by the module's dotted name."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        if "migrations" in path.parts:
            continue
        names = path.relative_to(ROOT.parent).with_suffix("").parts
        names = names[:-1] if names[-1] == "__init__" else names
        package = ".".join(path.relative_to(ROOT.parent).parent.parts)
        found[".".join(names)] = (package, ast.parse(path.read_text()))
    return found


def edges(found: dict[str, tuple[str, ast.Module]]) -> set[tuple[str, str]]:
    """Return the pairs of packages of which the first imports the second."""
    return {
        (package, found[name][0])
        for package, tree in found.values()
        for name in imported(tree, frozenset(found))
        if found[name][0] != package
    }


def imported(tree: ast.Module, known: frozenset[str]) -> Iterator[str]:
    """Yield the modules of this project that a module imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module in known:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in known else str(node.module)


def is_typed(function: Function) -> bool:
    """Return whether every argument, `self` and `cls` excepted, and the result have a type."""
    given = function.args
    arguments = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
    return function.returns is not None and all(
        argument is None or argument.annotation is not None or argument.arg in ("self", "cls") for argument in arguments
    )


def spread(lengths: list[int]) -> str:
    """Return median, 95th percentile and maximum."""
    ordered = sorted(lengths)
    return f"{ordered[len(ordered) // 2]} | {ordered[int(len(ordered) * 0.95)]} | {ordered[-1]}"


def table() -> str:
    """Return the table in Markdown."""
    found = modules()
    functions = [
        node
        for _, tree in found.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    lengths = [(node.end_lineno or node.lineno) - node.lineno + 1 for node in functions]
    sizes = [tree.body[-1].end_lineno or 0 for _, tree in found.values() if tree.body]
    pairs = edges(found)
    packages = sorted({package for package, _ in found.values()})
    rows = [
        "| | p50 | p95 | max | number |",
        "|---|---|---|---|---|",
        f"| lines of a function | {spread(lengths)} | {len(functions)} |",
        f"| lines of a module | {spread(sizes)} | {len(sizes)} |",
        "",
        "| package | modules | imports from | imported by |",
        "|---|---|---|---|",
    ]
    for package in packages:
        count = sum(1 for name, _ in found.values() if name == package)
        out = sum(1 for pair in pairs if pair[0] == package)
        back = sum(1 for pair in pairs if pair[1] == package)
        rows.append(f"| {package} | {count} | {out} | {back} |")
    typed = 100 * sum(is_typed(node) for node in functions) / len(functions)
    rows += ["", f"{len(packages)} packages, {len(pairs)} import edges, {typed:.1f} % of functions typed."]
    return "\n".join(rows)


if __name__ == "__main__":
    print(table())

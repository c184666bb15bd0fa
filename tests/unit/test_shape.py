"""The table of `make shape`."""

from __future__ import annotations

import ast

from tests import shape


def test_edges_and_types_are_counted() -> None:
    """An import of a module, of a name in it and inside a function is an edge; within one package it is none."""
    sources = {
        "gateway.a.one": "import gateway.b.two",
        "gateway.b.two": "from gateway.c import three",
        "gateway.c.three": "def f():\n    from gateway.a.one import x\n    from gateway.c.four import y",
        "gateway.c.four": "import os",
        "gateway.c": "",
    }
    found = {name: (name.rpartition(".")[0], ast.parse(text)) for name, text in sources.items()}
    found["gateway.c"] = ("gateway.c", ast.parse(""))
    assert shape.edges(found) == {
        ("gateway.a", "gateway.b"),
        ("gateway.b", "gateway.c"),
        ("gateway.c", "gateway.a"),
    }
    typed, untyped, bare = ast.parse("def f(self, a: int) -> int: ...\ndef g(a) -> int: ...\ndef h(a: int): ...").body
    assert [shape.is_typed(node) for node in (typed, untyped, bare) if isinstance(node, ast.FunctionDef)] == [
        True,
        False,
        False,
    ]

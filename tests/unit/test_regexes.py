"""G5: no regular expression of ours can be kept busy by a text of one megabyte."""

from __future__ import annotations

import re

import pytest

from tests.regexes import METHODS, PACKAGE, Found, comes_back, every_regex

pytestmark = pytest.mark.slow

HANGS_SECONDS = 150.0
"""What goes back and forth over 1 MiB takes hours, all that does not takes seconds together."""

# Nobody but whoever wrote it sends the text.
OUR_OWN_TEXT = {"/*$": "the address of the gateway, an option of the page's own author"}

EVERY = every_regex()


@pytest.mark.parametrize("regex", [regex for regex in EVERY if regex.pattern not in OUR_OWN_TEXT], ids=str)
def test_g5_an_expression_comes_back_from_the_worst_text(regex: Found) -> None:
    """Pieces of the expression itself, repeated to 1 MiB and then broken off, do not send it back and forth."""
    back, said = comes_back(regex, HANGS_SECONDS)
    assert back, f"{regex.pattern!r} hangs in {said}"


@pytest.mark.parametrize(
    ("pattern", "method"),
    [
        (r"(a+)+b", "fullmatch"),
        (r"(?:ab|a|b)*;", "match"),
        (r"[a-z]+@", "search"),
        (r"/*$", "sub"),
        (r"\b[a-z+]+://", "sub"),
        (r"<a[^>]*>", "findall"),
        (r'"(?:[^"]|"")*"$', "search"),
        (rb"(\s*,)*x", "finditer"),
    ],
)
def test_g5_an_expression_that_goes_back_and_forth_is_found(pattern: str | bytes, method: str) -> None:
    """The texts are bad enough: each well-known mistake is caught."""
    back, _ = comes_back(Found("here", pattern, 0, (method,)), 1.5)
    assert not back


def test_g5_no_expression_hides() -> None:
    """Every place where Python or JavaScript makes an expression is one that was found."""
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text()
        assert not re.search(r"^\s*(from re import|import re as|import regex)", text, re.MULTILINE), path
        made = len(re.findall(r"\bre\.(?:compile|" + "|".join(METHODS) + r")\(|\b(?:pattern|regex)=", text))
        module = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        assert made == sum(regex.place.startswith(f"{module}:") for regex in EVERY), path
    for path in PACKAGE.rglob("*.js"):
        assert "RegExp" not in path.read_text(), path
    assert len(EVERY) > 50
    assert set(OUR_OWN_TEXT) <= {regex.pattern for regex in EVERY}

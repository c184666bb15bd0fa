"""A file that ends too soon is an answer, never an exception."""

from __future__ import annotations

import pytest

from gateway.detection import inspect_bytes
from tests.unit.detection import media

pytestmark = pytest.mark.usefixtures("no_mistakes")


@pytest.mark.parametrize("name", [recipe.name for recipe in media.RECIPES])
def test_a_few_bytes_are_refused(name: str) -> None:
    """The first bytes of a format are not a file of it."""
    for length in (1, 4, 8, 12, 32, 100):
        verdict = inspect_bytes(media.genuine(name)[:length])
        assert not verdict.accepted, length
        assert verdict.check
        assert verdict.reason


def test_an_empty_object_is_refused_without_a_read() -> None:
    """Nothing to read is nothing to accept."""
    verdict = inspect_bytes(b"")
    assert (verdict.accepted, verdict.check, verdict.reads) == (False, "empty", 0)


@pytest.mark.parametrize("name", [recipe.name for recipe in media.RECIPES])
def test_every_end_is_an_answer(name: str) -> None:
    """Wherever a file is cut there is a verdict, with a reason when it is refused."""
    data = media.genuine(name)
    for end in {*range(0, 600, 11), *range(600, len(data), max(1, len(data) // 20))}:
        verdict = inspect_bytes(data[:end])
        assert verdict.accepted or (verdict.check and verdict.reason)


@pytest.mark.parametrize("name", ["end.mp4", "x.mov", "aac.m4a"])
def test_a_movie_without_its_header_says_so(name: str) -> None:
    """A recording that never finished is told apart from a file of another kind."""
    verdict = inspect_bytes(media.genuine(name)[:2000])
    assert verdict.check == "truncated"
    assert "cut short" in (verdict.reason or "")

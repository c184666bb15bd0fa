"""Event ids survive the way to a client and back, and nothing else is taken for one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.events import Position

numbers = st.integers(0, 2**63 - 1)


@given(numbers, numbers)
def test_a_position_comes_back_as_it_went(transaction_id: int, number: int) -> None:
    """Parsing what was written gives the same place."""
    position = Position(transaction_id, number)
    assert Position.parse(str(position)) == position


@given(st.text(max_size=40))
def test_any_text_is_a_position_or_refused(text: str) -> None:
    """What is not exactly what we write raises ValueError and nothing else."""
    try:
        position = Position.parse(text)
    except ValueError:
        return
    assert 0 <= min(position.transaction_id, position.id) <= max(position.transaction_id, position.id) < 2**63


@pytest.mark.parametrize(
    "text", ["", "-", "1", "1-", "-1", "1-1\n", " 1-1", "1-1-1", "A-1", "8" + "0" * 15 + "-1", "\u0661-1"]
)
def test_near_misses_are_refused(text: str) -> None:
    """Upper case, white space, other digits and numbers PostgreSQL has none of are no positions."""
    with pytest.raises(ValueError, match="position"):
        Position.parse(text)

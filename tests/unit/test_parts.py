"""The part plan at each of S3's limits, and what differs from it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.errors import Invalid, TooLarge
from gateway.domain.parts import (
    GIB,
    MIB,
    S3_MAX_PART_SIZE,
    S3_MAX_PARTS,
    S3_MIN_PART_SIZE,
    ClientPart,
    PartBounds,
    PartPlan,
    StoredPart,
    compare_unplanned,
    compare_with_client,
    compare_with_plan,
    plan_parts,
)

BOUNDS = PartBounds(min_part_size=16 * MIB, max_part_size=512 * MIB, target_part_count=100)
LARGEST = S3_MAX_PARTS * S3_MAX_PART_SIZE


@pytest.mark.parametrize(
    ("size", "part_size", "count"),
    [
        (1, 16 * MIB, 1),
        (16 * MIB, 16 * MIB, 1),
        (16 * MIB + 1, 16 * MIB, 2),
        (1600 * MIB, 16 * MIB, 100),
        (1600 * MIB + 1, 17 * MIB, 95),
        (5 * GIB - 1, 52 * MIB, 99),
        (5 * GIB, 52 * MIB, 99),
        (50 * GIB, 512 * MIB, 100),
        (50 * GIB + 1, 512 * MIB, 101),
        (512 * MIB * 10_000, 512 * MIB, 10_000),
        (512 * MIB * 10_000 + 1, 513 * MIB, 9981),
        (LARGEST - 1, 5 * GIB, 10_000),
        (LARGEST, 5 * GIB, 10_000),
    ],
)
def test_the_plan_grows_as_it_says(size: int, part_size: int, count: int) -> None:
    """Parts are 16 MiB, grow to keep a file within 100 parts, then the count grows, then the parts again."""
    plan = plan_parts(size, BOUNDS)
    assert (plan.part_size_bytes, plan.part_count) == (part_size, count)


def test_what_no_plan_fits_is_too_large() -> None:
    """One byte over 10,000 parts of 5 GiB has no plan."""
    with pytest.raises(TooLarge):
        plan_parts(LARGEST + 1, BOUNDS)


@pytest.mark.parametrize(
    ("size", "wish", "fits"),
    [
        (1, S3_MIN_PART_SIZE - 1, False),
        (1, S3_MIN_PART_SIZE, True),
        (1, S3_MAX_PART_SIZE, True),
        (1, S3_MAX_PART_SIZE + 1, False),
        (S3_MIN_PART_SIZE * S3_MAX_PARTS, S3_MIN_PART_SIZE, True),
        (S3_MIN_PART_SIZE * S3_MAX_PARTS + 1, S3_MIN_PART_SIZE, False),
        (1, 0, False),
        (1, -1, False),
    ],
)
def test_a_wish_is_kept_within_s3s_limits(size: int, wish: int, fits: bool) -> None:
    """A part size from 5 MiB to 5 GiB is kept if it makes at most 10,000 parts."""
    if fits:
        assert plan_parts(size, BOUNDS, wish).part_size_bytes == wish
    else:
        with pytest.raises(Invalid):
            plan_parts(size, BOUNDS, wish)


@given(st.integers(1, LARGEST))
def test_every_plan_obeys_s3(size: int) -> None:
    """For any size: parts add up, all but the last are alike and large enough, and there are at most 10,000."""
    plan = plan_parts(size, BOUNDS)
    assert 1 <= plan.part_count <= S3_MAX_PARTS
    assert S3_MIN_PART_SIZE <= plan.part_size_bytes <= S3_MAX_PART_SIZE
    last = plan.size_of(plan.part_count)
    assert 1 <= last <= plan.part_size_bytes
    assert plan.part_size_bytes * (plan.part_count - 1) + last == size


@given(st.integers(1, 10_000 * 5), st.integers(1, 60))
def test_sizes_of_parts_sum_up(size: int, part_size: int) -> None:
    """The sizes of all parts together are the file."""
    plan = PartPlan(size, part_size)
    assert sum(plan.size_of(number) for number in range(1, plan.part_count + 1)) == size


@pytest.mark.parametrize("number", [0, -1, 4, 10_001])
def test_a_part_outside_the_plan_has_no_size(number: int) -> None:
    """Only numbers of the plan have a size."""
    with pytest.raises(Invalid):
        PartPlan(11, 5).size_of(number)


def _held(sizes: dict[int, int]) -> list[StoredPart]:
    return [StoredPart(number, size, f"etag{number}") for number, size in sizes.items()]


@pytest.mark.parametrize(
    ("sizes", "reasons"),
    [
        ({1: 5, 2: 5, 3: 1}, {}),
        ({1: 5, 3: 1}, {"missing": [2]}),
        ({}, {"missing": [1, 2, 3]}),
        ({1: 5, 2: 5, 3: 1, 4: 1}, {"extra": [4]}),
        ({1: 5, 2: 4, 3: 1}, {"wrong_size": [2]}),
        ({1: 5, 2: 5, 3: 2}, {"wrong_size": [3]}),
        ({2: 1, 9: 9}, {"missing": [1, 3], "extra": [9], "wrong_size": [2]}),
    ],
)
def test_what_is_held_is_compared_with_the_plan(sizes: dict[int, int], reasons: dict[str, list[int]]) -> None:
    """Missing, extra and wrongly sized parts are named."""
    difference = compare_with_plan(PartPlan(11, 5), _held(sizes))
    assert difference.reasons == reasons
    assert bool(difference) == bool(reasons)
    for name in reasons:
        assert name.replace("_", " ") in difference.sentence()


def test_a_sentence_names_at_most_ten_parts() -> None:
    """An answer about 9,999 missing parts stays short."""
    sentence = compare_with_plan(PartPlan(10_000, 1), []).sentence()
    assert len(sentence) < 200
    assert "9990 more" in sentence


@pytest.mark.parametrize(
    ("sizes", "reasons"),
    [
        ({1: S3_MIN_PART_SIZE, 2: 1}, {}),
        ({1: 1}, {}),
        ({1: S3_MIN_PART_SIZE - 1, 2: 1}, {"wrong_size": [1]}),
        ({2: 1}, {"missing": [1]}),
        ({}, {"missing": [1]}),
    ],
)
def test_without_a_plan_s3s_rules_count(sizes: dict[int, int], reasons: dict[str, list[int]]) -> None:
    """An upload of undeclared size has no hole and no small part but the last."""
    assert compare_unplanned(_held(sizes)).reasons == reasons


def test_a_clients_list_is_compared_with_what_is_held() -> None:
    """Numbers that miss, double, turn round or carry another ETag are named."""
    held = _held({1: 5, 2: 5, 3: 1})
    named = [ClientPart(2, "other"), ClientPart(1, "etag1"), ClientPart(1, "etag1"), ClientPart(7, "x")]
    assert compare_with_client(named, held).reasons == {
        "missing": [7],
        "extra": [3],
        "duplicate": [1],
        "wrong_etag": [2],
        "out_of_order": [1],
    }

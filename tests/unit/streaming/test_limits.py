"""What bounds a form, without any I/O."""

from __future__ import annotations

import pytest

from gateway.domain.errors import Malformed
from gateway.streaming.form_parser import boundary_of
from gateway.streaming.limits import BodyLimits

BOUNDARIES = {
    "application/json": None,
    "multipart/form-data": None,
    "multipart/form-data; boundary=": None,
    'multipart/form-data; boundary=""': None,
    "multipart/mixed; boundary=abc": None,
    "multipart/form-data; boundary=" + "a" * 71: None,
    "multipart/form-data; boundary=" + "a" * 70: "a" * 70,
    'multipart/form-data; boundary="a b"': "a b",
    'multipart/form-data; boundary="a b "': None,
    'multipart/form-data; boundary="abc': None,
    'multipart/form-data; boundary="a\\"bc"': None,
    "multipart/form-data; boundary=abc; boundary=abd": None,
    "multipart/form-data; boundary=abc, multipart/form-data; boundary=abd": None,
    "multipart/form-data; charset=utf-8; boundary=abc": "abc",
    'Multipart/Form-Data; Boundary="abc"': "abc",
    "multipart/form-data; boundary=a\u00e9": None,
    "multipart/form-data; boundary=abc" + " " * 2000: "abc",
    "multipart/form-data; " + "a=b; " * 400 + "boundary=abc": None,
}


@pytest.mark.parametrize("content_type", BOUNDARIES)
def test_f7_boundaries_are_those_of_rfc_2046(content_type: str) -> None:
    """A boundary has 1 to 70 characters of RFC 2046's set, quoted or not, and is given once."""
    if (expected := BOUNDARIES[content_type]) is not None:
        assert boundary_of(content_type) == expected
        return
    with pytest.raises(Malformed):
        boundary_of(content_type)


def test_f9_a_least_rate_is_held_after_half_a_minute() -> None:
    """A sender may be slow for half a minute; then the rate counts, over the time that was spent waiting for it."""
    limits = BodyLimits(deadline_seconds=3600, stall_seconds=30, min_bytes_per_second=1000)
    assert not limits.too_slow(0, 30)
    assert limits.too_slow(0, 30.1)
    assert limits.too_slow(9_999, 40)
    assert not limits.too_slow(10_000, 40)

"""Give the tests of detection a real scanner."""

from tests.unit.detection.clamd import clamd

__all__ = ["clamd"]

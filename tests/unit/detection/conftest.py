"""Give the tests of detection a real scanner, and let no mistake of a format pass for a refusal."""

from tests.unit.detection.clamd import clamd
from tests.unit.detection.mistakes import no_mistakes

__all__ = ["clamd", "no_mistakes"]

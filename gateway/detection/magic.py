"""Ask puremagic for a second opinion, by bytes only: never by file name, never by its deep scan.

The deep scan opens local files by the name that it is given, and a 960 KB text costs it half a minute.
"""

from __future__ import annotations

import os

# Read when puremagic 2.x is imported: the deep scan stays off in every path.
os.environ["PUREMAGIC_DEEPSCAN"] = "0"


def agree(family: str, container: str, head: bytes, tail: bytes) -> None:
    """Raise Refused when puremagic's candidates do not hold the family."""

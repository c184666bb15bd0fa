"""Check that the built documentation site loads nothing from other hosts: `make docs`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

LOADING = {"img": "src", "script": "src", "iframe": "src", "source": "src", "link": "href"}
"""Attributes that make a browser load something as soon as it shows the page; a link in the text does not."""

LOADED_RELATIONS = frozenset(
    {"stylesheet", "icon", "preconnect", "preload", "modulepreload", "dns-prefetch", "manifest"}
)

OTHER_HOST = re.compile(r"(?:https?:)?//", re.IGNORECASE)
OTHER_HOST_IN_CSS = re.compile(r"(?:url\(\s*['\"]?|@import\s+['\"])(?:https?:)?//", re.IGNORECASE)


class _Loads(HTMLParser):
    """Collect the addresses that a page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the address of one element, if a browser loads it."""
        values = dict(attrs)
        relations = set((values.get("rel") or "").split())
        if tag == "link" and not relations & LOADED_RELATIONS:
            return
        if address := values.get(LOADING.get(tag, "")):
            self.addresses.append(address)


def loads_from_other_hosts(site: Path) -> Iterator[str]:
    """Return each address on another host that a page or a style sheet of the site loads, with its file."""
    for page in sorted(site.rglob("*.html")):
        loads = _Loads()
        loads.feed(page.read_text())
        yield from (f"{page.relative_to(site)}: {text}" for text in loads.addresses if OTHER_HOST.match(text))
    for sheet in sorted(site.rglob("*.css")):
        if found := OTHER_HOST_IN_CSS.search(sheet.read_text()):
            yield f"{sheet.relative_to(site)}: {found[0]}"


def main() -> None:
    """Check the site in the folder that is given, and end with 1 if it loads something from another host."""
    site = Path(sys.argv[1])
    pages = len(list(site.rglob("*.html")))
    found = list(loads_from_other_hosts(site))
    print("\n".join(found) or f"{pages} pages load nothing from other hosts")
    sys.exit(bool(found) or pages == 0)


if __name__ == "__main__":
    main()

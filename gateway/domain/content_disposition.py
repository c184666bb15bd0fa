"""Write file names into Content-Disposition as RFC 6266 and RFC 8187 have it."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import quote

_NOT_PLAIN = re.compile(r"[^A-Za-z0-9 !#$&+.^_`{}~()@,\[\]=-]")
_JOINERS = "\u200c\u200d"
"""Persian words and emoji of several parts need these two; they change no direction."""

_INVISIBLE = ("Cc", "Cf", "Cs", "Zl", "Zp")
_RFC8187_SAFE = "!#$&+-.^_`|~"


def attachment(filename: str) -> str:
    """Return `attachment; filename="…"; filename*=UTF-8''…`: plain ASCII first for old clients, the true name after.

    Quotes, backslashes, `%`, separators, CR, LF and other controls never reach the header as they are, so no name can
    end it; direction marks (U+202E shows `exe.mp3` for `3pm.exe`) are dropped from the name.
    """
    name = "".join(char for char in filename if char in _JOINERS or unicodedata.category(char) not in _INVISIBLE)
    name = name.replace("/", "_").replace("\\", "_").strip() or "file"
    plain = _NOT_PLAIN.sub("_", unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()).strip()
    if not plain or plain.startswith("."):
        plain = f"file{plain}"
    header = f'attachment; filename="{plain}"'
    return header if plain == name else f"{header}; filename*=UTF-8''{quote(name, safe=_RFC8187_SAFE)}"

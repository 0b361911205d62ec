"""Names of services: which are URL-safe, and what a model's name becomes where it is not. Used by `core.resolve`."""

from __future__ import annotations

import hashlib
import re
import unicodedata

MAX_LENGTH = 63
_SERVICE_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")


def is_service_name(name: str) -> bool:
    """Can it stand in URLs, labels and tokens as it is?"""
    return bool(_SERVICE_NAME.fullmatch(name))


def slug(name: str) -> str:
    """A service name made from any text: itself where it is one already, always the same for the same text.

    Accents go (`café` → `cafe`), whatever else is not URL-safe becomes `-`. A text that keeps nothing of its own, or
    is too long, gets eight digits of its hash, so that two of them stay apart.
    """
    if is_service_name(name):
        return name
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    safe = re.sub(r"[^A-Za-z0-9._]+", "-", plain).strip("-._")
    if is_service_name(safe):
        return safe
    mark = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{(safe or 'model')[: MAX_LENGTH - len(mark) - 1].rstrip('-._')}-{mark}"

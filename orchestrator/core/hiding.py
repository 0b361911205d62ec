"""What leaves this host in a support bundle, or is kept of a request: values that look like secrets are hidden, rather
one too many. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from orchestrator.core.masking import MASK, mask

_WORD = (
    r"(?:pass(?:word|wd|phrase)?|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credential|authorization)s?"
)
_NAME = re.compile(rf"{_WORD}$", re.IGNORECASE)
_OPTION = re.compile(rf"--?[\w-]*{_WORD}", re.IGNORECASE)
_SHAPES = (
    (re.compile(r"\beyJ[\w-]{6,}\.[\w-]{6,}\.[\w-]*"), MASK),
    (re.compile(r"\b(bearer|backendai|basic)(\s+)[^\s\"',;]{4,}", re.IGNORECASE), rf"\1\2{MASK}"),
    (re.compile(r"://[^/\s@]+@"), f"://{MASK}@"),
    (re.compile(rf"({_WORD}[\"']?\s*[=:]\s*)([\"'])(?:(?!\2).)+\2", re.IGNORECASE), rf"\1\2{MASK}\2"),
    (
        re.compile(rf"({_WORD}[\"']?\s*[=:]\s*[\"']?)(?!{re.escape(MASK)})[^\s\"',;&]{{3,}}", re.IGNORECASE),
        rf"\1{MASK}",
    ),
    (re.compile(rf"(--?[\w-]*{_WORD}\s+)[^\s\"']+", re.IGNORECASE), rf"\1{MASK}"),
    (re.compile(r"\b(?:hf_|sk-|ghp_|github_pat_|glpat-|xox[abp]-|AKIA)[\w-]{12,}"), MASK),
)
"""Tokens as they look, user names and passwords of addresses, and values after a name that says what they are."""


def hidden_text(text: str, known: Collection[str]) -> str:
    """`known`: values that are secrets for sure."""
    text = mask(text, known)
    for shape, shown in _SHAPES:
        text = shape.sub(shown, text)
    return text


def hidden(value: object, known: Collection[str]) -> object:
    """JSON without secrets: every value of an environment, what has a secret's name, and what looks like one."""
    match value:
        case str():
            return hidden_text(value, known)
        case Mapping():
            told = _without_change(value) if ".environ" in str(value.get("path", "")) else value
            return {hidden_text(str(name), known): _of(str(name), one, known) for name, one in told.items()}
        case Sequence():
            before = ["", *(one if isinstance(one, str) else "" for one in value)]
            pairs = zip(before, value, strict=False)
            return [MASK if isinstance(one, str) and _OPTION.fullmatch(b) else hidden(one, known) for b, one in pairs]
        case _:
            return value


def _of(name: str, value: object, known: Collection[str]) -> object:
    if name == "environ" and isinstance(value, Mapping):
        return dict.fromkeys(map(str, value), MASK)
    return MASK if isinstance(value, str) and value and _NAME.search(name) else hidden(value, known)


def _without_change(field: Mapping[str, object]) -> Mapping[str, object]:
    """A plan's field of an environment: that it changes, not what it is."""
    return {name: MASK if name in ("from", "to") and one is not None else one for name, one in field.items()}

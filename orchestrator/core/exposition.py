"""Prometheus text of several sources as one: labels are added, and each metric is declared once. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

_LABELS = r'(?:[A-Za-z_][A-Za-z0-9_]*="(?:[^"\\]|\\.)*",? ?)*'
_NUMBER = r"[-+]?(?:[0-9][0-9.eE+-]*|\.[0-9][0-9eE+-]*|Inf|inf|NaN|nan)"
_SAMPLE = re.compile(rf"([A-Za-z_:][A-Za-z0-9_:]*)(?:\{{({_LABELS})\}})?[ \t]+({_NUMBER})(?:[ \t]+-?[0-9]+)?[ \t]*")
_ABOUT = re.compile(r"# (HELP|TYPE) ([A-Za-z_:][A-Za-z0-9_:]*)(?: (.*))?")
_SUFFIXES = ("_bucket", "_count", "_sum", "_total", "_created", "_info")
OURS = ("orchestrator_", "haproxy_")
"""Nobody else may speak for us."""


def merged(sources: Iterable[tuple[Mapping[str, str], str]]) -> str:
    """The metrics of all sources (labels that they get, and text), family by family. A source's own label of such a
    name becomes `exported_…`, as Prometheus has it; lines that are no metrics, and what claims to be ours, go."""
    told: dict[str, dict[str, str]] = {}
    samples: dict[str, list[str]] = {}
    for labels, text in sources:
        added = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
        mine = re.compile(rf"(?<![A-Za-z0-9_])({'|'.join(map(re.escape, labels)) or '(?!)'})=")
        families: set[str] = set()
        for line in text.splitlines():
            if about := _ABOUT.fullmatch(line):
                families.add(about[2])
                told.setdefault(about[2], {}).setdefault(about[1], about[3] or "")
            elif (sample := _SAMPLE.fullmatch(line)) and not sample[1].startswith(OURS):
                own = _renamed(sample[2] or "", mine)
                family = _family(sample[1], families)
                kept = ",".join(filter(None, (added, own)))
                samples.setdefault(family, []).append(f"{sample[1]}{{{kept}}} {sample[3]}")
    lines: list[str] = []
    for family, found in samples.items():
        about_it = told.get(family, {})
        lines += [f"# {kind} {family} {about_it[kind]}".rstrip() for kind in ("HELP", "TYPE") if kind in about_it]
        lines += found
    return "".join(f"{line}\n" for line in lines)


def _renamed(labels: str, mine: re.Pattern[str]) -> str:
    """Outside of the labels' values only."""
    parts = re.split(r'("(?:[^"\\]|\\.)*")', labels.strip().rstrip(","))
    return "".join(part if i % 2 else mine.sub(r"exported_\1=", part) for i, part in enumerate(parts))


def _family(name: str, declared: set[str]) -> str:
    if name in declared:
        return name
    bare = next((name.removesuffix(end) for end in _SUFFIXES if name.endswith(end)), name)
    return bare if bare in declared else name


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

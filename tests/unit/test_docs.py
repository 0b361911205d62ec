"""README and docs say what is: links lead somewhere, commands and options exist, files and tables that are named do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from orchestrator.cli import build_app
from orchestrator.core.definition import Deployment
from orchestrator.core.loading import load
from orchestrator.settings import Settings

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
PARTS = ("orchestrator", "tests", "benchmarks", "scripts")

LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")
BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
SEPARATOR = re.compile(r"&&|\|\||[;|()]|=\$")
FILE = re.compile(
    r"(?<![\w/.])(?:orchestrator|tests|docs|examples|schemas|benchmarks|scripts|packaging|requirements)/[\w./-]+"
)
MODULE = re.compile(r"[\w/]+\.py")
NAME = re.compile(r"[A-Z][A-Z]*_?[A-Z_]*[A-Z]")

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def blocks(page: Path, language: str) -> list[str]:
    return [text for kind, text in BLOCK.findall(page.read_text("utf-8")) if kind == language]


def spans(page: Path) -> list[str]:
    return SPAN.findall(BLOCK.sub("", page.read_text("utf-8")))


def anchors(page: Path) -> set[str]:
    """As the usual renderers make them of headings."""
    headings = re.findall(r"^#+ (.+)$", BLOCK.sub("", page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands(page: Path) -> Iterator[list[str]]:
    """The words after `orchestrator` in shell blocks and code spans."""
    lines = [line for block in blocks(page, "sh") for line in block.splitlines()]
    for line in [*lines, *(span for span in spans(page) if span.startswith("orchestrator "))]:
        for simple in SEPARATOR.split(line.partition("#")[0]):
            words = simple.replace('"', " ").replace("'", " ").split()
            if words and Path(words[0]).name == "orchestrator" and words[1:] not in ([], ["…"]):
                yield words[1:]


def options(command: Any) -> dict[str, bool]:
    """Each option of a verb, and whether a value follows it."""
    return {o: not p.is_flag for p in command.params if p.param_type_name == "option" for o in option_names(p)}


def option_names(parameter: Any) -> list[str]:
    return [*parameter.opts, *parameter.secondary_opts]


@pages
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text("utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        there = page.parent / file if file else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


@pages
def test_every_command_and_option_exists(page: Path) -> None:
    for words in commands(page):
        command: Any = typer.main.get_command(build_app())
        known = options(command) | {"--help": False, "-h": False}
        rest = list(words)
        while rest:
            word = rest.pop(0)
            if word == "--":
                break
            if word.startswith("-") and word != "-":
                name, given, _ = word.partition("=")
                assert name in known, words
                rest = rest[1:] if known[name] and not given else rest
            elif hasattr(command, "commands") and word != "…":
                assert word in command.commands, words
                command = command.commands[word]
                known |= options(command)


def test_the_surface_names_exactly_the_keys_of_the_configuration() -> None:
    text = (ROOT / "docs/surface.md").read_text("utf-8")
    named: dict[str, set[str]] = {}
    for section, keys in re.findall(r"^\| (–|`\[[^`]+\]`) \| (`.+`|the keys of `deployment`) \|$", text, re.MULTILINE):
        named[section.strip("`[]").partition(".")[0]] = set(re.findall(r"`(\w+)`", keys))
    sections = {n: f.annotation for n, f in Settings.model_fields.items() if n in named}
    assert named.pop("–") == set(Settings.model_fields) - set(named)
    assert named.pop("defaults") == {"deployment"}
    assert set(named) == set(sections) - {"defaults"}
    for name, keys in named.items():
        kind: Any = sections[name]
        part = kind if hasattr(kind, "model_fields") else kind.__args__[1]
        assert keys == set(part.model_fields), name
    assert "service_name" in Deployment.model_fields


@pages
def test_every_file_that_is_named_is_there(page: Path) -> None:
    """A module may be named by the end of its path."""
    modules = {f"/{f.relative_to(ROOT)}" for part in PARTS for f in (ROOT / part).rglob("*.py")}
    for span in (span for span in spans(page) if "NAME" not in span):
        assert not MODULE.fullmatch(span) or any(m.endswith(f"/{span}") for m in modules), span
        for path in FILE.findall(span):
            assert (ROOT / path.rstrip(".,")).exists(), span


def test_every_table_that_a_checklist_names_is_there() -> None:
    sources = "".join(f.read_text("utf-8") for part in ("orchestrator", "tests") for f in (ROOT / part).rglob("*.py"))
    names = {span for span in spans(ROOT / "docs/extending.md") if NAME.fullmatch(span)} - {"NAME"}
    assert len(names) > 10
    for name in names:
        assert re.search(rf"^{name}\b", sources, re.MULTILINE), name


@pages
def test_every_definition_that_is_shown_whole_is_valid(page: Path) -> None:
    for text in blocks(page, "yaml"):
        if "models:" in text:
            assert load(text.encode(), page.name).definition, text


def test_the_readme_asks_for_what_the_set_up_script_checks() -> None:
    script = (ROOT / "scripts/venv.sh").read_text("utf-8")
    checked = set(re.findall(r"^need \S+ (\S+)$", script, re.MULTILINE)) | {"python3-venv"}
    (line,) = re.findall(r"apt-get install -y (.+)", (ROOT / "README.md").read_text("utf-8"))
    assert set(line.split()) == checked - {"python3"}  # python3-venv brings it
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    for page in PAGES:
        for target in re.findall(r"`make (\w+)`", page.read_text("utf-8")):
            assert target in targets, page.name

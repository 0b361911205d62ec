"""A definition edited in its own text: what changes, what stays, what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from orchestrator.core.errors import Conflict
from orchestrator.folders.editing import edited

TEXT = """\
# ours
models:
  - name: one   # the first
    service: {port: 1}
    deployment:
      image: a:1      # pinned
      environ:
        KEPT: "1"
        GONE: x
  - name: 1.10
    service: {port: 2}
"""


@pytest.mark.parametrize(
    ("values", "gone", "old", "new"),
    [
        ({"image": "b:2"}, (), "image: a:1 ", "image: b:2 "),
        ({"environ": {"KEPT": "2"}}, (), 'KEPT: "1"', 'KEPT: "2"'),
        ({"environ": {"KEPT": "yes"}}, (), 'KEPT: "1"', 'KEPT: "yes"'),
        ({}, ("environ.GONE",), "        GONE: x\n", ""),
        ({}, ("image",), "      image: a:1      # pinned\n", ""),
    ],
)
def test_only_what_was_asked_for_changes(values: Mapping[str, Any], gone: tuple[str, ...], old: str, new: str) -> None:
    assert edited(TEXT, "one", values, gone) == TEXT.replace(old, new)


@pytest.mark.parametrize(
    ("text", "model"),
    [
        (TEXT, "two"),
        (TEXT, "1.10"),  # a number to the editor, a name to us
        ("models: {name: one}", "one"),
        ("models:\n  - &a\n  - name: one", "one"),
        ("[", "one"),
    ],
)
def test_a_text_without_that_place_is_refused(text: str, model: str) -> None:
    with pytest.raises(Conflict) as caught:
        edited(text, model, {"image": "b:2"}, ())
    assert caught.value.code == "not_editable"

"""Service names: what is one, and what any other text becomes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.core.naming import MAX_LENGTH, is_service_name, slug

SLUGS = {
    "llama": "llama",
    "Llama-3.1_8B": "Llama-3.1_8B",
    "my model": "my-model",
    "café  au lait!": "cafe-au-lait",
    "-leading and trailing-": "leading-and-trailing",
    "a" * 63: "a" * 63,
}


@pytest.mark.parametrize("name", SLUGS)
def test_slugs(name: str) -> None:
    assert slug(name) == SLUGS[name]


def test_what_keeps_nothing_of_its_own_stays_apart() -> None:
    assert len({slug("模型"), slug("모델"), slug("…"), slug("a" * 64), slug("a" * 65)}) == 5
    assert slug("模型").startswith("model-")
    assert slug("a" * 64).startswith("a" * 50)


@given(st.text(min_size=1, max_size=200))
@settings(max_examples=200)
def test_every_slug_is_a_service_name_and_its_own_slug(name: str) -> None:
    assert is_service_name(slug(name))
    assert slug(slug(name)) == slug(name) == slug(name)
    assert len(slug(name)) <= MAX_LENGTH


@pytest.mark.parametrize("name", ["", "-a", "a-", ".", "a/b", "a b", "a\n", "é", "a" * 64])
def test_what_is_no_service_name(name: str) -> None:
    assert not is_service_name(name)

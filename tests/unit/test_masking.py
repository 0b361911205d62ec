"""Values of secrets never leave, however they lie in a text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.masking import mask

CASES = {
    "none": ("hello", [], "hello"),
    "one": ("token=hunter22 end", ["hunter22"], "token=*** end"),
    "each occurrence": ("abcd-abcd", ["abcd"], "***-***"),
    "overlapping values": ("xabcdefx", ["abcd", "cdef"], "x***x"),
    "one in another": ("xabcdefx", ["cd12", "bcde", "abcdef"], "x***x"),
    "overlapping with itself": ("aaaaaaa", ["aaaa"], "***"),
    "too short to hide": ("abc", ["abc"], "abc"),
    "the newline its file ends in": ("token=hunter22", ["hunter22\n"], "token=***"),
    "line of a long secret": ("log: MIIBVgIBADAN", ["-----BEGIN KEY\nMIIBVgIBADAN\n}\n"], "log: ***"),
    "blank secret": ("a     b", ["      "], "a     b"),
}


@pytest.mark.parametrize(("text", "secrets", "expected"), CASES.values(), ids=CASES.keys())
def test_mask(text: str, secrets: list[str], expected: str) -> None:
    assert mask(text, secrets) == expected


words = st.text(alphabet="abc", min_size=4, max_size=8)


@given(st.text(alphabet="abcd", max_size=80), st.lists(words, max_size=4))
def test_no_secret_is_left_and_the_rest_stays(text: str, secrets: list[str]) -> None:
    masked = mask(text, secrets)
    assert not any(secret in masked for secret in secrets)
    position = 0
    for part in masked.split("***"):
        position = text.index(part, position) + len(part)

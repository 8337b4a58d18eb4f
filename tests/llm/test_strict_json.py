"""JSON as providers read it: all of Python's but for what they refuse."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_agent.llm.strict_json import NotJson, read_json

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=20)


def is_unicode(text):
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@given(ANY_TEXT, st.booleans())
def test_a_text_is_taken_where_it_is_unicode(text, plain):
    joined = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    body = json.dumps([text], ensure_ascii=not plain).encode("utf-8", "surrogatepass")
    if is_unicode(text) if plain else is_unicode(joined):
        assert read_json(body) == [joined]
    else:
        with pytest.raises(NotJson) as caught:
            read_json(body)
        assert caught.value.lone


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (rb'["\ud83d"]', "no low surrogate in string: line 1 column 9 (char 8)"),
        (rb'["\ud83d\ud83d\ude00"]', "no low surrogate in string: line 1 column 9 (char 8)"),
        (rb'["\ud83dx\ude00"]', "no low surrogate in string: line 1 column 9 (char 8)"),
        (b'[1,\n "\\ude00"]', "invalid high surrogate in string: line 2 column 3 (char 6)"),
        (b'["\xed\xa0\xbd"]', "str is not valid UTF-8: surrogates not allowed"),
    ],
)
def test_half_a_pair_is_told_apart(body, said):
    with pytest.raises(NotJson) as caught:
        read_json(body)
    assert str(caught.value).startswith(said)
    assert caught.value.lone


@pytest.mark.parametrize(
    "body", [b"", b"{", b"nul", b"[NaN]", b"[Infinity]", b"[1,]", b"[1] 2", b"\xff", b"[" * 99_999, b"1" * 5_000]
)
def test_what_is_no_json(body):
    with pytest.raises(NotJson) as caught:
        read_json(body)
    assert not caught.value.lone


@pytest.mark.parametrize("body", [rb'["\\ud83d"]', rb'["\ud83d\ude00"]', b'{"a": 1, "a": 2}', b" [1] "])
def test_what_is(body):
    assert read_json(body) == json.loads(body)

"""OpenAI embeddings: vectors that depend on the text alone, the same on every machine and in every run.

A text is a bag of words: each word, in lower case, adds to a few places of the vector that its hash chooses. So equal
texts have equal vectors, texts that share words are near each other, and those that share none are nearly at right
angles. Meaning has no part in it. A list of tokens is a bag of their numbers.
"""

from __future__ import annotations

import base64
import hashlib
import math
import re
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_agent.llm.openai_checks import (
    INTEGER,
    STRING,
    Kind,
    check_types,
    empty,
    empty_string,
    not_among,
    wrong_type,
)
from pytest_agent.llm.openai_wire import read_body, refusal, success_headers
from pytest_agent.llm.reply import Chunk, Reply
from pytest_agent.llm.request import BadRequest, WireRequest
from pytest_agent.llm.wire import dump

_WORD = re.compile(r"\w+")
_SIZES = {"text-embedding-3-large": 3072}
_SIZE = 1536
_PLACES = 8
"""Places of the vector that one word adds to."""

_MOST_INPUTS = 2048
_MOST_TOKENS = 8192
_KINDS = {"model": STRING, "encoding_format": STRING, "user": STRING, "dimensions": Kind(INTEGER, (int,), 1)}

Input = str | Sequence[int]


class OpenAIEmbeddings:
    """The route. It keeps no state: the same request gives the same bytes."""

    name = "OpenAI embeddings"

    def matches(self, method: str, path: str) -> bool:
        """POST to any path that ends in /embeddings, on any host."""
        return method == "POST" and path.rstrip("/").endswith("/embeddings")

    def answer(self, wire: WireRequest) -> Reply:
        """One vector for each text, and their tokens at four characters each; or the provider's own 400."""
        try:
            data = read_body(wire, "input")
            inputs = _inputs(data)
            size = _size(data)
        except BadRequest as error:
            return refusal(error)
        as_text = data.get("encoding_format") == "base64"
        vectors = [
            {"object": "embedding", "index": index, "embedding": _said(embed(given, size), as_text=as_text)}
            for index, given in enumerate(inputs)
        ]
        tokens = sum(_tokens(given) for given in inputs)
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        body = {"object": "list", "data": vectors, "model": data["model"], "usage": usage}
        return Reply(200, success_headers(1, stream=False), (Chunk(dump(body), terminal=True),))


def embed(given: Input, size: int) -> array[float]:
    """The vector of a text or a list of tokens: `size` numbers of 32 bits, of length 1."""
    words = _WORD.findall(given.lower()) if isinstance(given, str) else [f"#{token}" for token in given]
    # Without a word the characters themselves are what can be told apart.
    bag = Counter(words or [str(given)])
    values = [0.0] * size
    for word, times in bag.items():
        digest = hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=_PLACES * 4).digest()
        for start in range(0, len(digest), 4):
            drawn = int.from_bytes(digest[start : start + 4], "little")
            values[(drawn >> 1) % size] += times if drawn & 1 else -times
    # Two places of one word can cancel each other in a very small vector.
    length = math.sqrt(sum(value * value for value in values))
    if not length:
        values[0], length = 1.0, 1.0
    return array("f", [value / length for value in values])


def _said(vector: array[float], *, as_text: bool) -> str | list[float]:
    if not as_text:
        return vector.tolist()
    if _BIG_ENDIAN:
        vector = array("f", vector)
        vector.byteswap()
    return base64.b64encode(vector.tobytes()).decode()


_BIG_ENDIAN = array("H", [1]).tobytes()[0] == 0


def _inputs(data: Mapping[str, Any]) -> list[Input]:
    if not data.get("model"):
        raise BadRequest("you must provide a model parameter")
    check_types(data, _KINDS)
    given = data.get("input")
    if given is None or given == []:
        raise BadRequest(
            "'$.input' is invalid. Please check the API reference: https://platform.openai.com/docs/api-reference."
        )
    if isinstance(given, str) or (isinstance(given, list) and all(_is_token(token) for token in given)):
        found: list[Input] = [given]
    elif isinstance(given, list):
        found = given
    else:
        raise wrong_type("input", "one of a string or array", given)
    if len(found) > _MOST_INPUTS:
        raise BadRequest(
            f"Invalid 'input': array too long. Expected an array with maximum length {_MOST_INPUTS}, "
            f"but got an array with length {len(found)} instead.",
            "input",
            "array_above_max_length",
        )
    for index, one in enumerate(found):
        _check_input("input" if one is given else f"input[{index}]", one)
    return found


def _check_input(where: str, given: object) -> None:
    if given == "":
        raise empty_string(where)
    if isinstance(given, list):
        if not given:
            raise empty(where)
        if not all(_is_token(token) for token in given):
            raise wrong_type(where, "an array of integers", next(token for token in given if not _is_token(token)))
    elif not isinstance(given, str):
        raise wrong_type(where, "one of a string or array of integers", given)
    if _tokens(given) > _MOST_TOKENS:
        raise BadRequest(f"Invalid '{where}': maximum input length is {_MOST_TOKENS} tokens.", where)


def _is_token(given: object) -> bool:
    return isinstance(given, int) and not isinstance(given, bool) and given >= 0


def _tokens(given: str | Sequence[object]) -> int:
    return -(-len(given) // 4) if isinstance(given, str) else len(given)


def _size(data: Mapping[str, Any]) -> int:
    """How many numbers a vector has."""
    form = data.get("encoding_format")
    if form not in (None, "float", "base64"):
        raise not_among("encoding_format", form, ("float", "base64"))
    model, asked = data["model"], data.get("dimensions")
    most = next((size for name, size in _SIZES.items() if model.endswith(name)), _SIZE)
    if asked is None:
        return most
    if "ada-002" in model:
        raise BadRequest("This model does not support specifying dimensions.", "dimensions")
    if asked > most:
        raise BadRequest(
            f"Invalid value for 'dimensions' = {asked}. Must be less than or equal to {most}.", "dimensions"
        )
    return int(asked)

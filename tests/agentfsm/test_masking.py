"""Masking: what is taken out, what stays, and data that would break it."""

import base64
import json
import time
import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentfsm.masking import MORE, Bounds, Masker, mask
from agentfsm.secrets_in_text import MASK, secret_name, secrets_of

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dBjftJeZ4CVPmB92K27uhbUJU1p1r_wW1gFWFOEjXk"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\n-----END RSA PRIVATE KEY-----"
SECRETS = [
    "sk-proj-abcDEF123456ghiJKL",
    "sk-ant-api03-0123456789abcdef",
    "sk_" + "live_51H8abcdefghijkl",
    "AKIAIOSFODNN7EXAMPLE",
    "ghp_0123456789abcdefghijABCDEFGHIJ012345",
    "xoxb-123456789012-abcdefghijkl",
    JWT,
    PEM,
    "4111111111111111",
    "4111 1111 1111 1111",
    "5500-0000-0000-0004",
    "DE89 3704 0044 0532 0130 00",
    "GB82WEST12345698765432",
]
HARMLESS = [
    "The order 4111111111111112 was paid.",
    "order 1732440000000 at 1732440000.123",
    "sk-learn and pk_customers are names",
    "max_tokens=4096, token_count: 7, idempotency_key=r1:4",
    "Basic understanding of the bearer",
    "DE88 3704 0044 0532 0130 00",
    "https://api.example/v1/orders?id=7",
    "password reset was asked for",
    "r1:4 timeout payments.refund",
    "password: null",
]


@pytest.mark.parametrize("secret", SECRETS, ids=lambda s: s[:12])
@pytest.mark.parametrize("around", ["{}", "before {} after", '{{"x": "{}"}}', "({})", "a\n{}\nb"])
def test_what_has_the_form_of_a_secret_is_masked_wherever_it_stands(secret, around):
    masked = mask({"note": around.format(secret)})["note"]
    assert secret not in masked
    assert MASK in masked


@pytest.mark.parametrize("text", HARMLESS)
def test_what_only_looks_like_one_stays(text):
    assert mask({"note": text}) == {"note": text}


@pytest.mark.parametrize(
    "name",
    ["password", "user_password", "Password", "X-Api-Key", "apiKey", "APIKEY", "clientSecret", "access-token", "token",
     "accesstoken", "AUTHORIZATION", "Set-Cookie", "card", "card_number", "cardNumber", "cvv", "iban", "db.password",
     "AWS_SECRET_ACCESS_KEY", "private_key", "credentials", "pin", "SENTRY_DSN"],
)  # fmt: skip
def test_what_is_secret_by_its_name_is_masked_whatever_it_is(name):
    assert secret_name(name)
    assert mask({name: "x"}) == {name: MASK}
    assert mask({"a": [{name: {"deep": ["x"]}}]}) == {"a": [{name: MASK}]}
    assert mask({name: 1234})[name] == MASK


@pytest.mark.parametrize(
    "name",
    ["tokens", "max_tokens", "input_tokens", "token_count", "tokenCount", "key", "idempotency_key", "author", "discard",
     "secretary", "cardinal", "pint", "spinning", "company", "keyboard", "monkey"],
)  # fmt: skip
def test_a_name_that_only_contains_such_a_word_is_none(name):
    assert not secret_name(name)
    assert mask({name: 12}) == {name: 12}


def test_that_there_is_none_may_be_told():
    assert mask({"password": None, "token": "", "card": False}) == {"password": None, "token": "", "card": False}


@pytest.mark.parametrize(
    "text",
    [
        "password=hunter2",
        "password = hunter2, user=bob",
        'say {"password": "hunter2"}',
        json.dumps({"arguments": json.dumps({"password": "hunter2"})}),
        json.dumps({"password": 'hun"ter2', "x": 1}).replace("hun", "hunter2"),
        "'api_key': 'hunter2'",
        "https://x.example/?token=hunter2&y=1",
        "https://bob:hunter2@db.example/x",
        "postgresql://bob:hunter2@db.example:5432/x",
        "Authorization: Basic aHVudGVyMg==hunter2",
        "Authorization: Digest hunter2",
        "authorization: Bearer hunter2hunter2",
        "Cookie: a=b; session=hunter2",
        '{"password": "hunter2',
    ],
)
def test_a_secret_in_the_middle_of_a_text_is_found_by_the_name_beside_it(text):
    masked = mask.text(text)
    assert "hunter2" not in masked
    assert "ter2" not in masked


def test_text_around_a_secret_stays():
    assert mask.text("password = hunter2, user=bob") == f"password = {MASK}, user=bob"
    assert mask.text('{"password": "hunter2", "x": 1}') == f'{{"password": "{MASK}", "x": 1}}'


def test_headers_in_pairs_are_masked_as_well():
    assert mask([["X-Api-Key", "abc"], ["Accept", "abc"]]) == [["X-Api-Key", MASK], ["Accept", "abc"]]
    assert mask({"name": "X-Api-Key", "value": "abc"}) == {"name": "X-Api-Key", "value": MASK}
    assert mask({"name": "Accept", "value": "abc"}) == {"name": "Accept", "value": "abc"}


SECRET = 'correct "horse"/battery+staple'


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        json.dumps(SECRET)[1:-1],
        urllib.parse.quote(SECRET, safe=""),
        base64.b64encode(SECRET.encode()).decode(),
    ],
)
def test_a_known_value_is_masked_in_every_form_it_travels_in(form):
    knowing = Masker([SECRET])
    assert knowing({"note": f"a {form} b"})["note"].rstrip("= b").endswith(MASK)
    assert mask({"note": form}) == {"note": form}


def test_the_secrets_of_an_environment_are_those_its_names_tell():
    environ = {"MODEL_API_KEY": "abcdefgh", "PATH": "/usr/bin", "DB_PASSWORD": "x", "TOKEN": "12345678"}
    assert secrets_of(environ) == {"abcdefgh", "12345678"}  # a short one would be found in every other word


def test_the_secrets_of_this_process_are_known(monkeypatch):
    monkeypatch.setenv("MODEL_API_KEY", "quite-plain-words")
    assert Masker.of_environment()(["quite-plain-words!"]) == [f"{MASK}!"]


def test_addresses_are_masked_where_that_is_asked_for():
    assert Masker(emails=True)("write to a.b+c@mail.example") == f"write to {MASK}"
    assert mask("write to a.b+c@mail.example") == "write to a.b+c@mail.example"


class Hostile:
    def __repr__(self):
        raise RuntimeError("no")

    __str__ = __hash__ = __eq__ = __repr__


class HostileMapping(dict):
    def items(self):
        raise RuntimeError("no")


class HostileText(str):
    __slots__ = ()

    def __str__(self):
        raise RuntimeError("no")

    __getitem__ = __len__ = encode = __str__


UNPLAIN = [
    (Hostile(), "<Hostile>"),
    ({"a": Hostile()}, {"a": "<Hostile>"}),
    (HostileMapping(a=1), "<unreadable>"),
    (HostileText("abc"), "abc"),
    (float("nan"), "nan"),
    ([float("inf")], ["inf"]),
    (10**5000, MORE),
    (4111111111111111, MASK),
    (b"password=hunter2", f"password={MASK}"),
    ({1: "a", None: "b", (1, 2): "c"}, {"1": "a", "None": "b", "<tuple>": "c"}),
    ("\ud800\0", "\ufffd\ufffd"),
    ((1, 2), [1, 2]),
    (object, "<type>"),
]


@pytest.mark.parametrize("number", range(len(UNPLAIN)))
def test_what_is_no_plain_data_becomes_plain_data(number):
    value, masked = UNPLAIN[number]
    assert mask(value) == masked


def test_a_value_that_contains_itself_comes_to_an_end():
    loop = []
    loop += [loop] * 50
    started = time.perf_counter()
    json.dumps(mask(loop))
    assert time.perf_counter() - started < 5


def test_size_is_bounded_and_what_is_left_out_is_shown():
    small = Masker(bounds=Bounds(text=10, items=3, depth=2, total=100))
    assert small("x" * 50) == "x" * 9 + MORE
    assert small([1, 2, 3, 4]) == [1, 2, MORE]
    assert small([1, 2, 3]) == [1, 2, 3]
    assert small(dict.fromkeys("abcd", 1)) == {"a": 1, "b": 1, MORE: MORE}
    assert small([[[1]]]) == [[MORE]]
    assert len(json.dumps(mask([["x" * 1_999] * 90] * 90))) < 40_000


def test_a_secret_at_the_cut_is_not_left_half():
    for place in range(1_960, 2_000):
        assert "4111" not in mask("x " * (place // 2) + "4111111111111111")
    assert "hunter" not in mask("x" * 199_990 + " password=hunter2")


@pytest.mark.parametrize(
    "text",
    ["a" * 300_000, "=" * 300_000, "password" * 30_000, '"' * 300_000, "\\" * 300_000, "eyJ" * 90_000, "1 " * 150_000,
     "a:" * 150_000, "password=\"" * 30_000, "://:" * 60_000, "-----BEGIN PRIVATE KEY-----" * 9_000, "AB12 " * 50_000,
     "bearer " * 40_000, "x@x." * 60_000, "4" * 300_000, "sk-" * 90_000],
    ids=lambda t: t[:12],
)  # fmt: skip
def test_no_text_makes_it_slow(text):
    thorough = Masker(["hunter2"], emails=True)
    started = time.perf_counter()
    thorough(text)
    assert time.perf_counter() - started < 5  # measured: under 0.4 s on 200,000 characters


pieces = st.sampled_from(
    [*SECRETS, *HARMLESS, "password", "token=", ": ", '"', "\\", "'", "Bearer ", "hunter2", "=", "***", MORE, "://a:b@",
     "4111", "1111", "eyJ", "-----BEGIN PRIVATE KEY-----", "\n", "&", ";", "cookie:", "\ud800", "DE89"]
)  # fmt: skip
texts = st.text(max_size=8) | st.lists(pieces, max_size=6).map("".join)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts | st.binary(max_size=8) | st.builds(object),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.tuples(texts, inner)
        | st.dictionaries(texts | st.sampled_from(["name", "value", "password", "tokens"]), inner, max_size=5)
    ),
    max_leaves=20,
)
bounds = st.builds(Bounds, st.integers(5, 60), st.integers(2, 5), st.integers(1, 4), st.integers(10, 200))


@given(value=plain, bounds=st.none() | bounds, emails=st.booleans())
def test_masking_gives_plain_json_and_twice_is_once(value, bounds, emails):
    masker = Masker([SECRET, "hunter2"], emails=emails, bounds=bounds)
    once = masker(value)
    json.dumps(once, allow_nan=False).encode()
    assert masker(once) == once


@given(before=texts, secret=st.sampled_from(SECRETS[:8]), after=texts)
def test_no_text_around_a_known_value_hides_it(before, secret, after):
    assert secret not in json.dumps(Masker([secret])({"note": before + secret + after}), ensure_ascii=False)

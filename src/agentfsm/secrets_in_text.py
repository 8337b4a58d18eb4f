"""Secrets in names and in text: what is one by its name, by its form, or because it is known."""

from __future__ import annotations

import functools
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from urllib.parse import quote

MASK = "***"
SHORTEST = 6
"""Characters; a shorter value is no secret worth the name, and would be found in every other word."""

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_SECRET = re.compile(
    r"(?:^|_)(?:[a-z]*password|[a-z]*passwd|pwd|passphrase|passcode|[a-z]*secret|[a-z]*token|[a-z]*apikey|"
    r"api_key|access_key|secret_key|private_key|signing_key|encryption_key|authorization|auth|cookie|credentials?|"
    r"card|card_?number|pan|cvv|cvc|iban|ssn|pin|session_id|sessionid|otp|dsn)(?:_|$)"
)
_COUNTED = re.compile(r"token_(?:count|limit|usage|budget|type|price)s?$")
_WORD = re.compile(r"[A-Za-z_]{0,80}")  # most texts are one word, and no form of a secret is
_HARMLESS = frozenset({"", "null", "none", "true", "false"})

_FORMS = [
    (re.compile(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|\Z)", re.S), MASK),
    (re.compile(r"(?i)\b(bearer)\s{1,4}[A-Za-z0-9._~+/=-]{6,}"), rf"\1 {MASK}"),
    (re.compile(r"(?i)\b(basic)\s{1,4}(?=[A-Za-z+/]{0,200}[0-9=])[A-Za-z0-9+/=]{12,}"), rf"\1 {MASK}"),
    (re.compile(r"(?i)\b((?:proxy-)?authorization|(?:set-)?cookie)(\s{0,4}[:=]\s{0,4})[^\n\"'\\}]+"), rf"\1\2{MASK}"),
    (re.compile(r"\b(?:sk|pk|rk)[-_](?=[A-Za-z_-]{0,200}[0-9])[A-Za-z0-9_-]{12,}"), MASK),
    (re.compile(r"\b(?:AKIA|ASIA|AGPA|AIDA|AROA|ANPA)[A-Z0-9]{16}\b"), MASK),
    (re.compile(r"\b(?:gh[pousr]_|github_pat_|glpat-|xox[abprs]-|AIza|ya29\.)[\w.-]{16,}"), MASK),
    (re.compile(r"\beyJ[\w-]{5,}\.[\w-]+(?:\.[\w-]*)?"), MASK),
    (re.compile(r"\b([a-z][a-z0-9+.-]{0,30}://[^\s/:@]{0,200}:)[^\s@/]{1,400}(?=@)"), rf"\1{MASK}"),
]
_NAMED = re.compile(r"""(?<![\w.-])([A-Za-z][\w.-]{1,63})(?:\\{0,8}["'])?\s{0,4}[:=]\s{0,4}""")
_VALUE = re.compile(
    r"""(?P<quote>\\{0,8}["']).*?(?<!\\)(?P=quote)|\\{0,8}["'][^\n]*|[^\s,;&"'\\}\])]+""",
    re.S,
)
_CARD = re.compile(r"(?<![0-9.])[2-6](?:[ -]?[0-9]){12,18}(?![0-9])")
_IBAN = re.compile(r"\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b")
_EMAIL = re.compile(r"\b[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}\b")


@functools.lru_cache(maxsize=1024)
def secret_name(name: str) -> bool:
    """Whether what goes by this name is secret: `password`, `X-Api-Key`, `clientSecret`, but not `max_tokens`."""
    words = "_".join(_WORDS.findall(name[:2_000])).lower()
    return bool(_SECRET.search(words)) and not _COUNTED.search(words)


def secrets_of(environ: Mapping[str, str]) -> frozenset[str]:
    """Return the values of the variables whose names say that they are secret."""
    return frozenset(value for name, value in environ.items() if secret_name(name) and len(value) >= SHORTEST)


def known(secrets: Iterable[str]) -> re.Pattern[str] | None:
    """Return a pattern for these values, also as JSON, in a URL or in base64 they would stand; None for none."""
    forms = set()
    for secret in secrets:
        if len(secret) >= SHORTEST:
            raw = secret.encode("utf-8", "surrogatepass")
            escaped = secret.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
            forms |= {secret, escaped, quote(raw, safe=""), b64encode(raw).decode("ascii").rstrip("=")}
    return re.compile("|".join(map(re.escape, sorted(forms, key=len, reverse=True)))) if forms else None


def mask_text(text: str, secrets: re.Pattern[str] | None, *, emails: bool) -> str:
    """Return a text with every secret in it masked, once over."""
    if secrets is not None:
        text = secrets.sub(MASK, text)
    if _WORD.fullmatch(text):
        return text
    for pattern, put in _FORMS:
        text = pattern.sub(put, text)
    text = _mask_named(text)
    text = _IBAN.sub(lambda found: MASK if _is_iban(found[0]) else found[0], text)
    text = _CARD.sub(lambda found: MASK if is_card(found[0]) else found[0], text)
    return _EMAIL.sub(MASK, text) if emails else text


def is_card(text: str) -> bool:
    """Whether the digits in a text are the number of a card: 13 to 19, by Luhn."""
    digits = [int(char) for char in text if char in "0123456789"]
    if not 13 <= len(digits) <= 19 or not 2 <= digits[0] <= 6:
        return False
    doubled = [d if i % 2 == 0 else d * 2 - 9 * (d > 4) for i, d in enumerate(reversed(digits))]
    return sum(doubled) % 10 == 0


def _is_iban(text: str) -> bool:
    packed = text.replace(" ", "")
    return 15 <= len(packed) <= 34 and int("".join(str(int(c, 36)) for c in packed[4:] + packed[:4])) % 97 == 1


def _mask_named(text: str) -> str:
    """Mask what stands behind a name that says it is secret: `password=x`, `"token": "x"`, also in quoted JSON."""
    parts, done = [], 0
    for found in _NAMED.finditer(text):
        if found.start() < done or not secret_name(found[1]):
            continue
        value = _VALUE.match(text, found.end())
        if value is None or value[0].strip("\"'\\").lower() in _HARMLESS:
            continue
        quote_mark = value["quote"] or ""
        parts += [text[done : found.end()], quote_mark, MASK, quote_mark]
        done = value.end()
    return "".join([*parts, text[done:]])

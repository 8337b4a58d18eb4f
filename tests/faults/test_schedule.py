"""The one-line text of a schedule and of a site: it can always be pasted back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_agent.errors import UsageError
from pytest_agent.faults.schedule import Fault, Schedule
from pytest_agent.faults.site import Site

names = st.text(min_size=1, max_size=20)
counts = st.integers(1, 999_999_999)
attempts = st.integers(1, 9999)
sites = st.one_of(
    st.builds(Site, st.sampled_from(["tool", "event", "tcp"]), names, counts, attempts, st.none(), st.booleans()),
    st.builds(Site, st.just("llm"), st.just("") | names, counts, attempts, st.none(), st.booleans()),
    st.builds(Site, st.just("clock"), st.just(""), counts, attempts, st.none(), st.booleans()),
    st.builds(Site, st.just("store"), names, counts, attempts, st.sampled_from(["before", "after"]), st.booleans()),
)
values = (
    st.booleans()
    | st.integers(-(10**12), 10**12)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=15)
    | st.sampled_from(["true", "30", "1e5", "null", "NaN", "Infinity", "a b", 'say "x"', "a;b", "(c)", "x=y", ""])
)
params = st.dictionaries(st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True), values, max_size=4)
faults = st.builds(
    lambda id_, site, given: Fault(id_, site, tuple(sorted(given.items()))),
    st.from_regex(r"[a-z0-9]+(-[a-z0-9]+){0,2}", fullmatch=True),
    sites,
    params,
)


@given(sites)
def test_a_site_is_read_back(site):
    assert Site.parse(str(site)) == site
    assert not set(str(site)) & set(" ;()'\"`$\\\n")


@given(st.lists(faults, min_size=1, max_size=5).map(Schedule.of))
def test_a_schedule_is_read_back(schedule):
    text = str(schedule)
    if len(text) <= 10_000:
        assert Schedule.parse(text) == schedule
        assert str(Schedule.parse(text)) == text
        assert "\n" not in text


@given(st.lists(faults, min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_the_order_in_which_it_is_written_does_not_matter(several, shuffler):
    schedule = Schedule.of(several)
    again = [*several, several[0]]
    shuffler.shuffle(again)
    assert str(Schedule.of(again)) == str(schedule)


@given(st.text(max_size=200) | st.text(alphabet="llm#1/2@;()[]=,tool:ab \"'\\u0", max_size=60))
def test_any_text_is_read_or_refused_and_never_a_traceback(text):
    try:
        schedule = Schedule.parse(text)
    except UsageError as error:
        said = str(error)
    else:
        assert Schedule.parse(str(schedule)) == schedule
        return
    assert any(word in said for word in ("expected", "Known", "characters", "twice"))


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("reply-lost@tool:payments.refund", "reply-lost@tool:payments.refund#1"),
        ("reply-lost @ tool:payments.refund/2", "reply-lost@tool:payments.refund#1/2"),
        ("b@llm#2; a@llm ;", "a@llm#1; b@llm#2"),
        ("f(b=2,a=1.50)@llm[main]#3/2", "f(a=1.5, b=2)@llm[main]#3/2"),
        ("crash@process@store:commit.before", "crash@process@store:commit#1.before"),
        ("f(how=reset)@tool:a%20b%2Fc", "f(how=reset)@tool:a%20b%2Fc#1"),
    ],
)
def test_canonical_form(text, same):
    assert str(Schedule.parse(text)) == same


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the schedule is empty; expected 'fault(param=value)@site"),
        (" ; ", "the schedule is empty"),
        ("reply-lost", "'reply-lost' is not a fault at a site; expected"),
        ("reply-lost@tool:a; oh no", "'oh no' is not a fault at a site"),
        ("f(after)@llm", "parameter 'after' is not of the form name=value"),
        ("f(after=1, after=2)@llm", "parameter 'after' is given twice"),
        ("f@tol:a", "there is no seam 'tol'. Did you mean 'tool'?"),
        ("f@llm:main", "llm takes no ':main'"),
        ("f@tool", "a tool site needs a name, such as 'tool:payments.refund'"),
        ("f@tool[x]:a", "only llm takes a [conversation]"),
        ("f@store:commit", "a store site needs .before or .after"),
        ("f@tool:x.before", ".before belongs to store sites only"),
        ("f@elsewhere@llm", "only 'process@' may stand before a site"),
        ("f@llm#0", "site 'llm#0' is not of the form of a site"),
        ("x" * 10_001, "10001 characters; at most 10000 are read"),
        ("f(a=" + "[" * 9_000, "is not a fault at a site"),
    ],
)
def test_what_does_not_fit_is_quoted(text, said):
    with pytest.raises(UsageError) as caught:
        Schedule.parse(text)
    assert said in str(caught.value)
    assert len(str(caught.value)) < 600


def test_deep_json_as_a_value_is_text():
    (fault,) = Schedule.parse(f"f(a={'[' * 9_000})@llm").faults
    assert dict(fault.params)["a"] == "[" * 9_000

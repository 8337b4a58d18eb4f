import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentfsm.errors import DefinitionError
from agentfsm.rollout_plan import Rollout, choose, judge, place

names, ids = st.text(max_size=20), st.text(max_size=40)
percents = st.floats(0, 100)


@given(names, ids, percents, percents)
def test_whoever_is_in_at_a_small_share_stays_in_at_a_larger_one(name, request_id, one, other):
    small, large = sorted((one, other))
    if choose(Rollout(1, 2, small), name, request_id) == 2:
        assert choose(Rollout(1, 2, large), name, request_id) == 2


@given(names, ids)
def test_nobody_is_in_at_nothing_and_everybody_at_all(name, request_id):
    assert choose(Rollout(1, 2, 0), name, request_id) == 1
    assert choose(Rollout(1, 2, 100), name, request_id) == 2
    assert choose(Rollout(1), name, request_id) == 1


@given(names, ids, percents, st.integers(2, 9), st.integers(10, 99))
def test_who_is_in_does_not_depend_on_the_versions(name, request_id, percent, canary, stable):
    assert (choose(Rollout(1, 2, percent), name, request_id) == 1) == (
        choose(Rollout(stable, canary, percent), name, request_id) == stable
    )


@pytest.mark.parametrize("percent", [1, 5, 50, 95])
def test_the_share_of_the_canary_is_what_was_asked_for(percent):
    chosen = [choose(Rollout(1, 2, percent), "refund", f"task-{n}") for n in range(20_000)]
    assert chosen.count(2) / 200 == pytest.approx(percent, abs=1.0)


def test_two_workflows_do_not_try_everything_on_the_same_tasks():
    both = [(place("refund", f"task-{n}") < 50, place("account", f"task-{n}") < 50) for n in range(20_000)]
    assert both.count((True, True)) / 200 == pytest.approx(25, abs=1.5)


def test_the_place_of_a_task_is_the_same_in_every_process_and_release():
    first = hashlib.sha256(b"refund\0task-1").digest()[:6]
    assert place("refund", "task-1") == int.from_bytes(first) / 2**48 * 100


def outcomes(stable_bad, canary_bad, tasks=100):
    return {
        "refund@1": {"success": tasks - stable_bad, "failed": stable_bad},
        "refund@2": {"success": tasks - canary_bad, "limit": canary_bad},
        "refund@12": {"failed": 10_000},
    }


def test_a_canary_that_does_worse_is_rolled_back_with_the_evidence():
    found = judge(Rollout(1, 2, 10, min_tasks=100, worse_by=0.05), outcomes(10, 16))
    assert found is not None
    assert (found.version, found.bad, found.stable_bad, found.tasks, found.stable_tasks) == (2, 0.16, 0.10, 100, 100)
    assert found.then == Rollout(1, None, 0.0, min_tasks=100, worse_by=0.05)
    assert choose(found.then, "refund", "task-1") == 1


@pytest.mark.parametrize(
    ("rollout", "seen"),
    [
        (Rollout(1, 2, 10, min_tasks=100), outcomes(15, 20)),  # worse by 0.05 and no more
        (Rollout(1, 2, 10, min_tasks=100), outcomes(50, 0)),
        (Rollout(1, 2, 10, min_tasks=101), outcomes(0, 100)),
        (Rollout(1, 2, 10, min_tasks=1), {"refund@2": {"failed": 50}}),
        (Rollout(1, 2, 50, min_tasks=1, worse_by=None), outcomes(0, 100)),
        (Rollout(1), outcomes(0, 100)),
        (Rollout(1, 2, 10), {}),
    ],
    ids=["as-bad-as-allowed", "better", "too-few", "no-stable-arm", "a-b", "no-canary", "nothing-yet"],
)
def test_a_canary_stays(rollout, seen):
    assert judge(rollout, seen) is None


def test_a_user_who_cancels_speaks_against_no_version():
    seen = {"refund@1": {"success": 50}, "refund@2": {"cancelled": 30, "partial": 20}}
    assert judge(Rollout(1, 2, 10), seen) is None


@pytest.mark.parametrize("outcome", ["failed", "limit", "unknown"])
def test_every_bad_outcome_counts(outcome):
    assert judge(Rollout(1, 2, 10), {"refund@1": {"success": 50}, "refund@2": {"success": 40, outcome: 10}})


@given(
    st.builds(
        Rollout,
        st.integers(1, 3),
        st.integers(4, 6),
        percents,
        st.integers(1, 99),
        st.none() | st.floats(0, 1),
        st.none() | st.integers(7, 9),
    )
)
def test_a_rollout_is_read_back_as_it_was_described(rollout):
    assert Rollout.of(rollout.describe()) == rollout


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ([1], "found list, expected a mapping"),
        ({"stabel": 1}, "unknown key 'stabel'. Did you mean 'stable'?"),
        ({"percent": 5}, "'stable' is missing"),
        ({"stable": True}, "stable is True, expected a whole number from 1"),
        ({"stable": 1, "canary": "2"}, "canary is '2', expected a whole number from 1 or null"),
        ({"stable": 1, "canary": 2, "percent": 101}, "percent is 101, expected a number from 0 to 100"),
        ({"stable": 1, "canary": 2, "percent": float("nan")}, "percent is nan"),
        ({"stable": 1, "percent": 5}, "there is no canary"),
        ({"stable": 1, "canary": 1, "percent": 5}, "canary is 1, which is the stable version"),
        ({"stable": 1, "worse_by": 5}, "worse_by is 5, expected a share from 0 to 1"),
        ({"stable": 1, "min_tasks": 0}, "min_tasks is 0"),
    ],
)
def test_a_rollout_that_says_nothing_sensible_is_refused_with_the_edit(value, says):
    with pytest.raises(DefinitionError) as refused:
        Rollout.of(value)
    assert says in str(refused.value)


def test_every_fault_of_a_rollout_is_named_at_once():
    with pytest.raises(DefinitionError) as refused:
        Rollout.of({"stable": 0, "canary": 2, "percent": -1, "worse_by": 2})
    assert all(name in str(refused.value) for name in ("stable is 0", "percent is -1", "worse_by is 2"))

import json
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentfsm.budgets import Limits
from agentfsm.config import load_environment, names
from agentfsm.errors import ConfigError
from agentfsm.rollout_plan import Rollout

VARIABLES = {
    "OPENAI_API_KEY": "canary-openai",
    "ANTHROPIC_API_KEY": "canary-anthropic",
    "AGENTFSM_STORE": "postgresql://agent:canary-password@db.test/tasks?token=canary-token",
}
CANARIES = ("canary-openai", "canary-anthropic", "canary-password", "canary-token")
MODEL = "provider: openai, model: m, first_event_s: 20, idle_s: 10"


@pytest.fixture
def folder(tmp_path):
    def write(**files):
        for name, text in files.items():
            (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
        return tmp_path

    return write


def load(folder, name="mine", **options):
    return load_environment(name, folder=folder, **{"variables": VARIABLES, **options})


def faults(folder, name="mine", **options):
    """What is wrong, one line each, the folder left out."""
    with pytest.raises(ConfigError) as refused:
        load(folder, name, **options)
    assert refused.value.code == "config"
    lines = str(refused.value).splitlines()
    assert lines == refused.value.fields["faults"]
    return [line.replace(f"{folder}/", "") for line in lines]


@pytest.mark.parametrize("name", ["dev", "staging", "prod"])
def test_a_shipped_environment_is_complete(name):
    found = load_environment(name, variables=VARIABLES)
    assert found.name == name
    assert found.files == (f"agentfsm/environments/{name}.yaml", "agentfsm/environments/base.yaml")
    assert found.limits.cost_usd
    assert set(found.describe()["limits"]) == {item.name for item in fields(Limits)}


def test_the_base_has_the_limits_that_a_runtime_has_by_itself():
    assert load_environment("base", variables=VARIABLES).limits == Limits()


def test_production_asks_another_provider_when_the_first_one_fails():
    assert [model.provider for model in load_environment("prod", variables=VARIABLES).models] == ["openai", "anthropic"]


def test_development_needs_no_store_of_its_own():
    found = load_environment("dev", variables={"OPENAI_API_KEY": "x"})
    assert found.store.value == "agentfsm.db"


def test_an_environment_says_only_what_is_different(folder):
    found = load(
        folder(
            mine="extends: theirs\nlimits: {steps: 7, per_tool: {pay: 1}}\nworker: {poll_s: 2}",
            theirs="extends: base\nlimits: {steps: 5, tokens: 9}",
        )
    )
    assert (found.limits.steps, found.limits.tokens, found.limits.per_tool) == (7, 9, {"pay": 1})
    assert found.limits.wall_s == 300
    assert (found.worker.poll_s, found.worker.concurrency) == (2.0, 16)


def test_a_list_is_replaced_and_not_mixed(folder):
    found = load(folder(mine=f"extends: prod\nmodels: [{{{MODEL}}}]"))
    assert [model.model for model in found.models] == ["m"]


def test_an_environment_of_ones_own_builds_on_the_shipped_one_of_that_name(folder):
    found = load(folder(prod="extends: prod\nlimits: {steps: 7}"), "prod")
    assert (found.limits.steps, found.limits.cost_usd) == (7, 2.0)


def test_every_value_knows_where_it_stands(folder):
    place = folder(mine="extends: base\nlimits:\n  steps: 7")
    found = load(place)
    assert found.sources["limits.steps"] == f"{place}/mine.yaml:3"
    assert found.sources["limits.tokens"].startswith("agentfsm/environments/base.yaml:")


def test_rollouts_are_part_of_it(folder):
    found = load(folder(mine="extends: base\nrollout:\n  refund: {stable: 1, canary: 2, percent: 5}"))
    assert found.rollout == {"refund": Rollout(1, 2, 5)}


def test_every_fault_is_named_at_once_with_its_line_and_the_edit(folder):
    found = faults(
        folder(
            mine="extends: theirs\nlimits:\n  steps: many\n  tokns: 5\nworker: {concurrency: 0, poll_s: true}\n"
            "rollout:\n  refund: {stable: 1, percent: 5}\nstore: {env: NOT_SET}\n",
            theirs="extends: base\nlimits: {wall_s: -1}\nretry: 5\n",
        )
    )
    assert found == [
        "mine.yaml:7 rollout.refund: percent is 5 but there is no canary; name its version or set percent to 0",
        "mine.yaml:3 limits.steps: input should be a valid integer, found 'many'",
        "theirs.yaml:2 limits.wall_s: input should be greater than 0, found -1",
        f"mine.yaml:4 limits.tokns: unknown key. Did you mean 'tokens'? Known: {known_limits()}.",
        "theirs.yaml:3 retry: input should be a valid dictionary or instance of RetryPart, found 5",
        "mine.yaml:5 worker.concurrency: input should be greater than 0, found 0",
        "mine.yaml:5 worker.poll_s: input should be a valid number, found True",
        "mine.yaml:8 store: the environment variable NOT_SET is not set; set it where this process is started",
    ]


def known_limits():
    return ", ".join(sorted(item.name for item in fields(Limits)))


def test_all_missing_variables_are_named_at_once():
    with pytest.raises(ConfigError) as refused:
        load_environment("prod", variables={})
    assert [line.split("variable ")[1].split()[0] for line in refused.value.fields["faults"]] == [
        "AGENTFSM_STORE",
        "OPENAI_API_KEY",
        "ANTHROPIC_API_KEY",
    ]


def test_an_empty_variable_is_not_set():
    with pytest.raises(ConfigError, match="OPENAI_API_KEY is not set"):
        load_environment("dev", variables={"OPENAI_API_KEY": ""})


def test_only_what_is_needed_has_to_be_set():
    found = load_environment("prod", variables={}, needs=())
    assert found.store.value is None
    assert found.models[0].api_key.value is None
    assert load_environment("prod", variables={"AGENTFSM_STORE": "x.db"}, needs=("store",)).store.value == "x.db"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (f"models: [{{{MODEL}, api_key: hidden-1234}}]", "models[0].api_key"),
        (f"models: [{{{MODEL}, api_key: {{env: sk-hidden-1234}}}}]", "models[0].api_key.env"),
        (f"models: [{{{MODEL}, base_url: 'https://hidden.test/v1'}}]", "models[0].base_url"),
        ("store: postgresql://u:hidden@db/x", "store"),
        ("store: hidden.db", "store"),
        ("store: {env: AGENTFSM_STORE, default: 'postgresql://u:hidden@db/x'}", "store.default"),
        ("models: [{provider: openai, model: sk-proj-hidden, first_event_s: 1, idle_s: 1}]", "models[0].model"),
        ("rollout: {sneaky: {stable: 1, note: 'Bearer hidden'}}", "rollout.sneaky.note"),
        ("rollout: {sneaky: {stable: sk-hidden}}", "rollout.sneaky.stable"),
        ("password: ghp_hidden123456", "password"),
    ],
)
def test_a_secret_or_a_url_that_is_written_out_is_refused_and_not_repeated(folder, text, place):
    found = faults(folder(mine=f"extends: base\n{text}"))
    assert any(line.startswith(f"mine.yaml:2 {place}: a secret or a URL is written out here") for line in found)
    assert "hidden" not in "\n".join(found)


def test_nothing_that_is_shown_holds_a_secret():
    found = load_environment("prod", variables=VARIABLES)
    shown = json.dumps(found.describe()) + repr(found) + str(found)
    assert not [canary for canary in CANARIES if canary in shown]
    assert found.describe()["store"] == {
        "env": "AGENTFSM_STORE",
        "set": True,
        "value": "postgresql://agent:***@db.test/tasks",
    }
    assert found.describe()["models"][0]["api_key"] == {"env": "OPENAI_API_KEY", "set": True}


def test_the_values_are_there_for_who_asks_for_them():
    found = load_environment("prod", variables=VARIABLES)
    assert found.models[1].api_key.value == "canary-anthropic"
    assert all(canary in json.dumps(found.describe(masked=False)) for canary in CANARIES)


def test_a_circle_is_shown_whole(folder):
    found = faults(folder(mine="extends: other\n", other="limits: {steps: 1}\nextends: mine\n"))
    assert found[0] == "other.yaml:2 extends: extends itself: mine -> other -> mine; cut the circle"


def test_an_environment_that_extends_itself_needs_a_shipped_one(folder):
    found = faults(folder(mine="extends: mine\n"))
    assert found[0].startswith("mine.yaml:1 extends: unknown environment 'mine'.")


@pytest.mark.parametrize("name", ["prd", "../prod", "prod.yaml", "", "/etc/passwd"])
def test_an_unknown_environment_is_refused_with_those_there_are(tmp_path, name):
    with pytest.raises(ConfigError, match="Known: base, dev, prod, staging"):
        load_environment(name, folder=tmp_path, variables=VARIABLES)


def test_a_near_miss_is_named(folder):
    assert "Did you mean 'staging'?" in faults(folder(mine="extends: stagin\n"))[0]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("limits: [", "mine.yaml:1: not valid YAML"),
        ("a: 1\na: 2", "mine.yaml:2: key 'a' is given twice; keep one"),
        ("a: &x [1]\nb: *x", "mine.yaml:2: alias *x is not read here"),
        ("a: !!python/object/apply:os.system [id]", "mine.yaml:1: a tag such as !!python is not read here"),
        ("[" * 100 + "]" * 100, "more than 20 levels deep"),
        ("a: [" + "1," * 6000 + "]", "more than 5,000 values"),
        ("[1, 2]: 3", "mine.yaml:1: a key must be a plain name"),
        ("just text", "mine.yaml:1: expected a mapping"),
        ("", "mine.yaml:1: expected a mapping"),
        ("extends: 5", "mine.yaml:1 extends: found 5, expected the name of an environment"),
        ("a: \0", "mine.yaml:1: not valid YAML"),
        ("#" + " " * 300_000, "more than 200,000 bytes"),
    ],
)
def test_a_file_that_is_broken_or_hostile_is_refused_with_its_line(folder, text, says):
    assert any(says in line for line in faults(folder(mine=text)))


def test_faults_of_several_files_come_together(folder):
    found = faults(folder(mine="extends: theirs\nsteps: 5\na: 1\na: 2", theirs="extends: base\nb: 1\nb: 1"))
    assert {line.split(" ")[0] for line in found} == {
        "mine.yaml:4:",
        "theirs.yaml:3:",
        "mine.yaml:2",
        "mine.yaml:3",
        "theirs.yaml:2",
    }


def test_a_file_that_is_no_text_or_no_file_is_refused(folder):
    place = folder()
    (place / "mine.yaml").write_bytes(b"a: 1\nb: \xff\n")
    assert "mine.yaml:2: not UTF-8; save the file as UTF-8" in faults(place)


def test_a_lease_has_to_outlast_a_step(folder):
    found = faults(folder(mine="extends: base\nlimits: {step_s: 60}"))
    assert found == [
        "agentfsm/environments/base.yaml:17 limits.lease_s: 30 is less than limits.step_s (60); "
        "a lease has to outlast a step"
    ]


def test_text_that_looks_like_another_type_stays_text(folder):
    found = faults(folder(mine="extends: base\nlimits: {steps: '5', tokens: 1.5, wall_s: 5}"))
    assert [line.split(" ")[1] for line in found] == ["limits.steps:", "limits.tokens:"]


def test_the_environments_there_are(folder):
    assert names(folder(mine="", prod="")) == ["base", "dev", "mine", "prod", "staging"]


@given(st.text(max_size=200) | st.binary(max_size=200))
def test_whatever_a_file_holds_it_is_read_or_refused(tmp_path_factory, text):
    place = tmp_path_factory.mktemp("environments")
    (place / "mine.yaml").write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "replace"))
    with pytest.raises(ConfigError):  # nothing this short is a whole environment
        load(place)

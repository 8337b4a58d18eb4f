import pytest

VARIABLES = {
    "OPENAI_API_KEY": "canary-openai",
    "ANTHROPIC_API_KEY": "canary-anthropic",
    "AGENTFSM_STORE": "postgresql://agent:canary-password@db.test/tasks",
}


@pytest.fixture
def variables(folder, monkeypatch):
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)


def test_an_environment_is_shown_with_where_each_value_stands(agentfsm, variables):
    ran = agentfsm("config", "show", "--env", "prod")
    assert (ran.code, ran.err) == (0, "")
    lines = {line.split()[0]: line for line in ran.out.splitlines()}
    assert lines["limits.cost_usd"].split()[1:] == ["2.0", "#", "agentfsm/environments/prod.yaml:4"]
    assert "$OPENAI_API_KEY (set)" in lines["models[0].api_key"]
    assert "postgresql://agent:***@db.test/tasks" in lines["store"]
    assert "canary" not in ran.out


def test_every_limit_is_shown(agentfsm):
    ran = agentfsm("config", "show", "--env", "prod", "--json")
    assert ran.code == 0
    assert ran.document["environment"] == "prod"
    assert ran.document["store"] == {"env": "AGENTFSM_STORE", "set": False}
    assert "lease_s" in ran.document["limits"]
    assert "canary" not in ran.out


def test_a_check_names_all_that_is_missing(agentfsm, variables, monkeypatch):
    assert agentfsm("config", "check", "--env", "prod").out == "environment prod: nothing is wrong\n"
    monkeypatch.delenv("AGENTFSM_STORE")
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    ran = agentfsm("config", "check", "--env", "prod")
    assert ran.code == 2
    assert [line.split("variable ")[1].split()[0] for line in ran.err.splitlines()] == [
        "AGENTFSM_STORE",
        "ANTHROPIC_API_KEY",
    ]
    asjson = agentfsm("config", "check", "--env", "prod", "--json")
    assert (asjson.error["code"], len(asjson.error["faults"])) == ("config", 2)


def test_a_cost_that_cannot_be_told_is_noted(agentfsm, folder, variables):
    for name in ("dev", "staging", "prod"):
        assert agentfsm("config", "check", "--env", name, "--json").document["notes"] == []
    (folder / "environments").mkdir()
    models = "models: [{provider: openai, model: home-made, first_event_s: 9, idle_s: 9}]"
    (folder / "environments" / "mine.yaml").write_text(f"extends: dev\n{models}\n")
    ran = agentfsm("config", "check", "--env", "mine")
    assert ran.code == 0
    assert "the price of openai/home-made is not known" in ran.out


def test_ones_own_environments_are_found_beside_the_shipped_ones(agentfsm, folder):
    (folder / "environments").mkdir()
    (folder / "environments" / "mine.yaml").write_text("extends: dev\nlimits: {steps: 3}\n")
    assert agentfsm("config", "list").out.split() == ["base", "dev", "mine", "prod", "staging"]
    assert agentfsm("config", "show", "--env", "mine", "--json").document["limits"]["steps"] == 3
    (folder / "environments" / "mine.yaml").write_text("extends: dev\nlimits: {stps: 3}\n")
    ran = agentfsm("config", "show", "--env", "mine")
    assert ran.code == 2
    assert ran.err.startswith("agentfsm: environments/mine.yaml:2 limits.stps: unknown key. Did you mean 'steps'?")


def test_the_environment_can_be_named_by_the_process(agentfsm, monkeypatch):
    monkeypatch.setenv("AGENTFSM_ENV", "staging")
    assert agentfsm("config", "show", "--json").document["environment"] == "staging"


def test_an_unknown_environment_or_folder_is_bad_input(agentfsm):
    assert "Did you mean 'prod'?" in agentfsm("config", "show", "--env", "prd").err
    ran = agentfsm("config", "show", "--environments", "nowhere")
    assert (ran.code, "nowhere is no folder" in ran.err) == (2, True)


def test_a_task_in_an_environment_that_is_not_ready_does_not_begin(agentfsm, shop, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    ran = agentfsm("run", "agentfsm.agents.support_refund", "--tools", "shop:tools", "refund order 7")
    assert ran.code == 2
    assert "OPENAI_API_KEY is not set" in ran.err


def test_looking_at_tasks_needs_no_key_of_a_model(agentfsm, shop, monkeypatch):
    agentfsm("run", "agentfsm.agents.support_refund", "--tools", "shop:tools", "refund order 7", "--id", "r1")
    monkeypatch.delenv("OPENAI_API_KEY")
    assert agentfsm("show", "r1").code == 0

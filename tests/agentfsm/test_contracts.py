"""Contracts: what is refused when they are made, what they check, and the texts that come from the same schema."""

import enum
import json
import sys
import time
import types
from dataclasses import replace
from typing import Annotated, Any, Literal, NotRequired, get_args, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, RootModel

from agentfsm import Effect, ToolContract
from agentfsm.agents import business_contracts, ops_contracts, research_contracts, support_refund
from agentfsm.contract_rules import alarm, lint
from agentfsm.contract_texts import docs, types_source
from agentfsm.contracts import MAX_CODE, MAX_REASON, UNDECLARED, Status
from agentfsm.errors import ContractViolation, DefinitionError, InvalidArguments
from agentfsm.fallbacks import Cached, Person
from agentfsm.schemas import in_words, json_schema, spoken, unit, unitless

LOOKUP, REFUND = support_refund.CONTRACTS
SHIPPED = tuple(
    contract
    for agent in (support_refund, business_contracts, ops_contracts, research_contracts)
    for contract in agent.CONTRACTS
)


class Free(BaseModel):
    data: Any = None
    share: float = 0.0


class Colour(enum.IntEnum):
    RED = 1


class Node(BaseModel):
    weight: Annotated[int, unit("g")]
    next: "Node | None" = None


class Odd(BaseModel):
    model_config = ConfigDict(extra="forbid")

    colour: Colour
    plain: int
    either: int | str = 1
    listed: list[float] = Field(default=[], max_length=3)
    weights: list[Annotated[int, unit("kg")]] = []
    whole: Annotated[list[int], unit("s")] = []
    by_name: dict[str, int] = {}
    flag: bool = False
    months: Literal[12, 24] = 12
    share: Annotated[float, unit("percent")] = Field(default=0.0, gt=0, le=100, description="How much")
    node: Node | None = None


class Aliased(BaseModel):
    from_: str = Field(alias="from")


FREE = ToolContract("free", 1, Free, Free, Effect.PURE)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"effect": "idempotant"}, r"effect='idempotant' is no Effect\. Did you mean 'idempotent'\?"),
        ({"name": "no name"}, "name='no name' must be letters"),
        ({"version": 0}, "version=0 must be a whole number"),
        ({"version": True}, "version=True must be"),
        ({"timeout_s": 0}, "timeout_s must be above 0, not 0"),
        ({"timeout_s": float("nan")}, "timeout_s must be above 0"),
        ({"effects": ()}, "an idempotent tool names at least one"),
        ({"effect": Effect.PURE}, "a pure tool has none"),
        ({"effect": Effect.PURE, "effects": (), "destructive": True}, "a pure tool destroys nothing"),
        ({"compensates": "payments.refund"}, "is the tool itself"),
        ({"example": {"refundid": "R1"}}, r"There is no field 'refundid'\. Did you mean 'refund_id'\?"),
        ({"example": {"refund_id": ""}}, "example does not satisfy RefundOutput: refund_id"),
        ({"example": 7}, "example does not satisfy"),
        ({"error_codes": {"a"}}, "must be a frozenset"),
        ({"error_codes": frozenset({"Not Found"})}, "'Not Found' must be lower case"),
        ({"error_codes": frozenset({"temporary_error"})}, "is a status, no code"),
        ({"deprecated": " "}, "must say what to use instead"),
        ({"flag": ""}, "must be the name of a flag"),
        ({"concurrency": 0}, "concurrency=0 must be a whole number"),
        ({"concurrency": 1.5}, r"concurrency=1\.5 must be"),
        ({"per_minute": 0}, "per_minute=0 must be above 0"),
        ({"per_minute": float("inf")}, "per_minute=inf must be above 0"),
    ],
)
def test_a_contract_that_makes_no_sense_is_refused_with_the_edit_to_make(changes, said):
    with pytest.raises(DefinitionError, match=said):
        replace(REFUND, **changes)


def test_all_faults_of_a_contract_are_named_at_once():
    with pytest.raises(DefinitionError) as caught:
        replace(REFUND, version=0, timeout_s=-1, concurrency=0)
    assert all(word in str(caught.value) for word in ("version=0", "timeout_s", "concurrency=0"))


def test_a_contract_that_says_all_it_can_is_taken():
    full = replace(
        REFUND,
        destructive=True,
        approval=True,
        example={"refund_id": "R1"},
        error_codes=frozenset({"order_closed"}),
        deprecated="payments.refund@2",
        flag="refunds",
        concurrency=2,
        per_minute=0.5,
    )
    assert full.label == "payments.refund@1"
    assert json.loads(json.dumps(full.describe()))["error_codes"] == ["order_closed"]


def test_two_versions_stand_side_by_side():
    second = replace(REFUND, version=2)
    assert lint([REFUND, second]) == []
    assert [c.label for c in (REFUND, second)] == ["payments.refund@1", "payments.refund@2"]
    assert "is there twice" in lint([REFUND, REFUND])[0]


def test_statuses_are_a_closed_set():
    assert set(Status) == {"success", "temporary_error", "permanent_error", "invalid_input"}


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (("temporary_error", "busy", None), ("busy", "busy")),
        (("permanent_error", "closed", "It is closed."), ("closed", "It is closed.")),
    ],
)
def test_a_declared_error_code_is_kept(given, kept):
    assert replace(LOOKUP, error_codes=frozenset({"busy", "closed"})).failure(*given) == kept


@pytest.mark.parametrize("code", ["besy", None, "", 7, ["busy"], "x" * 10_000, "\ud800"])
def test_an_undeclared_error_code_is_recorded_as_the_tools_fault(code):
    kept, reason = replace(LOOKUP, error_codes=frozenset({"busy"})).failure("temporary_error", code, "r" * 10_000)
    assert kept == UNDECLARED
    assert "the contract declares no error_code" in reason
    assert len(reason) < MAX_REASON + MAX_CODE + 100


def test_where_no_codes_are_declared_any_will_do_within_bounds():
    code, reason = LOOKUP.failure("temporary_error", "x" * 10_000, "\ud800")
    assert (len(code), reason) == (MAX_CODE, "\ufffd")
    assert LOOKUP.failure("temporary_error", None, None) == ("temporary_error", "temporary_error")


def test_an_undeclared_code_is_tried_again_as_its_status_says(world):
    asked = []

    def look_up(order):
        asked.append(order)
        return {"status": "temporary_error", "error_code": "hm"} if len(asked) == 1 else world.order

    world.tools["orders.lookup"] = look_up
    strict = (replace(LOOKUP, error_codes=frozenset({"busy"})), REFUND)
    workflow = replace(support_refund.WORKFLOW, contracts=strict)

    def build(model):
        from agentfsm import CallableTool, Runtime

        tools = {c.name: CallableTool(c, world.tools[c.name]) for c in strict}
        return Runtime(workflow=workflow, model=model, tools=tools, store=world.store, clock=world.clock)

    result = world.play(lambda runtime: runtime.run(request_id="r1", text="refund order 7"), build)
    assert result.outcome == "success"
    assert world.steps()[1] == (2, 1, "orders.lookup", "failed", UNDECLARED)


@pytest.mark.parametrize("raw", ['{"share": NaN}', '{"share": Infinity}', '{"share": 1e999}'])
def test_arguments_that_are_no_json_are_refused_with_a_reason(raw):
    with pytest.raises(InvalidArguments, match="arguments: Out of range"):
        FREE.parse(raw)


def deep(levels):
    value = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "reply",
    [{"share": float("nan")}, {"share": float("inf")}, {"data": deep(5_000)}, {"data": object()}, None, 7],
)
def test_a_reply_that_is_no_json_is_a_violation(reply):
    with pytest.raises(ContractViolation):
        FREE.check(reply)


def test_a_reply_that_has_no_end_is_a_violation():
    loop: dict[str, Any] = {}
    loop["data"] = loop
    with pytest.raises(ContractViolation):
        FREE.check(loop)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@given(reply=st.fixed_dictionaries({"data": values}) | values)
def test_a_check_gives_json_or_a_violation_and_nothing_else(reply):
    try:
        checked = FREE.check(reply)
    except ContractViolation:
        return
    json.dumps(checked, allow_nan=False)


@given(
    raw=st.text() | values.map(lambda v: json.dumps({"data": repr(v)})) | st.sampled_from(["{" * 9_999, "[" * 9_999])
)
def test_parsing_gives_json_or_a_reason_and_nothing_else(raw):
    try:
        parsed = FREE.parse(raw)
    except InvalidArguments:
        return
    json.dumps(parsed, allow_nan=False)


def test_every_number_of_the_shipped_agents_says_its_unit():
    assert lint(SHIPPED) == []


def test_numbers_without_a_unit_are_found_wherever_they_hide_all_at_once():
    assert unitless(Odd) == ["by_name{}", "colour", "either", "listed[]", "months", "plain"]
    found = lint([ToolContract("odd", 3, Odd, Free, Effect.PURE)])
    assert [line.partition(":")[0] for line in found] == [
        *(f"odd@3 input {path}" for path in unitless(Odd)),
        "odd@3 output share",
    ]


def test_an_empty_unit_is_none():
    class Blank(BaseModel):
        n: Annotated[int, unit(" ")]

    assert unitless(Blank) == ["n"]


def test_the_model_is_told_units_and_limits_in_words_and_no_foreign_key_word():
    told = spoken(Odd)["properties"]
    assert told["share"]["description"] == "How much. Unit: percent; more than 0; at most 100."
    assert told["listed"]["description"] == "At most 3 item(s)."
    assert told["weights"]["description"] == "Each unit: kg."
    assert '"unit"' not in json.dumps(spoken(Odd))
    assert '"unit"' in json.dumps(json_schema(Odd))


def test_a_field_that_is_called_unit_stays():
    class Measure(BaseModel):
        unit: str
        description: str = Field(min_length=2)

    assert list(spoken(Measure)["properties"]) == ["unit", "description"]
    assert in_words({"description": "Why?", "minLength": 2}) == "Why? At least 2 character(s)."


def test_what_the_model_is_told_is_made_once():
    assert LOOKUP.offer() is LOOKUP.offer()
    assert spoken(support_refund.LookupInput) is LOOKUP.offer()["parameters"]


def test_a_run_leaves_what_the_model_is_told_as_it_was(world):
    before = json.dumps([c.offer() for c in SHIPPED])
    world.run()
    assert json.dumps([c.offer() for c in SHIPPED]) == before


def test_the_model_is_told_of_approvals_and_of_what_to_use_instead():
    told = replace(REFUND, destructive=True, deprecated="payments.refund@2").offer()["description"]
    assert "only after a person has approved the very call" in told
    assert told.endswith("Deprecated, use instead: payments.refund@2.")


def test_a_call_of_a_deprecated_tool_raises_an_alarm_and_one_of_its_successor_does_not():
    row = alarm(replace(REFUND, deprecated="payments.refund@2"), 4)
    facts = {"tool": "payments.refund", "tool_version": 1, "use": "payments.refund@2"}
    assert row == {"kind": "deprecated", "step": 4, **facts}
    assert alarm(replace(REFUND, version=2), 4) is None


@pytest.fixture
def compiled(monkeypatch):
    """Give the names that the types of some contracts define, as a module of their own."""

    def run(*contracts):
        module = types.ModuleType("made_types")
        monkeypatch.setitem(sys.modules, "made_types", module)
        exec(compile(types_source(contracts), "<types>", "exec", dont_inherit=True), vars(module))  # noqa: S102
        return vars(module)

    return run


def test_types_come_from_the_same_schema(compiled):
    space = compiled(*SHIPPED)
    hints = get_type_hints(space["OffersListV1OutputOffer"])
    assert hints == {"offer_id": str, "amount": int, "rate_bp": int, "months": int}
    (offer,) = get_args(get_type_hints(space["OffersListV1Output"])["offers"])
    assert offer is space["OffersListV1OutputOffer"]
    assert get_type_hints(space["RiskCheckV1Output"], include_extras=True)["reason"] == NotRequired[str]
    assert "limit: int  # unit: EUR; at least 0" in types_source(SHIPPED)


def test_types_of_odd_schemas_are_python_all_the_same(compiled):
    class Tree(RootModel[dict[str, "list[Tree]"]]):
        pass

    odd = ToolContract("odd", 1, Odd, Node, Effect.PURE)
    tree = ToolContract("tree", 2, Aliased, Tree, Effect.PURE)
    space = compiled(odd, tree)
    hints = get_type_hints(space["OddV1Input"])
    assert hints["months"] == Literal[12, 24]
    assert hints["by_name"] == dict[str, int]
    assert get_type_hints(space["TreeV2Input"]) == {"from": str}


def test_hostile_words_stay_in_their_comment_and_in_their_cell(compiled):
    class Hostile(BaseModel):
        n: Annotated[int, unit("x\nimport os\r\u2028os.abort()")] = Field(description="a|b\n<script>")

    contract = ToolContract("hostile", 1, Hostile, Hostile, Effect.PURE, description="one\n# two")
    assert set(compiled(contract)) >= {"HostileV1Input", "HostileV1Output"}
    assert "os" not in compiled(contract)
    page = docs([contract])
    assert "a\\|b &lt;script>" in page
    assert "\n# two" not in page


def test_docs_say_what_a_reader_needs():
    page = docs([replace(REFUND, error_codes=frozenset({"closed"}), destructive=True, per_minute=30, concurrency=2)])
    for words in (
        "## payments.refund@1",
        "- Effect: idempotent, changes: refund",
        "destructive, so a person approves each call",
        "10 s a call; 2 at once; 30 a minute",
        "`closed`",
        "| amount | int | yes | unit: smallest unit of the order's currency; at least 1 | At most the amount",
    ):
        assert words in page


def test_a_check_costs_microseconds():
    reply = {"order": 7, "amount": 20, "currency": "EUR", "refundable": True}

    def once():
        started = time.perf_counter()
        for _ in range(2_000):
            LOOKUP.check(reply)
        return (time.perf_counter() - started) / 2_000

    assert min(once() for _ in range(5)) < 30e-6  # measured: 2.4 us; a busy machine is given room


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
@pytest.mark.parametrize("kind", [Cached, Person])
def test_a_fallback_that_allows_no_time_or_has_no_end_is_refused(kind, seconds):
    with pytest.raises(DefinitionError, match="give seconds above 0"):
        kind(seconds)

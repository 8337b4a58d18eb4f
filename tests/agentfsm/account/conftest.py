"""A bank for the business account agent: its tools keep a ledger, and what breaks is set per test."""

import asyncio
from typing import Any

import pytest

from agentfsm.agents import business_account

TEXT = "We are ACME, HRB 7, revenue 900000. Open an account and lend us 50000."
FACTS = {"name": "ACME", "registration_number": "HRB 7", "revenue": 900_000, "loan_amount": 50_000}
OFFERS = [
    {"offer_id": "O1", "amount": 50_000, "rate_bp": 420, "months": 60},
    {"offer_id": "O2", "amount": 90_000, "rate_bp": 400, "months": 60},
]
UNDOES = {"accounts.close": "accounts.open", "contracts.void": "contracts.send"}


class Bank:
    """The tools, the scripted model and the callbacks around one world."""

    def __init__(self, world: Any) -> None:
        self.world, wire = world, world.wire
        self.risk: dict[str, Any] = {"approved": True, "limit": 60_000}
        self.offers = OFFERS
        self.calls: list[tuple[str, str]] = []
        self.ledger: dict[str, tuple[str, dict[str, Any]]] = {}
        self.limits = business_account.LIMITS
        self.turns = {
            "record": wire.calls(("company_record", FACTS)),
            "risk": wire.calls(("risk_check", {k: v for k, v in FACTS.items() if k != "name"})),
            "list": wire.calls(("offers_list", {"loan_amount": 50_000})),
            "choose": wire.calls(("offers_choose", {"offer_id": "O1"})),
            "open": wire.calls(("accounts_open", {"registration_number": "HRB 7"})),
            "send": wire.calls(("contracts_send", {"account_id": "A", "offer_id": "O1"})),
            "end": wire.says("Your account is open and the contract is signed."),
        }
        world.script = list(self.turns.values())
        world.tools = {
            "company.record": lambda **_: {"recorded": True},
            "risk.check": lambda **_: self.risk,
            "offers.list": lambda **_: {"offers": self.offers},
            "offers.choose": lambda offer_id: {"offer_id": offer_id},
            **{name: self.effect(name, output) for name, output in self.outputs().items()},
        }

    def outputs(self) -> dict[str, dict[str, Any]]:
        return {
            "accounts.open": {"account_id": "A"},
            "accounts.close": {"closed": True},
            "contracts.send": {"contract_id": "C"},
            "contracts.void": {"voided": True},
        }

    def effect(self, name: str, output: dict[str, Any]) -> Any:
        async def act(*, idempotency_key: str, **arguments: Any) -> dict[str, Any]:
            self.calls.append((name, idempotency_key))
            self.ledger.setdefault(idempotency_key, (name, arguments))
            return output

        return act

    def script(self, *names: Any) -> None:
        """What the model says: names of `turns`, or replies of the wire."""
        self.world.script = [self.turns[name] if isinstance(name, str) else name for name in names]

    def before(self, name: str, *turns: Any) -> None:
        """Let the model say something else before that turn."""
        place = self.world.script.index(self.turns[name])
        self.world.script[place:place] = turns

    def build(self, model: Any, store: Any = None) -> Any:
        world = self.world
        self.runtime = business_account.build(
            store=store or world.store,
            model=model,
            tools=world.tools,
            limits=self.limits,
            clock=world.clock,
            observer=world.observed.append,
        )
        return self.runtime

    def play(self, act: Any) -> Any:
        return self.world.play(act, self.build)

    def run(self, text: str = TEXT) -> Any:
        return self.play(lambda runtime: runtime.run(request_id="r1", text=text))

    def resume(self) -> Any:
        return self.play(lambda runtime: runtime.resume("r1"))

    def event(self, kind: str, event_id: str = "e1", payload: Any = None, **more: Any) -> dict[str, Any]:
        source = "user" if kind.startswith("user.") else "signing"
        return {"request_id": "r1", "source": source, "event_id": event_id, "kind": kind, "payload": payload, **more}

    def deliver(self, kind: str, event_id: str = "e1", payload: Any = None, **more: Any) -> Any:
        event = self.event(kind, event_id, payload, **more)
        return self.play(lambda runtime: runtime.deliver(**event))

    def effects(self) -> list[str]:
        """What happened in the world, in order, each once per key."""
        return [name for name, _ in self.ledger.values()]

    def audit(self, kind: str) -> list[dict[str, Any]]:
        return [row for row in asyncio.run(self.world.store.audit("r1")) if row["kind"] == kind]

    def events(self) -> list[tuple[str, str, str | None]]:
        return [(row["event_id"], row["status"], row["reason"]) for row in self.audit("event")]

    def moves(self) -> list[dict[str, Any]]:
        return self.audit("transition")


@pytest.fixture
def bank(world: Any) -> Bank:
    return Bank(world)

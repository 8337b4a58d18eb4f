"""Twelve agents that survive every single fault. Each is `broken` under two at once, and its twin is not.

Copied into the projects of the tests. An agent is `async def name(llm, sandbox, run_agent, broken)`.
"""

import openai

from pytest_agent.faults.site import Site
from pytest_agent.trace import StoreCommitted

client = openai.OpenAI(api_key="test", max_retries=0, timeout=20)
FAULTS = {}


def agent(faults):
    def register(function):
        FAULTS[function.__name__] = faults
        return function

    return register


def tool(sandbox, name, value="ok", *, idempotent=True):
    """A tool that changes the world. What it is called with does not matter to it."""

    @sandbox.tool(name, effect=True, idempotent=idempotent)
    def changed(order: int, amount: int = 20):
        return value

    return sandbox.tools[name]


def question(sandbox, name, value):
    """A tool that only tells something."""

    @sandbox.tool(name)
    def told(order: int):
        return value

    return sandbox.tools[name]


class GaveUp(OSError):
    """The agent says that it could not do its task."""


# --- retries and fallbacks -------------------------------------------------------------------------------------------


@agent("reply-lost")
async def third_try_without_its_key(llm, sandbox, run_agent, broken):
    pay = tool(sandbox, "pay")

    def work():
        for _ in (1, 2):
            try:
                return pay(order=7, idempotency_key="pay-7")
            except OSError:
                pass
        return pay(order=7) if broken else pay(order=7, idempotency_key="pay-7")

    run_agent(work)


@agent("tool-unavailable")
async def fallback_that_is_down_as_well(llm, sandbox, run_agent, broken):
    mail, letter = tool(sandbox, "mail"), tool(sandbox, "letter")
    sandbox.must_hold("somebody was told", lambda: len(sandbox.ledger) > 0)

    def work():
        for send in (mail, letter):
            try:
                send(order=7)
                return "told"
            except OSError as error:
                last = error
        if broken:
            return "told"
        raise GaveUp("nobody was told") from last

    run_agent(work)


@agent(["reply-lost", "tool-unavailable"])
async def doubt_that_cannot_be_settled(llm, sandbox, run_agent, broken):
    pay = tool(sandbox, "pay", idempotent=False)

    @sandbox.tool("paid")
    def paid(order: int):
        return sandbox.ledger.count("pay", order=order) > 0

    def work():
        try:
            return pay(order=7)
        except ConnectionRefusedError:
            raise
        except OSError as error:
            try:
                known = sandbox.tools["paid"](order=7)
            except OSError:
                if not broken:
                    raise GaveUp("paid or not, nobody can say") from error
                known = False
            return "paid" if known else pay(order=7)

    run_agent(work)


@agent(["tool-unavailable"])
async def two_defaults_that_fit_each_other(llm, sandbox, run_agent, broken):
    price, currency = question(sandbox, "price", 20), question(sandbox, "currency", "EUR")
    pay = tool(sandbox, "pay")

    def asked(ask, default):
        try:
            return ask(order=7), None
        except OSError as error:
            return default, error

    def work():
        (amount, no_price), (unit, no_unit) = asked(price, 2000), asked(currency, "JPY")
        if (amount > 1000) != (unit == "JPY") or (not broken and (no_price or no_unit)):
            raise GaveUp("the price is not known") from (no_price or no_unit)
        return pay(order=7, amount=amount)

    run_agent(work)
    assert sandbox.ledger.count("pay", amount=20) == 1


@agent(["tool-unavailable"])
async def failure_lost_with_its_log(llm, sandbox, run_agent, broken):
    log, mail = question(sandbox, "log", None), tool(sandbox, "mail")

    def noted():
        try:
            log(order=7)
        except OSError:
            return False
        return True

    def work():
        heard = noted()
        try:
            return mail(order=7)
        except OSError:
            if broken and not heard:
                return "ok"
            raise

    run_agent(work)
    assert sandbox.ledger.count("mail") == 1


@agent(["tool-unavailable"])
async def undo_that_fails_in_silence(llm, sandbox, run_agent, broken):
    charge, ship, refund = tool(sandbox, "charge"), tool(sandbox, "ship"), tool(sandbox, "refund")

    def work():
        charge(order=7)
        try:
            ship(order=7)
        except OSError:
            try:
                refund(order=7)
            except OSError:
                if not broken:
                    raise
            return "undone"
        return "shipped"

    if run_agent(work, claims="partial") == "undone":
        assert sandbox.ledger.count("charge") == sandbox.ledger.count("refund")


@agent(["tool-unavailable", "reply-lost"])
async def undone_twice(llm, sandbox, run_agent, broken):
    flight, hotel, cancel = tool(sandbox, "flight"), tool(sandbox, "hotel"), tool(sandbox, "cancel")

    async def work():
        flight(order=7, idempotency_key="flight-7")
        try:
            hotel(order=7, idempotency_key="hotel-7")
        except ConnectionRefusedError as error:
            for attempt in (1, 2, 3):
                try:
                    cancel(order=7, idempotency_key=f"cancel-{attempt}" if broken else "cancel-7")
                except OSError:
                    continue
                raise GaveUp("no hotel; the flight is cancelled") from error
            raise

    await run_agent(work)


# --- the model -------------------------------------------------------------------------------------------------------


def stream(text="Say it"):
    """The text of a turn and whether it came to its end."""
    said, finished = "", False
    for chunk in client.chat.completions.create(model="m", messages=[{"role": "user", "content": text}], stream=True):
        if chunk.choices:
            said += chunk.choices[0].delta.content or ""
            finished = finished or chunk.choices[0].finish_reason is not None
    return said, finished


@agent(["rate-limit", "stream-clean-eof"])
async def second_reading_less_careful(llm, sandbox, run_agent, broken):
    llm.says("It is all done and well.")

    def work():
        careful = True
        for _ in range(4):
            try:
                said, finished = stream()
            except openai.RateLimitError:
                careful = not broken
                continue
            if finished or not careful:
                return said
        raise GaveUp("no whole answer")

    run_agent(work)


@agent(["stream-reset", "stream-clean-eof"])
async def half_an_answer_after_two_halves(llm, sandbox, run_agent, broken):
    llm.says("It is all done and well.")

    def work():
        halves = []
        for _ in range(3):
            try:
                said, finished = stream()
            except openai.APIError:
                said, finished = "It is", False
            if finished:
                return said
            halves.append(said)
            if broken and len(halves) == 2:
                return max(halves, key=len)
        raise GaveUp("no whole answer")

    run_agent(work)


# --- processes -------------------------------------------------------------------------------------------------------


class Stored:
    """An agent with a store: `live` is one life of it. What is in `data` outlives a process, and nothing else."""

    def __init__(self, live):
        self.live, self.data, self.commits, self.life = live, {}, 0, 0

    def describe(self):
        return {}

    async def start(self, seams):
        self.life += 1
        self.seams = seams
        return self.live(self)

    async def resume(self, seams):
        return await self.start(seams)

    def commit(self, **changes):
        self.commits += 1
        before, after = (Site("store", "commit", self.commits, phase=phase) for phase in ("before", "after"))
        self.seams.reach(before)
        self.data = {**self.data, **changes}
        for place in (before, after):
            self.seams.trace.append(StoreCommitted(site=str(place), label=str(changes), life=self.life, stage="PAY"))
        self.seams.reach(after)


CRASHES = ["crash-after-effect", "crash-before-call", "crash-around-commit"]


@agent(CRASHES)
async def recovery_that_forgets_first(llm, sandbox, run_agent, broken):
    pay = tool(sandbox, "pay")

    def live(self):
        key = self.data.get("intent")
        if key is None:
            key = f"pay-{self.life}"
            self.commit(intent=key)
        elif broken and not self.data.get("done"):
            # "Taken over": from here on nobody knows the key any more.
            self.commit(intent=None)
        if not self.data.get("done"):
            pay(order=7, idempotency_key=key)
            self.commit(done=True)
        return "paid"

    await run_agent(Stored(live))


@agent(["reply-lost", *CRASHES])
async def doubt_taken_for_nothing(llm, sandbox, run_agent, broken):
    pay = tool(sandbox, "pay")

    def live(self):
        if self.data.get("done"):
            return "paid"
        key = self.data.get("intent")
        if key is None or (broken and self.data.get("doubt")):
            key = f"pay-{self.life}"
            self.commit(intent=key, doubt=False)
        for _ in range(4):
            try:
                pay(order=7, idempotency_key=key)
            except OSError:
                self.commit(doubt=True)
                continue
            self.commit(done=True)
            return "paid"
        raise GaveUp("nobody can say")

    await run_agent(Stored(live))


@agent(CRASHES)
async def steps_done_again_after_two_deaths(llm, sandbox, run_agent, broken):
    pay = tool(sandbox, "pay")

    def live(self):
        if self.life > 1 and broken:
            # Recovery writes its checkpoint anew, and with it how often it has been here.
            self.commit(lives=self.data.get("lives", 0) + 1)
        salt = self.life if self.data.get("lives", 0) >= 2 else 1
        if not self.data.get("paid"):
            pay(order=7, idempotency_key=f"pay-{salt}")
            self.commit(paid=True)
        return "paid"

    await run_agent(Stored(live))

"""An agent that is a rule: which sites a schedule leads to, and whether it breaks the test."""

from collections.abc import Callable

from pytest_agent.chaos.search.observed import Observed
from pytest_agent.chaos.sites import SeenSite
from pytest_agent.chaos.verdict import Verdict
from pytest_agent.faults.catalogue import load_catalogue
from pytest_agent.faults.schedule import Schedule
from pytest_agent.faults.site import Site
from pytest_agent.invariants import Violation

CATALOGUE = load_catalogue()
LLM = {
    "streamed": True,
    "terminal_at": 4,
    "arguments": True,
    "calls": 1,
    "called": False,
    "pure": False,
}


def seen(*sites: str, after_fault: bool = False) -> tuple[SeenSite, ...]:
    found = []
    for text in sites:
        site = Site.parse(text)
        facts = dict(LLM) if site.seam == "llm" else {"phase": site.phase} if site.phase else {"effect": True}
        if site.process:
            facts = {"last": False} if site.seam == "store" else {"effect": True}
        found.append(SeenSite(site, facts, after_fault=after_fault))
    return tuple(found)


def schedule(text: str) -> Schedule:
    return Schedule.parse(text) if text else Schedule()


class Rule:
    """`breaks(faults)` says whether the run fails; `leads(faults)` which further sites it comes to, and none clean."""

    def __init__(
        self,
        clean: tuple[str, ...],
        breaks: Callable[[set[str]], bool] = lambda faults: False,
        leads: Callable[[set[str]], tuple[str, ...]] = lambda faults: (),
    ) -> None:
        self._clean, self._breaks, self._leads = clean, breaks, leads
        self.asked: list[str] = []

    @property
    def clean(self) -> Observed:
        return Observed(Schedule(), _verdict("", False), seen(*self._clean), frozenset())

    def observe(self, asked: Schedule) -> Observed:
        self.asked.append(str(asked))
        faults = {str(fault) for fault in asked.faults}
        sites = seen(*self._clean) + seen(*self._leads(faults), after_fault=True)
        reached = {str(place.site) for place in sites}
        applied = frozenset(str(fault) for fault in asked.faults if str(fault.site) in reached)
        return Observed(asked, _verdict(str(asked), self._breaks(set(applied))), sites, applied)


def _verdict(text: str, failed: bool) -> Verdict:
    violations = (Violation("I1", "no duplicate effect", "twice"),) if failed else ()
    faults = tuple(fault.id for fault in schedule(text).faults)
    return Verdict(text, faults, "FAILED" if failed else "survived", "success", violations, (), ())

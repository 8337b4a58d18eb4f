"""What must hold whatever breaks: each check reads the trace and the ledger, and nothing else."""

from pytest_agent.invariants.evidence import Check, Evidence, Violation
from pytest_agent.invariants.registry import CHECKS, check_all

__all__ = ["CHECKS", "Check", "Evidence", "Violation", "check_all"]

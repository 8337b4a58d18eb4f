"""The tables of a SQLite file, and the versions of what is in them. Timestamps come from the caller."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

LAYOUT = 2
"""Of the tables; kept in `PRAGMA user_version`."""

Row = dict[str, Any]
Upgrade = Callable[[Row], Row]


@dataclass(frozen=True)
class Schema:
    """What a worker knows of rows: it writes `version`, which workers from `readable_by` on can read.

    `upgrades[n]` turns a task row of version n, its JSON unpacked, into one of n + 1: pure, chained on read.
    `written` turns a row into what is stored. A release that changes the shape first expands: it writes old and new
    side by side and stays readable by the release before. The next one contracts.
    """

    version: int = 2
    readable_by: int = 2
    upgrades: Mapping[int, Upgrade] = field(default_factory=dict)
    written: Upgrade | None = None


TABLES = """
CREATE TABLE IF NOT EXISTS task (
    request_id TEXT PRIMARY KEY,
    schema_version INTEGER NOT NULL,
    readable_by INTEGER NOT NULL DEFAULT 1,
    version INTEGER NOT NULL,
    workflow TEXT NOT NULL,
    text TEXT NOT NULL,
    fsm_state TEXT NOT NULL,
    current_step TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    business_state TEXT NOT NULL,
    last_error TEXT,
    budget_used TEXT NOT NULL,
    outcome TEXT,
    cause TEXT,
    answer TEXT NOT NULL,
    ending TEXT,
    wait_until REAL,
    waited_s REAL NOT NULL,
    next_run_at REAL,
    asked TEXT,
    mode TEXT NOT NULL DEFAULT 'live',
    depth INTEGER NOT NULL DEFAULT 0,
    cancel_requested INTEGER NOT NULL DEFAULT 0,
    owner TEXT,
    lease_until REAL NOT NULL,
    fence INTEGER NOT NULL,
    created_at REAL NOT NULL,
    updated_at REAL NOT NULL
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS agent_steps (
    request_id TEXT NOT NULL REFERENCES task (request_id),
    step_id INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('pending', 'success', 'failed', 'in_doubt')),
    input_hash TEXT NOT NULL,
    output_data TEXT,
    error_code TEXT,
    created_at REAL NOT NULL,
    kind TEXT NOT NULL,
    tool TEXT,
    call_id TEXT NOT NULL,
    effect_class TEXT NOT NULL,
    idempotency_key TEXT GENERATED ALWAYS AS (request_id || ':' || step_id) VIRTUAL,
    input_data TEXT,
    finished_at REAL,
    undoes INTEGER,
    stands_in_for INTEGER,
    not_before REAL,
    tool_version INTEGER,
    error_class TEXT,
    model TEXT,
    prompt TEXT,
    PRIMARY KEY (request_id, step_id, attempt)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS event (
    source TEXT NOT NULL,
    event_id TEXT NOT NULL,
    request_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    payload TEXT,
    received_at REAL NOT NULL,
    applied_version INTEGER NOT NULL,
    reason TEXT,
    PRIMARY KEY (source, event_id)
);

CREATE INDEX IF NOT EXISTS event_held ON event (request_id) WHERE reason = 'early';

CREATE TABLE IF NOT EXISTS audit (
    request_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    at REAL NOT NULL,
    data TEXT NOT NULL,
    PRIMARY KEY (request_id, version, seq)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS control (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL,
    version INTEGER NOT NULL,
    change INTEGER NOT NULL
) WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS control_change ON control (change);

CREATE TABLE IF NOT EXISTS incident (
    seq INTEGER PRIMARY KEY,
    request_id TEXT NOT NULL,
    key TEXT NOT NULL,
    code TEXT NOT NULL,
    error_class TEXT NOT NULL,
    workflow TEXT NOT NULL,
    prompt TEXT,
    at REAL NOT NULL,
    data TEXT NOT NULL
);

CREATE INDEX IF NOT EXISTS task_due ON task (next_run_at) WHERE fsm_state NOT IN ('DONE', 'FAILED');
"""

FROM_1 = """
ALTER TABLE agent_steps RENAME TO old_steps;
ALTER TABLE audit RENAME TO old_audit;
DROP INDEX IF EXISTS audit_by_request;
ALTER TABLE task ADD COLUMN readable_by INTEGER NOT NULL DEFAULT 1;
ALTER TABLE task ADD COLUMN next_run_at REAL;
ALTER TABLE task ADD COLUMN asked TEXT;
ALTER TABLE task ADD COLUMN mode TEXT NOT NULL DEFAULT 'live';
ALTER TABLE task ADD COLUMN depth INTEGER NOT NULL DEFAULT 0;
ALTER TABLE task ADD COLUMN cancel_requested INTEGER NOT NULL DEFAULT 0;
"""
"""From the first layout: columns are added; the two tables below are copied, for SQLite changes no CHECK in place."""

COPY_FROM_1 = """
INSERT INTO agent_steps (request_id, step_id, attempt, status, input_hash, output_data, error_code, created_at, kind,
    tool, call_id, effect_class, input_data, finished_at, undoes)
  SELECT request_id, step_id, attempt, CASE WHEN error_code = 'in_doubt' THEN 'in_doubt' ELSE status END, input_hash,
    output_data, error_code, created_at, kind, tool, call_id, effect_class, input_data, finished_at, undoes
  FROM old_steps;
INSERT INTO audit (request_id, version, seq, at, data)
  SELECT request_id, version, seq, at, '[' || data || ']' FROM old_audit;
DROP TABLE old_steps;
DROP TABLE old_audit;
UPDATE task SET next_run_at = wait_until WHERE wait_until IS NOT NULL;
"""

"""The tables. Timestamps come from the caller, so that any SQLite will do."""

SCHEMA_VERSION = 1

TABLES = """
CREATE TABLE IF NOT EXISTS task (
    request_id TEXT PRIMARY KEY,
    schema_version INTEGER NOT NULL,
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
    next_run_at REAL, asked TEXT, mode TEXT, depth INTEGER, cancel_requested INTEGER NOT NULL DEFAULT 0,
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
    idempotency_key TEXT NOT NULL,
    input_data TEXT,
    finished_at REAL,
    undoes INTEGER, stands_in_for INTEGER, not_before REAL, tool_version INTEGER, error_class TEXT, model TEXT, prompt TEXT,
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

CREATE TABLE IF NOT EXISTS control (key TEXT PRIMARY KEY, value TEXT, version INTEGER, change INTEGER);
CREATE TABLE IF NOT EXISTS audit (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    request_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    at REAL NOT NULL,
    data TEXT NOT NULL
);

CREATE INDEX IF NOT EXISTS audit_by_request ON audit (request_id, seq);
"""

"""The tables of a SQLite file. Timestamps come from the caller, so that any SQLite from 3.35 on will do.

A list after IN would be built anew for every row that is written, which costs a commit a tenth of its time.
"""

from __future__ import annotations

TABLES = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
    """
    CREATE TABLE task (
        request_id TEXT PRIMARY KEY,
        schema_version INTEGER NOT NULL,
        readable_by INTEGER NOT NULL,
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
        mode TEXT NOT NULL,
        depth INTEGER NOT NULL,
        cancel_requested INTEGER NOT NULL DEFAULT 0,
        owner TEXT,
        lease_until REAL NOT NULL,
        fence INTEGER NOT NULL,
        created_at REAL NOT NULL,
        updated_at REAL NOT NULL,
        ended INTEGER GENERATED ALWAYS AS (fsm_state = 'DONE' OR fsm_state = 'FAILED') VIRTUAL,
        due_at REAL GENERATED ALWAYS AS (CASE
            WHEN fsm_state = 'DONE' OR fsm_state = 'FAILED' THEN NULL
            WHEN cancel_requested AND ending IS NULL THEN 0.0
            WHEN next_run_at IS NULL AND fsm_state <> 'WAITING_EXTERNAL' THEN created_at
            ELSE next_run_at END) VIRTUAL
    ) WITHOUT ROWID
    """,
    "CREATE INDEX task_due ON task (due_at) WHERE due_at IS NOT NULL",
    "CREATE INDEX task_ended ON task (workflow, outcome) WHERE ended AND mode = 'live'",
    """
    CREATE TABLE agent_steps (
        request_id TEXT NOT NULL REFERENCES task (request_id),
        step_id INTEGER NOT NULL,
        attempt INTEGER NOT NULL,
        status TEXT NOT NULL
            CHECK (status = 'pending' OR status = 'success' OR status = 'failed' OR status = 'in_doubt'),
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
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE event (
        source TEXT NOT NULL,
        event_id TEXT NOT NULL,
        request_id TEXT NOT NULL,
        kind TEXT NOT NULL,
        payload TEXT,
        received_at REAL NOT NULL,
        applied_version INTEGER NOT NULL,
        reason TEXT,
        PRIMARY KEY (source, event_id)
    )
    """,
    "CREATE INDEX event_held ON event (request_id) WHERE reason = 'early'",
    """
    CREATE TABLE audit (
        request_id TEXT NOT NULL,
        version INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        at REAL NOT NULL,
        data TEXT NOT NULL,
        PRIMARY KEY (request_id, version, seq)
    ) WITHOUT ROWID
    """,
    "CREATE TABLE control (key TEXT PRIMARY KEY, value TEXT NOT NULL, version INTEGER NOT NULL) WITHOUT ROWID",
    """
    CREATE TABLE incident (
        seq INTEGER PRIMARY KEY,
        request_id TEXT NOT NULL,
        key TEXT NOT NULL,
        code TEXT NOT NULL,
        error_class TEXT NOT NULL,
        workflow TEXT NOT NULL,
        prompt TEXT,
        at REAL NOT NULL,
        data TEXT NOT NULL
    )
    """,
    "INSERT INTO meta VALUES ('layout', 2), ('readable_by', 2), ('controls', 0)",
)

SET_ASIDE_1 = (
    "DROP INDEX IF EXISTS event_held",
    "DROP INDEX IF EXISTS audit_by_request",
    "ALTER TABLE agent_steps RENAME TO old_steps",
    "ALTER TABLE task RENAME TO old_task",
    "ALTER TABLE event RENAME TO old_event",
    "ALTER TABLE audit RENAME TO old_audit",
)
"""Version 1 is copied and not altered: SQLite changes neither a CHECK nor the rows of a table in place."""

COPY_1 = (
    """
    INSERT INTO task (request_id, schema_version, readable_by, version, workflow, text, fsm_state, current_step,
        attempt, business_state, last_error, budget_used, outcome, cause, answer, ending, wait_until, waited_s,
        next_run_at, mode, depth, owner, lease_until, fence, created_at, updated_at)
    SELECT request_id, schema_version, 1, version, workflow, text, fsm_state, current_step, attempt, business_state,
        last_error, budget_used, outcome, cause, answer, ending, wait_until, waited_s, wait_until, 'live',
        0, owner, lease_until, fence, created_at, updated_at
    FROM old_task
    """,
    """
    INSERT INTO agent_steps (request_id, step_id, attempt, status, input_hash, output_data, error_code, created_at,
        kind, tool, call_id, effect_class, input_data, finished_at, undoes)
    SELECT request_id, step_id, attempt, iif(error_code = 'in_doubt', 'in_doubt', status),
        iif(kind = 'model' AND status <> 'success', '', substr(input_hash, 1, 32)),
        output_data, iif(error_code = 'in_doubt', coalesce(iif(json_valid(output_data),
        json_extract(output_data, '$.error'), NULL), 'interrupted'),
        error_code), created_at, kind, tool, call_id, effect_class, input_data, finished_at, undoes
    FROM old_steps
    """,
    "INSERT INTO event SELECT * FROM old_event WHERE source NOT IN ('model', 'runtime', 'tool') ORDER BY rowid",
    "INSERT INTO audit SELECT request_id, version, seq, at, '[' || data || ']' FROM old_audit",
    "DROP TABLE old_steps",
    "DROP TABLE old_task",
    "DROP TABLE old_event",
    "DROP TABLE old_audit",
)
"""An attempt in doubt has a status of its own, its code says why; the runtime's own events are no longer kept.

Requests are hashed in another way since: one that may be sent again has no hash.
"""

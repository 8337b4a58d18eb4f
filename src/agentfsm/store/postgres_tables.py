"""The tables of a PostgreSQL database: those of SQLite, with its types.

JSON is TEXT, as it was written: a jsonb refuses an escaped NUL, and nothing is ever searched inside. No foreign key
leads from a step to its task, for no step is written but from the row of its task, and each check would lock that row
again. Names are ordered by their bytes, whatever the language of the database. Rows of `task` have room to be changed
in place: no index covers what a step changes.
"""

from __future__ import annotations

TABLES = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value BIGINT NOT NULL)",
    """
    CREATE TABLE task (
        request_id TEXT COLLATE "C" PRIMARY KEY,
        schema_version INTEGER NOT NULL,
        readable_by INTEGER NOT NULL,
        version INTEGER NOT NULL,
        workflow TEXT COLLATE "C" NOT NULL,
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
        wait_until DOUBLE PRECISION,
        waited_s DOUBLE PRECISION NOT NULL,
        next_run_at DOUBLE PRECISION,
        asked TEXT,
        mode TEXT NOT NULL,
        depth INTEGER NOT NULL,
        cancel_requested BOOLEAN NOT NULL DEFAULT false,
        owner TEXT,
        lease_until DOUBLE PRECISION NOT NULL,
        fence BIGINT NOT NULL,
        created_at DOUBLE PRECISION NOT NULL,
        updated_at DOUBLE PRECISION NOT NULL,
        ended BOOLEAN NOT NULL GENERATED ALWAYS AS (fsm_state IN ('DONE', 'FAILED')) STORED,
        due_at DOUBLE PRECISION GENERATED ALWAYS AS (CASE
            WHEN fsm_state IN ('DONE', 'FAILED') THEN NULL
            WHEN cancel_requested AND ending IS NULL THEN 0.0
            WHEN next_run_at IS NULL AND fsm_state <> 'WAITING_EXTERNAL' THEN created_at
            ELSE next_run_at END) STORED
    ) WITH (fillfactor = 60)
    """,
    "CREATE INDEX task_due ON task (due_at, request_id) WHERE due_at IS NOT NULL",
    "CREATE INDEX task_ended ON task (workflow, outcome) WHERE ended AND mode = 'live'",
    """
    CREATE TABLE agent_steps (
        request_id TEXT NOT NULL,
        step_id INTEGER NOT NULL,
        attempt INTEGER NOT NULL,
        status TEXT NOT NULL CHECK (status IN ('pending', 'success', 'failed', 'in_doubt')),
        input_hash TEXT NOT NULL,
        output_data TEXT,
        error_code TEXT,
        created_at DOUBLE PRECISION NOT NULL,
        kind TEXT NOT NULL,
        tool TEXT,
        call_id TEXT NOT NULL,
        effect_class TEXT NOT NULL,
        idempotency_key TEXT GENERATED ALWAYS AS (request_id || ':' || step_id) STORED,
        input_data TEXT,
        finished_at DOUBLE PRECISION,
        undoes INTEGER,
        stands_in_for INTEGER,
        not_before DOUBLE PRECISION,
        tool_version INTEGER,
        error_class TEXT,
        model TEXT,
        prompt TEXT,
        PRIMARY KEY (request_id, step_id, attempt)
    ) WITH (fillfactor = 80)
    """,
    """
    CREATE TABLE event (
        seq BIGINT GENERATED ALWAYS AS IDENTITY,
        source TEXT NOT NULL,
        event_id TEXT NOT NULL,
        request_id TEXT NOT NULL,
        kind TEXT NOT NULL,
        payload TEXT,
        received_at DOUBLE PRECISION NOT NULL,
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
        seq BIGINT GENERATED ALWAYS AS IDENTITY,
        at DOUBLE PRECISION NOT NULL,
        data TEXT NOT NULL,
        PRIMARY KEY (request_id, version, seq)
    )
    """,
    "CREATE TABLE control (key TEXT PRIMARY KEY, value TEXT NOT NULL, version INTEGER NOT NULL)",
    """
    CREATE TABLE incident (
        seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        request_id TEXT NOT NULL,
        key TEXT NOT NULL,
        code TEXT NOT NULL,
        error_class TEXT NOT NULL,
        workflow TEXT NOT NULL,
        prompt TEXT,
        at DOUBLE PRECISION NOT NULL,
        data TEXT NOT NULL
    )
    """,
    """
    CREATE FUNCTION agentfsm_refuse(why TEXT) RETURNS INTEGER LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION USING ERRCODE = 'AF001', MESSAGE = why;
    END $$
    """,
    "INSERT INTO meta VALUES ('layout', 2), ('readable_by', 2), ('controls', 0)",
)
"""`agentfsm_refuse` ends the statement of a commit, and so undoes all of it, once a part of it found nothing to do."""

"""Agents over stores of their own, that die wherever they can and are built anew."""

import sqlite3

import pytest

from pytest_agent import restartable
from pytest_agent.adapters.runner import AgentRunner
from pytest_agent.errors import UsageError
from pytest_agent.trace import AgentStarted, Died, StoreCommitted

JSON_AGENT = """
    import json, os
    import pytest
    from agents import careful, result_of, said
    from pytest_agent import call, restartable

    FAULTS = ["orchestration.crash-*", "orchestration.torn-last-write", "orchestration.fsync-lost"]

    def keep(folder, state, *, whole=True):
        if not whole:
            (folder / "state.json").write_text(json.dumps(state))
            return
        with open(folder / "state.new", "w") as file:
            json.dump(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(folder / "state.new", folder / "state.json")

    def agent(sandbox, *, whole=True, key="refund-7", early=False):
        @restartable
        def live(folder, task):
            path = folder / "state.json"
            state = json.loads(path.read_text()) if path.exists() else {"messages": [{"role": "user", "content": task}]}
            messages = state["messages"]
            while True:
                if messages[-1]["role"] == "assistant":
                    calls, text = messages[-1].get("tool_calls"), messages[-1].get("content")
                    if not calls:
                        return text
                    for entry in calls:
                        function = entry["function"]
                        arguments = json.loads(function["arguments"])
                        if early:
                            messages.append(result_of({"id": entry["id"]}, "done"))
                            keep(folder, state, whole=whole)
                        reply = sandbox.tools[function["name"]](**arguments, idempotency_key=key)
                        if not early:
                            messages.append(result_of({"id": entry["id"]}, reply))
                else:
                    text, calls = careful(messages)
                    messages.append(said(text, calls) if calls else {"role": "assistant", "content": text})
                keep(folder, state, whole=whole)
        return live

    def world(llm, sandbox):
        @sandbox.tool("refund", effect=True, idempotent=True)
        def refund(order: int, amount: int):
            return {"refunded": amount}
        llm.says(call("refund", order=7, amount=20), "Refunded.")

    @pytest.mark.chaos(faults=FAULTS)
    def test_sound(llm, sandbox, run_agent):
        world(llm, sandbox)
        assert run_agent(agent(sandbox), "refund order 7") == "Refunded."

    @pytest.mark.chaos(faults=FAULTS)
    def test_without_key(llm, sandbox, run_agent):
        world(llm, sandbox)
        run_agent(agent(sandbox, key=None), "refund order 7")

    @pytest.mark.chaos(faults=FAULTS)
    def test_result_before_effect(llm, sandbox, run_agent):
        world(llm, sandbox)
        run_agent(agent(sandbox, early=True), "refund order 7")

    @pytest.mark.chaos(faults=FAULTS)
    def test_file_in_place(llm, sandbox, run_agent):
        world(llm, sandbox)
        run_agent(agent(sandbox, whole=False), "refund order 7")
"""


def found_by(results, name):
    """Which faults broke a test of the project, each with the invariants that did not hold."""
    found = {}
    for run in results()[name]["runs"]:
        if run["verdict"] == "FAILED":
            fault = run["faults"][0]
            found[fault] = sorted({*found.get(fault, ()), *(violation["id"] for violation in run["violations"])})
    return found


def test_an_agent_over_a_json_file_survives_what_it_should_and_its_twins_do_not(project, results):
    project.makepyfile(JSON_AGENT)
    project.runpytest_inprocess("--chaos")
    assert found_by(results, "test_sound") == {}
    words = {run["verdict"] for run in results()["test_sound"]["runs"]}
    assert words == {"survived"}
    assert found_by(results, "test_without_key")["crash-after-effect"] == ["I1", "I12"]
    # The work is lost: its result was written down before it was done.
    assert found_by(results, "test_result_before_effect")["crash-before-call"] == ["I12", "I3"]
    in_place = found_by(results, "test_file_in_place")
    assert {"crash-around-commit", "torn-last-write", "fsync-lost"} - set(in_place) == {"fsync-lost"}


SQL_AGENT = """
    import asyncio, json, sqlite3
    from concurrent.futures import ThreadPoolExecutor
    import pytest
    from agents import acareful, careful, result_of, said
    from pytest_agent import call, restartable

    FAULTS = ["orchestration.*"]
    TABLE = "CREATE TABLE IF NOT EXISTS message (n INTEGER PRIMARY KEY, text TEXT)"
    LAST = "SELECT text FROM message ORDER BY n"

    def next_step(messages, sandbox, key):
        \"\"\"What to store next: the results of the last turn's calls, or None where the model has to speak.\"\"\"
        calls = messages[-1].get("tool_calls")
        if not calls:
            return None
        done = []
        for entry in calls:
            function = entry["function"]
            reply = sandbox.tools[function["name"]](**json.loads(function["arguments"]), idempotency_key=key)
            done.append(result_of({"id": entry["id"]}, reply))
        return done

    def over(messages):
        return messages[-1]["role"] == "assistant" and not messages[-1].get("tool_calls")

    def turn(text, calls):
        return [said(text, calls) if calls else {"role": "assistant", "content": text}]

    def keep(db, messages):
        with db:
            db.execute("DELETE FROM message")
            db.executemany("INSERT INTO message (text) VALUES (?)", [(json.dumps(m),) for m in messages])

    def sync_agent(sandbox, pragma, key):
        @restartable
        def live(folder, task):
            db = sqlite3.connect(folder / "agent.db")
            for setting in pragma.split(","):
                db.execute(f"PRAGMA {setting}")
            db.execute(TABLE)
            messages = [json.loads(row[0]) for row in db.execute(LAST)] or [{"role": "user", "content": task}]
            while not over(messages):
                new = next_step(messages, sandbox, key) or turn(*careful(messages))
                messages += new
                keep(db, messages)
            return messages[-1]["content"]
        return live

    def async_agent(sandbox, key):
        @restartable
        async def live(folder, task):
            thread = ThreadPoolExecutor(1)  # as aiosqlite does: the connection lives in a thread of its own
            there = lambda *work: asyncio.get_running_loop().run_in_executor(thread, *work)
            try:
                db = await there(sqlite3.connect, folder / "agent.db")
                await there(db.execute, TABLE)
                rows = await there(lambda: db.execute(LAST).fetchall())
                messages = [json.loads(row[0]) for row in rows] or [{"role": "user", "content": task}]
                while not over(messages):
                    messages += next_step(messages, sandbox, key) or turn(*await acareful(messages))
                    await there(keep, db, messages)
                return messages[-1]["content"]
            finally:
                thread.shutdown()
        return live

    def world(llm, sandbox):
        @sandbox.tool("refund", effect=True, idempotent=True)
        def refund(order: int, amount: int):
            return {"refunded": amount}
        llm.says(call("refund", order=7, amount=20), "Refunded.")

    @pytest.mark.parametrize("pragma", ["journal_mode = WAL", "journal_mode = DELETE"], ids=["wal", "delete"])
    @pytest.mark.parametrize("key", ["refund-7", None], ids=["key", "bare"])
    @pytest.mark.chaos(faults=["orchestration.crash-*", "orchestration.store-*", "orchestration.disk-full",
                               "orchestration.torn-last-write", "orchestration.fsync-lost"])
    def test_sync(llm, sandbox, run_agent, pragma, key):
        world(llm, sandbox)
        run_agent(sync_agent(sandbox, pragma, key), "refund order 7")

    @pytest.mark.parametrize("key", ["refund-7", None], ids=["key", "bare"])
    @pytest.mark.chaos(faults=["orchestration.crash-*", "orchestration.store-*", "orchestration.disk-full"])
    async def test_async(llm, sandbox, run_agent, key):
        world(llm, sandbox)
        await run_agent(async_agent(sandbox, key), "refund order 7")

    @pytest.mark.chaos(faults=["orchestration.fsync-lost"])
    def test_fast(llm, sandbox, run_agent):
        world(llm, sandbox)
        run_agent(sync_agent(sandbox, "journal_mode = WAL,synchronous = NORMAL", None), "refund order 7")
"""


def test_agents_over_sqlite_die_and_fail_at_every_commit(project, results):
    project.makepyfile(SQL_AGENT)
    project.runpytest_inprocess("--chaos")
    twice = ["I1", "I12"]
    for kind in ("sync[key-wal]", "sync[key-delete]", "async[key]"):
        assert found_by(results, f"test_{kind}") == {}
    for kind in ("sync[bare-wal]", "sync[bare-delete]"):
        paid_twice = dict.fromkeys(("crash-after-effect", "crash-around-commit", "torn-last-write"), twice)
        assert found_by(results, f"test_{kind}") == paid_twice  # a flushed commit is not lost: nothing at fsync-lost
    assert set(found_by(results, "test_async[bare]")) == {"crash-after-effect", "crash-around-commit"}
    assert found_by(results, "test_fast") == {"fsync-lost": twice}
    alone = [run for run in results()["test_sync[key-wal]"]["runs"] if len(run["faults"]) == 1]
    ends = {run["faults"][0]: run["outcome"] for run in alone}
    assert {ends[fault] for fault in ("disk-full", "store-read-only", "store-locked", "store-busy")} == {"failed"}


def starts(run, agent, *args):
    with run.inside():
        return AgentRunner(run.seams, run)(agent, *args)


def test_each_life_is_called_with_the_folder_and_the_task_and_a_later_one_resumes(run_under):
    seen = []

    def again(folder, task):
        seen.append(("again", task, (folder / "begun").read_text()))
        return "done"

    @restartable(resume=again)
    def agent(folder, task):
        seen.append(("first", task, sorted(folder.iterdir())))
        (folder / "begun").write_text("yes")
        raise AssertionError("not reached")

    run = run_under("crash-around-commit@process@store:commit#1.after")
    assert starts(run, agent, "pay") == "done"
    assert seen == [("first", "pay", []), ("again", "pay", "yes")]
    assert [(event.life, event.restartable) for event in run.trace.of(AgentStarted)] == [(1, True), (2, True)]


def test_a_dead_process_writes_nothing_more(run_under):
    @restartable
    def agent(folder):
        database = folder / "a.db"
        if not database.exists():
            db = sqlite3.connect(database, isolation_level=None)
            log = open(folder / "log", "w")  # noqa: SIM115, PTH123 - it is still open when the process dies
            log.write("never flushed")
            try:
                db.execute("CREATE TABLE t (x)")
            finally:
                log.flush()
                try:
                    db.execute("CREATE TABLE more (x)")
                finally:
                    (folder / "last words").write_text("no")
        with sqlite3.connect(database) as db:
            tables = [row[0] for row in db.execute("SELECT name FROM sqlite_master")]
        return tables, sorted(path.name for path in folder.iterdir()), (folder / "log").read_text()

    run = run_under("crash-around-commit@process@store:commit#1.after")
    assert starts(run, agent) == (["t"], ["a.db", "log"], "")
    assert [event.site for event in run.trace.of(Died)] == ["process@store:commit#1.after"]


def test_files_that_are_not_the_agents_are_left_alone(run_under, tmp_path):
    @restartable
    def agent(folder):
        for database in (tmp_path / "b.db", ":memory:", "file:x?mode=memory"):
            with sqlite3.connect(database, uri=str(database).startswith("file:")) as db:
                db.execute("CREATE TABLE t (x)")
                assert type(db) is sqlite3.Connection
        (tmp_path / "c.txt").write_text("c")
        return "done"

    before = sqlite3.connect, open
    run = run_under()
    assert starts(run, agent) == "done"
    assert not list(run.trace.of(StoreCommitted))
    assert (sqlite3.connect, open) == before


def test_what_is_wrong_with_an_agent_is_said():
    async def other(folder): ...

    with pytest.raises(TypeError, match="must both be async, or neither"):
        restartable(resume=other)(lambda folder: None)


def test_a_function_that_is_not_async_and_returns_a_coroutine_is_refused(run_under):
    async def work():
        return "done"

    made = []
    agent = restartable(lambda folder: made.append(work()) or made[0])
    with pytest.raises(TypeError, match="make it async def"):
        starts(run_under(), agent)
    made[0].close()


def test_it_needs_a_folder(run_under):
    with pytest.raises(UsageError, match="call it through the fixture run_agent"):
        AgentRunner(run_under().seams)(restartable(lambda folder: None))

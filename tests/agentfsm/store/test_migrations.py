"""Two releases on one database: the newer expands, both work on the same task in turns, then it contracts.

The next release is planted here: version 3 keeps where a task's money went, which version 2 kept as one sum. Its
tables get a column and an index, its rows a shape that version 2 goes on reading until it is gone.
"""

import asyncio
from dataclasses import replace

import asyncpg
import pytest

from agentfsm import Commit, SQLiteStore
from agentfsm.errors import StoreError
from agentfsm.store import Schema, SchemaState, migrate, schema_state
from agentfsm.store.schema import BASE, Migration, Part, Script, parts


def both(*statements):
    return {"sqlite": Script(*statements), "postgres": Script(*statements)}


def spent_by_kind(row):
    """From 2 to 3: what is known as one sum was for the model."""
    spent = row["budget_used"].get("usd", 0.0)
    return {**row, "budget_used": {"usd": spent, "usd_by": {"model": spent}}}


def expanded(row):
    """While both releases run, version 3 goes on writing the sum that version 2 reads."""
    used = row["budget_used"]
    return {"budget_used": {**used, "usd": sum(used["usd_by"].values())}}


TO_3 = Migration(
    to=3,
    **both(
        ("ALTER TABLE task ADD COLUMN region TEXT", "CREATE INDEX task_by_region ON task (region)"),
        ("DROP INDEX task_ended", "UPDATE task SET region = 'eu' WHERE region IS NULL"),
    ),
)
TO_4 = Migration(to=4, **both(("ALTER TABLE task ADD COLUMN team TEXT",)))
NEXT = Schema(version=3, readable_by=2, migrations=(TO_3,), upgrades={2: spent_by_kind}, written=expanded)
LATER = Schema(version=4, readable_by=3, migrations=(TO_3, TO_4), upgrades={2: spent_by_kind})


@pytest.fixture
def old(store):
    """A worker of today, at work already."""
    store.put()
    return store


def state(old, schema=None):
    return old.run(schema_state(old.url, schema=schema))


def upgrade(old, schema=NEXT, **options):
    return old.run(migrate(old.url, schema=schema, **options))


def next_worker(old):
    """A worker of the next release on the same database."""
    return old.open(schema=NEXT)


def write(old, store, task, version, **used):
    done = old.run(store.commit(Commit("x", replace(task, version=version, budget_used=used), 1.0)))
    return done.version


def test_old_and_new_workers_take_turns_on_one_task(old, task):
    upgrade(old)
    new = next_worker(old)
    assert write(old, old.inner, task, 1, usd=1.0) == 2
    assert old.run(new.load("r1")).budget_used == {"usd": 1.0, "usd_by": {"model": 1.0}}
    assert write(old, new, task, 2, usd_by={"model": 1.0, "tool": 0.5}) == 3
    assert old.load("r1").budget_used["usd"] == 1.5
    assert write(old, old.inner, task, 3, usd=2.0) == 4
    assert old.run(new.load("r1")).budget_used == {"usd": 2.0, "usd_by": {"model": 2.0}}
    (claimed,) = old.run(new.claim("new", ["w@1"], 9.0, 5.0, 1))
    assert claimed.version == 4
    (claimed,) = old.claim("old", ["w@1"], 20.0, 5.0, 1)
    assert (claimed.version, claimed.fence) == (4, 2)


def test_rows_of_the_new_release_say_who_may_read_them(old, task):
    upgrade(old)
    write(old, next_worker(old), task, 1, usd_by={"model": 1.0})
    assert old.raw("SELECT schema_version, readable_by FROM task") == [(3, 2)]
    write(old, old.inner, task, 2, usd=2.0)
    assert old.raw("SELECT schema_version, readable_by FROM task") == [(2, 2)]


def test_the_way_back_is_simply_to_run_the_old_release_again(old, opened, task):
    upgrade(old)
    new = next_worker(old)
    write(old, new, task, 1, usd_by={"model": 1.0, "tool": 0.5})
    old.run(new.close())
    again = opened(old.url)
    assert again.load("r1").budget_used["usd"] == 1.5
    assert write(again, again.inner, task, 2, usd=2.0) == 3


def test_once_it_is_contracted_the_old_release_is_refused_and_nothing_is_touched(old, opened, task):
    upgrade(old)
    new = next_worker(old)
    write(old, new, task, 1, usd_by={"model": 1.0})
    assert upgrade(old, contract=True) == SchemaState(3, 3, 3)
    before = old.whole()
    with pytest.raises(StoreError, match="this program knows 2") as refused:
        opened(old.url).put(2)
    assert (refused.value.code, refused.value.fields["layout"]) == ("newer_schema", 3)
    assert old.whole() == before
    assert write(old, new, task, 2, usd_by={"model": 3.0}) == 3


def test_a_state_says_what_there_is_to_do(old):
    assert state(old) == SchemaState(2, 2, 2)
    assert (state(old).behind, state(old).expanded) == (False, False)
    assert (state(old, NEXT).behind, state(old, NEXT).expanded) == (True, False)
    found = upgrade(old)
    assert (found, found.behind, found.expanded) == (SchemaState(3, 2, 3), False, True)
    assert state(old) == SchemaState(3, 2, 2)  # the old release can still use it
    assert upgrade(old) == found
    assert upgrade(old, contract=True).expanded is False


def test_a_database_of_two_releases_ago_serves_at_most_two_on_the_way(old):
    assert upgrade(old, LATER) == SchemaState(4, 3, 4)
    assert "task_ended" not in str(
        old.raw("SELECT name FROM sqlite_master") if "sqlite" in old.url else pg_indexes(old)
    )


def pg_indexes(old):
    return old.raw("SELECT indexname FROM pg_indexes")


def test_the_parts_of_a_way_are_planned_in_order():
    def plan(layout, readable_by, known, **options):
        return parts(SchemaState(layout, readable_by, known), **options)

    assert plan(2, 2, 2) == plan(2, 2, 2, contract=True) == []
    assert plan(2, 2, 3) == [Part("expand", 3, 2)]
    assert plan(3, 2, 3, contract=True) == [Part("contract", 3, 3)]
    assert plan(2, 2, 4) == [Part("expand", 3, 2), Part("contract", 3, 3), Part("expand", 4, 3)]
    assert plan(3, 2, 4) == [Part("contract", 3, 3), Part("expand", 4, 3)]
    assert plan(None, None, 3, contract=True) == [Part("expand", 3, 2), Part("contract", 3, 3)]
    assert plan(5, 4, 4) == []


def test_a_migration_that_fails_leaves_everything_as_it_was(old, task):
    broken = Schema(version=3, migrations=(Migration(to=3, **both((*TO_3.sqlite.expand, "CREATE NONSENSE"))),))
    before = old.whole()
    with pytest.raises(StoreError):
        upgrade(old, broken)
    assert old.whole() == before
    assert state(old) == SchemaState(2, 2, 2)
    assert old.put(1) == 2
    assert upgrade(old).layout == 3


def test_a_new_database_begins_where_this_program_is(tmp_path, opened):
    door = opened(f"sqlite:///{tmp_path}/new.db")
    assert door.run(schema_state(door.url)) == SchemaState(None, None, BASE)
    assert not (tmp_path / "new.db").exists()
    assert door.run(migrate(door.url, schema=NEXT)) == SchemaState(3, 2, 3)
    assert door.put() == 1


def test_sqlite_is_expanded_by_the_first_store_that_opens_it(tmp_path, opened, task):
    old = opened(f"sqlite:///{tmp_path}/s.db")
    old.put()
    new = next_worker(old)
    assert write(old, new, task, 1, usd_by={"model": 1.0}) == 2
    assert state(old, NEXT) == SchemaState(3, 2, 3)
    assert write(old, old.inner, task, 2, usd=1.0) == 3


def test_a_reader_does_not_migrate_by_the_way(tmp_path, opened):
    old = opened(f"sqlite:///{tmp_path}/s.db")
    old.put()
    late = SQLiteStore(tmp_path / "s.db", schema=NEXT, read_only=True)
    old.opened.append(late)
    with pytest.raises(StoreError, match="agentfsm migrate --store") as refused:
        old.run(late.load("r1"))
    assert refused.value.code == "old_schema"
    assert state(old, NEXT).layout == 2


def test_postgres_is_migrated_by_the_command_alone(postgres, opened, task):
    door = opened(postgres.empty())
    with pytest.raises(StoreError, match=r"no tables yet.*Run: agentfsm migrate --store postgresql://") as refused:
        door.put()
    assert refused.value.code == "old_schema"
    assert door.raw("SELECT tablename FROM pg_tables WHERE schemaname = 'public'") == []
    door.run(migrate(door.url))
    assert door.put() == 1
    with pytest.raises(StoreError, match="this program needs those of 3") as refused:
        door.run(door.open(schema=NEXT).load("r1"))
    assert refused.value.code == "old_schema"


def test_two_that_migrate_at_once_do_it_once(postgres, opened):
    door = opened(postgres.empty())

    async def race():
        return await asyncio.gather(*(migrate(door.url, schema=NEXT) for _ in range(5)))

    assert set(door.run(race())) == {SchemaState(3, 2, 3)}


def test_a_migration_that_would_hold_up_the_workers_gives_up_and_changes_nothing(postgres_url, opened):
    old = opened(postgres_url)
    old.put()

    async def held():
        other = await asyncpg.connect(old.url)
        try:
            async with other.transaction():
                await other.execute("SELECT * FROM task FOR UPDATE")
                with pytest.raises(StoreError) as refused:
                    await migrate(old.url, schema=NEXT, wait_s=0.2)
                return refused.value
        finally:
            await other.close()

    assert old.run(held()).code == "locked"
    assert state(old, NEXT).layout == 2
    assert upgrade(old).layout == 3


def test_tables_of_another_program_are_left_alone(postgres, opened):
    door = opened(postgres.empty())
    door.raw("CREATE TABLE task (id INTEGER)")
    with pytest.raises(StoreError, match="another program") as refused:
        door.run(migrate(door.url))
    assert refused.value.code == "not_a_store"
    assert door.raw("SELECT tablename FROM pg_tables WHERE schemaname = 'public'") == [("task",)]


def test_a_place_where_nothing_is_is_a_typed_error(tmp_path, postgres):
    async def code(url):
        with pytest.raises(StoreError) as refused:
            await migrate(url)
        return refused.value.code

    assert asyncio.run(code(f"sqlite:///{tmp_path}/none/s.db")) == "cannot_open"
    assert asyncio.run(code(postgres.address + "_none")) == "cannot_open"
    assert asyncio.run(code("postgresql://127.0.0.1:1/none")) == "unavailable"
    assert asyncio.run(code("nonsense://x")) == "store_url"

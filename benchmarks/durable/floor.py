"""A bare `BEGIN IMMEDIATE; INSERT; COMMIT` a step, WAL, synchronous FULL, in this thread: durability alone."""

import sqlite3
import sys
import time

from arms import report

path, steps = sys.argv[1], int(sys.argv[2])
db = sqlite3.connect(path, isolation_level=None)
db.execute("PRAGMA journal_mode = WAL")
db.execute("PRAGMA synchronous = FULL")
db.execute("CREATE TABLE step (task TEXT, step INTEGER, output TEXT, PRIMARY KEY (task, step))")
began = time.perf_counter()
for number in range(steps):
    db.execute("BEGIN IMMEDIATE")
    db.execute("INSERT INTO step VALUES (?, ?, ?)", (f"task-{number // 10}", number % 10, '{"n": 1}'))
    db.execute("COMMIT")
report(steps, time.perf_counter() - began)

"""The functions of the real world, kept before anything is replaced. Everything else here must use these."""

from __future__ import annotations

import time

sleep = time.sleep
monotonic = time.monotonic
monotonic_ns = time.monotonic_ns
perf_counter = time.perf_counter
perf_counter_ns = time.perf_counter_ns

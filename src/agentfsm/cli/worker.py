"""`agentfsm worker`: take up whatever has something to do, until told to stop."""

from __future__ import annotations

import asyncio
import signal

from agentfsm.cli import results
from agentfsm.cli.context import BadUse, Commands, Context, agent_options, command
from agentfsm.cli.opening import environment_of, opened_runtime
from agentfsm.errors import AgentError
from agentfsm.records import TaskResult
from agentfsm.worker import Worker


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = command(commands, "worker", act, "run tasks of one agent; any number of workers share a store")
    agent_options(parser)
    parser.add_argument("--concurrency", type=int, metavar="N", help="tasks at once, in place of the environment's")
    parser.add_argument("--until-idle", action="store_true", help="stop as soon as there is nothing to do")


async def act(context: Context) -> int:
    """Work until SIGTERM or SIGINT, then finish the tasks at hand; a second one interrupts them."""
    settings = environment_of(context, "store", "models")
    concurrency = settings.worker.concurrency if context.args.concurrency is None else context.args.concurrency
    if concurrency < 1:
        raise BadUse(f"--concurrency {concurrency} would do nothing; give at least 1")
    async with opened_runtime(context, patience_s=settings.worker.patience_s) as runtime:
        worker = Worker(
            runtime,
            concurrency=concurrency,
            poll_s=settings.worker.poll_s,
            lease_s=settings.limits.lease_s,
            report=lambda name, found: _report(context, name, found),
        )
        if context.args.until_idle:
            await worker.until_idle()
            return 0
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()

        def stopping(received: signal.Signals) -> None:
            stop.set()
            loop.remove_signal_handler(received)
            context.out.tell({"worker": "stopping"}, f"{received.name}: finishing the tasks at hand")

        for received in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(received, stopping, received)
        labels = ", ".join(runtime.labels)
        context.out.tell({"worker": "ready", "workflows": list(runtime.labels)}, f"ready for {labels}")
        await worker.run(stop)
    context.out.tell({"worker": "stopped"}, "stopped")
    return 0


def _report(context: Context, name: str, found: TaskResult | AgentError) -> None:
    if isinstance(found, AgentError):
        document = {"request_id": name, "error": {"code": found.code, "message": str(found)}}
        context.out.tell(document, f"task {name}: {found.code}: {found}")
    else:
        context.out.tell(results.document(found), next(results.lines(found)))

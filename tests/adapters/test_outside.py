"""Agents outside of this process: a command line, and a service on this machine."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pytest_agent import AgentFailed, Answer, UsageError, agent_at, command
from pytest_agent.adapters.runner import AgentRunner
from pytest_agent.errors import RunAbort
from pytest_agent.trace import OutcomeClaimed

ASKING = """
import json, os, sys, urllib.request
body = json.dumps({"model": "gpt-5", "messages": [{"role": "user", "content": sys.argv[-1]}]}).encode()
url = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
headers = {"content-type": "application/json", "authorization": "Bearer " + os.environ["OPENAI_API_KEY"]}
with urllib.request.urlopen(urllib.request.Request(url, body, headers)) as reply:
    print(json.load(reply)["choices"][0]["message"]["content"])
"""


@pytest.fixture
def run(run_under):
    run = run_under()
    with run.inside():
        yield run


def python(code, **options):
    return command([sys.executable, "-c", code], **options)


def claimed(run):
    (claim,) = run.trace.of(OutcomeClaimed)
    return claim


def ask(run, agent, *task):
    return AgentRunner(run.seams, run)(agent, *task)


def test_a_command_asks_the_model_of_its_test(run):
    run.llm.says("Hello, world.")
    assert ask(run, python(ASKING), "Hi") == Answer("Hello, world.")
    assert run.llm.requests[0].messages[0]["content"] == "Hi"
    assert (claimed(run).outcome, run.clock.elapsed_s) == ("success", 0)
    run.check(None)


def test_an_async_test_calls_one_in_a_thread_and_its_loop_goes_on(run):
    run.llm.says("Hello, world.")

    async def test():
        running = asyncio.create_task(asyncio.to_thread(ask, run, python(ASKING), "Hi"))
        await asyncio.sleep(0)
        assert not running.done()
        return await running

    assert asyncio.run(test()).text == "Hello, world."
    assert claimed(run).outcome == "success"


def test_commands_at_once_share_a_server_and_hear_their_own_conversation(run):
    for name in ("buyer", "seller"):
        run.llm.conversation(name).says(f"I am the {name}.")
    heard = {}
    with run.llm_server() as server:

        def go(name):
            heard[name] = ask(run, python(ASKING, conversation=name), "Who?").text

        threads = [threading.Thread(target=go, args=(name,)) for name in ("buyer", "seller")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(server.requests) == 2
    assert heard == {"buyer": "I am the buyer.", "seller": "I am the seller."}


def test_the_task_may_be_its_standard_input(run):
    agent = python("import sys; print(sys.stdin.read().upper())", stdin=True)
    assert ask(run, agent, "a word\nand more").text == "A WORD\nAND MORE"


def test_it_need_not_listen(run):
    assert ask(run, python("print(1)", stdin=True), "x" * 1_000_000).text == "1"


def test_a_last_line_of_json_with_an_outcome_is_taken_at_its_word(run):
    line = json.dumps({"outcome": "partial", "cause": "timeout", "answer": "half of it"})
    assert ask(run, python(f"print('well'); print({line!r})")) == Answer("half of it", "partial", "timeout")
    assert (claimed(run).outcome, claimed(run).cause) == ("partial", "timeout")


@pytest.mark.parametrize("line", ['{"outcome": "sold"}', '{"a": 1}', "[1]", '{"outcome":'])
def test_any_other_json_is_its_answer(run, line):
    assert ask(run, python(f"print({line!r})")) == Answer(line)


def test_an_exit_code_is_an_honest_failure_with_the_end_of_stderr(run):
    code = "import sys; sys.stderr.write('a long story' * 100 + 'the last word'); sys.exit(3)"
    with pytest.raises(AgentFailed, match=r"exit code 3; stderr: ….*the last word$"):
        ask(run, python(code))
    assert (claimed(run).outcome, claimed(run).crash) == ("failed", False)
    assert claimed(run).detail.endswith("the last word")


def test_a_success_in_words_does_not_outdo_an_exit_code(run):
    with pytest.raises(AgentFailed, match="exit code 1"):
        ask(run, python("""print('{"outcome": "success"}'); raise SystemExit(1)"""))


@pytest.mark.parametrize(
    ("code", "crash"),
    [
        ("{}['x']", True),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", True),
        ("raise OSError('gone')", False),
        ("class Refused(Exception): pass\nraise Refused('no')", False),
        ("import sys; sys.stderr.write('KeyError: x'); sys.exit(1)", False),
    ],
)
def test_a_crash_is_told_from_a_failure(run, code, crash):
    with pytest.raises(AgentFailed):
        ask(run, python(code))
    assert claimed(run).crash is crash


def is_gone(pid):
    for _ in range(500):
        try:
            with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123 - of a process, not of ours
                if stat.read().rpartition(")")[2].split()[0] in "ZX":
                    return True
        except OSError:
            return True
        time.sleep(0.01)
    return False


SPAWNS = "import subprocess, sys; p = subprocess.Popen(['sleep', '600']); print(p.pid, flush=True)"


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks into /proc")  # noqa: PTH112 - as above
def test_what_it_leaves_behind_is_killed(run):
    answer = ask(run, python(SPAWNS))
    assert is_gone(int(answer.text))


def test_one_that_does_not_end_is_hung_and_is_killed_with_its_children(run, tmp_path):
    code = f"{SPAWNS}; open({str(tmp_path / 'pid')!r}, 'w').write(str(p.pid)); p.wait()"
    with pytest.raises(RunAbort, match=r"^hung: .*had not ended after 1 real seconds, and was killed$"):
        ask(run, python(code, limit_s=1))
    assert is_gone(int((tmp_path / "pid").read_text()))
    assert list(run.trace.of(OutcomeClaimed)) == []


def test_one_that_prints_without_end_is_a_runaway(run):
    with pytest.raises(RunAbort, match=r"^runaway: .* printed more than 1,000,000 bytes, and was killed$"):
        ask(run, python("while True: print('word' * 1000)"))


def test_output_is_bounded_on_stderr_too(run):
    code = "import sys\nfor _ in range(3000): sys.stderr.write('x' * 1000)\nsys.exit('the end')"
    with pytest.raises(AgentFailed, match=r"the end$"):
        ask(run, python(code))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: command("python agent.py"), "expected a list of words, such as"),
        (lambda: command([]), "expected a list of words"),
        (lambda: command(["x"], limit_s=0), "expected a number of real seconds above 0"),
        (lambda: agent_at("http://agent.example/run"), "agent.example is not this machine"),
        (lambda: agent_at("127.0.0.1:80"), "expected a URL such as"),
        (lambda: agent_at("https://127.0.0.1"), "expected a URL such as"),
        (lambda: agent_at("http://127.0.0.1", limit_s=-1), "real seconds above 0"),
    ],
)
def test_what_is_no_agent_outside(make, said):
    with pytest.raises(UsageError, match=said):
        make()


def test_a_command_that_is_not_there(run):
    with pytest.raises(UsageError, match=r"command\(\['no-such-program', ...\]\) cannot be started: .*No such file"):
        ask(run, command(["no-such-program"]), "x")
    with pytest.raises(UsageError, match="takes its task as text, found"):
        ask(run, command(["true"]), 7)


class Service(BaseHTTPRequestHandler):
    """Answers what its path says."""

    def do_POST(self):
        got = json.loads(self.rfile.read(int(self.headers["content-length"])))
        status, body = 200, {"answer": got}
        match self.path:
            case "/claims":
                body = {"answer": "half", "outcome": "partial", "cause": "timeout"}
            case "/fails":
                status, body = 503, {"detail": "no model"}
            case "/breaks":
                self.connection.close()
                return
            case "/hangs":
                self.server.stop.wait(60)
        data = b"as text\n" if self.path == "/text" else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


@pytest.fixture
def service():
    with ThreadingHTTPServer(("127.0.0.1", 0), Service) as server:
        server.stop = threading.Event()
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.stop.set()
        server.shutdown()
        thread.join()


def test_a_service_is_given_the_task_and_answers(run, service):
    assert ask(run, agent_at(f"{service}/run"), "go") == Answer('{"task": "go"}')
    assert claimed(run).outcome == "success"


def test_the_shapes_of_request_and_reply_are_the_authors(run, service):
    agent = agent_at(service, request=lambda task: [task], reply=lambda data: data["answer"])
    assert ask(run, agent, "go") == ["go"]


def test_a_service_may_say_its_outcome(run, service):
    assert ask(run, agent_at(f"{service}/claims"), "go") == Answer("half", "partial", "timeout")
    assert (claimed(run).outcome, claimed(run).cause) == ("partial", "timeout")


def test_text_is_an_answer_and_no_json(run, service):
    assert ask(run, agent_at(f"{service}/text"), "go") == Answer("as text")
    with pytest.raises(AgentFailed, match="its reply is not JSON: as text"):
        ask(run, agent_at(f"{service}/text", reply=len), "go")


def test_another_status_is_a_failure(run, service):
    with pytest.raises(AgentFailed, match=r'^HTTP 503: \{"detail": "no model"\}$'):
        ask(run, agent_at(f"{service}/fails"), "go")
    assert (claimed(run).outcome, claimed(run).crash) == ("failed", False)


def test_a_connection_that_breaks_is_a_failure(run, service):
    with pytest.raises(AgentFailed, match=r"RemoteDisconnected|ConnectionReset"):
        ask(run, agent_at(f"{service}/breaks"), "go")
    with pytest.raises(AgentFailed, match="ConnectionRefusedError"):
        ask(run, agent_at("http://127.0.0.1:1"), "go")


def test_a_service_that_does_not_answer_is_hung(run, service):
    with pytest.raises(RunAbort, match=r"^hung: .*/hangs had not answered after 0.3 real seconds$"):
        ask(run, agent_at(f"{service}/hangs", limit_s=0.3), "go")


def test_a_script_answers_no_request_to_a_service(run, service):
    run.llm.says("I am the model.")
    assert ask(run, agent_at(f"{service}/v1/chat/completions"), "go").text == '{"task": "go"}'
    assert run.llm.calls == 0


CARELESS = """
import sys
import pytest
from pytest_agent import command

AGENT = '''
import json, os, sys, urllib.request

def ask():
    body = json.dumps({"model": "gpt-5", "messages": [{"role": "user", "content": sys.argv[-1]}]}).encode()
    url = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
    request = urllib.request.Request(url, body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=5) as reply:
        return json.load(reply)["choices"][0]["message"]["content"]

try:
    print(ask())
except OSError as error:
    raise SystemExit(f"the model does not answer: {error}" if CAREFUL else 0)
'''

@pytest.mark.chaos(faults=["credential-expired", "error-body-with-200"])
@pytest.mark.parametrize("careful", [False, True])
def test_it(llm, run_agent, careful):
    llm.says("Done.")
    code = AGENT.replace("CAREFUL", str(careful))
    assert run_agent(command([sys.executable, "-c", code]), "go").text == "Done."
"""


def test_the_search_finds_what_a_command_does_wrong(project, results):
    project.makepyfile(test_a=CARELESS)
    project.runpytest("--chaos")
    written = (project.path / ".pytest_agent" / "results.json").read_bytes()
    project.runpytest("--chaos")
    assert (project.path / ".pytest_agent" / "results.json").read_bytes() == written
    found = {name: {run["schedule"]: run["verdict"] for run in result["runs"]} for name, result in results().items()}
    careless, careful = found["test_it[False]"], found["test_it[True]"]
    assert careless["credential-expired@llm#1"] == "FAILED"
    assert careful["credential-expired@llm#1"] == "degraded"
    assert "FAILED" in {careful[name] for name in careful if name.startswith("error-body-with-200")}  # it is a KeyError

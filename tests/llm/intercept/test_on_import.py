"""A library is touched when it is loaded, now or later, and never loaded for our sake."""

import pytest

AGENT = """
import sys

def test_later(llm):
    assert not {"aiohttp", "urllib3", "requests"} & set(sys.modules)
    llm.says("one", "two")
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
    url = "https://llm.example/v1/chat/completions"
    import requests
    import urllib3
    assert requests.post(url, json=body).json()["choices"][0]["message"]["content"] == "one"
    loader = urllib3.__spec__.loader
    assert type(loader).__module__ != "pytest_agent.patches"
    assert urllib3.__loader__ is loader
    async def ask():
        import aiohttp
        async with aiohttp.ClientSession() as http, http.post(url, json={**body, "seed": 1}) as reply:
            return (await reply.json())["choices"][0]["message"]["content"]
    import asyncio
    assert asyncio.run(ask()) == "two"

def test_httpx2_alone(llm):
    pass

def test_nothing_stays(request):
    import aiohttp, urllib3
    assert "pytest_agent" not in aiohttp.TCPConnector._create_connection.__module__
    assert "pytest_agent" not in urllib3.HTTPConnectionPool._make_request.__module__
    assert not [finder for finder in sys.meta_path if type(finder).__module__.startswith("pytest_agent")]
"""


def test_a_library_that_the_test_imports_itself_is_answered(project, fresh):
    project.makepyfile(test_agent=AGENT)
    fresh("test_agent.py").assert_outcomes(passed=3)


@pytest.mark.parametrize("fixture", ["llm", "clock", "sandbox"])
def test_nothing_is_imported_that_the_test_does_not_use(project, fresh, fixture):
    project.makepyfile(
        test_agent=f"""
        import sys
        def test_none({fixture}):
            assert not {{"aiohttp", "urllib3", "requests", "grpc", "httpx2"}} & set(sys.modules)
        """
    )
    fresh("test_agent.py").assert_outcomes(passed=1)

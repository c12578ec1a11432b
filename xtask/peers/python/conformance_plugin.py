"""A pytest plugin: lets the public suites run without network, and notes what became of every test.

One line of JSON for each test goes to the file that CONFORMANCE_RECORD names: its name and outcome and, where the
client refused, the code that it gave as its reason. The suites themselves look at exit codes alone.
"""

import base64
import json
import os
import subprocess
import time
from pathlib import Path

import pytest
import urllib3

# sigstore-conformance fetches a token that only its signing tests use, before every test.
TOKEN_URL = "https://storage.googleapis.com/sigstore-conformance-testing-token/"

_record = Path(os.environ["CONFORMANCE_RECORD"])
_client = {}
_run = subprocess.run


class _Answer:
    def __init__(self, data: bytes) -> None:
        self.data = data


def _token() -> bytes:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    claims = {
        "iss": "https://accounts.google.com",
        "email": "offline@example.test",
        "exp": int(time.time()) + 3600,
    }
    return f"{part({'alg': 'none'})}.{part(claims)}.e30".encode()


def _request(method: str, url: str, **_: object) -> _Answer:
    assert method == "GET" and url.startswith(TOKEN_URL), f"no network: {method} {url}"
    return _Answer(_token())


def _noting_run(*args: object, **kwargs: object) -> subprocess.CompletedProcess:
    try:
        return _run(*args, **kwargs)
    except subprocess.CalledProcessError as refused:
        _client["stderr"] = refused.stderr
        raise


urllib3.request = _request
subprocess.run = _noting_run


def _code() -> str | None:
    lines = (_client.get("stderr") or "").strip().splitlines()
    try:
        return json.loads(lines[-1])["code"]
    except (IndexError, ValueError, KeyError, TypeError):
        return None


def pytest_runtest_setup(item: pytest.Item) -> None:
    _client.clear()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    report = yield
    # A test that is expected to fail must not be taken for one that passed or was skipped.
    outcome = "expected failure" if hasattr(report, "wasxfail") else report.outcome
    if report.when == "call" or outcome != "passed":
        case = getattr(item, "callspec", None) and item.callspec.params.get("bundle_verify_dir")
        note = {"test": item.name, "outcome": outcome, "code": _code()}
        if case:
            note["case"] = Path(case).name
        with _record.open("a") as file:
            file.write(json.dumps(note) + "\n")
    return report

"""The page of `agent/web` in Debian's Chromium, with no network and a profile of its own."""

import json
import os
import subprocess
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from playwright._impl._driver import compute_driver_executable
from playwright.sync_api import BrowserContext, Page, sync_playwright

from agent import history
from ledger_client.errors import RemoteError
from ledger_client.verify import verify_record

CHROMIUM = Path(os.environ.get("MILEPOST_CHROMIUM", "/usr/bin/chromium"))
FLAGS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
NODE = compute_driver_executable()[0]
AT_ONCE = 200
# What depends on the reader, or is not for a page to say.
NOT_COMPARED = ("note", "continues", "unlinked", "level", "verified", "error")


@pytest.fixture(scope="module")
def browser() -> Iterator[BrowserContext]:
    """A browser without a past."""
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is absent: apt-get install chromium")
    if subprocess.run([NODE, "--version"], capture_output=True, check=False).returncode:
        pytest.skip("playwright's driver does not start here: apt-get install libatomic1")
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    with TemporaryDirectory() as profile, sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            profile, executable_path=str(CHROMIUM), headless=True, args=[*FLAGS, *sandbox]
        )
        yield context
        context.close()


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page as a user has it: a file."""
    path = tmp_path_factory.mktemp("page") / "verify.html"
    path.write_bytes(history.checker())
    return path


@pytest.fixture
def open_page(browser: BrowserContext, page_file: Path) -> Iterator[Callable[..., Page]]:
    """Opens the page (or another one) and notes every request, error and complaint of it."""
    opened: list[Page] = []
    seen: list[str] = []

    def opening(path: Path = page_file) -> Page:
        page = browser.new_page()
        page.set_default_timeout(10_000)
        opened.append(page)
        page.on("request", lambda request: seen.append(request.url))
        page.on("pageerror", lambda error: seen.append(f"error {error}"))
        page.on("console", lambda message: seen.append(f"console {message.text}"))
        page.goto(path.as_uri())
        seen.remove(path.as_uri())
        return page

    yield opening
    for page in opened:
        page.close()
    assert [each for each in seen if not each.startswith("blob:")] == []


class Judge:
    """The page as a function."""

    def __init__(self, page: Page) -> None:
        self._page = page

    def evaluate(self, script: str, argument: object) -> Any:  # noqa: ANN401  # whatever the script gives
        """What `script`, a function, gives for `argument` in the page."""
        return self._page.evaluate(script, argument)

    def verdicts(self, files: Sequence[bytes]) -> list[dict[str, Any]]:
        """The page's verdicts on `files`."""
        verdicts: list[dict[str, Any]] = []
        for start in range(0, len(files), AT_ONCE):
            packed = [b64encode(data).decode() for data in files[start : start + AT_ONCE]]
            verdicts += self.evaluate(
                """async (files) => { const verdicts = [];
                for (const file of files) verdicts.push(await verdict(unbase64(file, "file")));
                return verdicts; }""",
                packed,
            )
        return verdicts


@pytest.fixture(scope="module")
def judge(browser: BrowserContext, page_file: Path) -> Iterator[Judge]:
    """The page's judgement on many files at once."""
    page = browser.new_page()
    page.goto(page_file.as_uri())
    yield Judge(page)
    page.close()


def python_verdict(data: bytes) -> dict[str, Any]:
    """What the first implementation says, as plain values."""
    try:
        report = verify_record(data)
    except RemoteError as error:
        return {"verified": False, "error": str(error)}
    said: dict[str, Any] = json.loads(json.dumps(report.as_json()))
    return {"verified": True, "level": "amber" if report.findings else "green", **said}


def disagreements(files: Sequence[bytes], verdicts: Sequence[dict[str, Any]]) -> list[object]:
    """The files that the two judge otherwise, or of which they tell something else."""
    found: list[object] = []
    for number, (data, theirs) in enumerate(zip(files, verdicts, strict=True)):
        ours = python_verdict(data)
        differing = {
            name: (ours.get(name), theirs.get(name))
            for name in ours
            if name not in NOT_COMPARED and ours[name] != theirs.get(name)
        }
        if ours["verified"] != theirs["verified"]:
            found.append((number, ours.get("error", "verified"), theirs.get("error", "verified")))
        elif ours["verified"] and (differing or ours["level"] != theirs["level"]):
            found.append((number, differing))
    return found

"""ledger_client works alone: without the agent, Bluetooth, MQTT or any package but its own two."""

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ledger_client import record

if TYPE_CHECKING:
    from tests.ledger_client.conftest import Ledger

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "verify-a-record.md").read_text()
CELLS = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
ALLOWED = {
    "ledger_client",
    "cbor2",
    "_cbor2",
    "nacl",
    "_sodium",
    "cffi",
    "_cffi_backend",
    "pycparser",
}
GUARD = f"""
import sys
from importlib.abc import MetaPathFinder

class Guard(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in {ALLOWED!r} and top not in sys.stdlib_module_names:
            raise ImportError(f"{{name}} is not installed at the auditor's")

sys.meta_path.insert(0, Guard())
"""


# What reads agreements needs msgspec as well; no record needs them.


def run(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", GUARD + code],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
        env={"PYTHONPATH": str(ROOT)},
        timeout=60,
    )


@pytest.fixture
def folder(ledger: "Ledger", tmp_path: Path) -> Path:
    """Where an auditor has a record and nothing else."""
    ledger.grow(3)
    data = record.build(ledger.log, lambda entry: ledger.leaves.get(entry.identity))
    (tmp_path / "record.cbor").write_bytes(data)
    return tmp_path


def test_the_page_for_auditors_runs_as_it_is_printed(folder: Path) -> None:
    done = run("\n".join(CELLS), folder)

    assert done.returncode == 0, done.stderr
    assert len(CELLS) == 5
    assert "readings     9 in 3 batches, 9 disclosed" in done.stdout
    assert "not proved" in done.stdout
    assert done.stdout.count("shoe-left/cadence") == 3
    assert "refused: " in done.stdout
    assert done.stdout.rstrip().endswith("=")


def agreements_and_what_stands_on_them(modules: list[str]) -> set[str]:
    """Modules that need msgspec, which whoever reads agreements installs as well."""
    texts = {
        name: (ROOT / name.replace(".", "/")).with_suffix(".py").read_text() for name in modules
    }
    found = {name for name, text in texts.items() if "import msgspec" in text}
    while True:
        words = "|".join(name.rpartition(".")[2] for name in found)
        imports = re.compile(
            rf"^(from ledger_client import|from ledger_client\.|    ).*\b({words})\b"
        )
        more = {
            name
            for name, text in texts.items()
            if any(imports.match(line) for line in text.partition("\n\n\n")[0].splitlines())
        }
        if more <= found:
            return found
        found |= more


def test_every_module_loads_without_the_agent_and_its_packages(folder: Path) -> None:
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in (ROOT / "ledger_client").rglob("*.py")
        if path.name != "__init__.py" and "evm" not in path.parts
    ]
    agreed = agreements_and_what_stands_on_them(modules)
    modules = [name for name in modules if name not in agreed]
    assert {"ledger_client.verify", "ledger_client.artefacts", "ledger_client.pins"} <= {*modules}

    done = run("\n".join(f"import {name}" for name in modules), folder)

    assert done.returncode == 0, done.stderr
    assert len(modules) > 20


@pytest.mark.parametrize("name", ["agent", "firmware_bridge", "bleak", "aiomqtt", "typer"])
def test_the_guard_keeps_everything_else_out(folder: Path, name: str) -> None:
    assert "is not installed" in run(f"import {name}", folder).stderr


def test_the_page_names_the_packages_and_versions_that_are_required() -> None:
    required = importlib.metadata.requires("milepost") or []

    for name in ("cbor2", "pynacl"):
        given = re.search(rf"'{name}([^']*)'", PAGE)
        (wanted,) = (each for each in required if re.match(rf"{name}[<>=]", each))
        assert given is not None
        assert set(given[1].split(",")) == set(wanted.removeprefix(name).split(","))

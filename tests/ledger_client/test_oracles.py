"""Software that is not ours, in environments of its own, judges what we make: `make oracles`.

pycose and cwt (Python, with another cbor2), @auth0/cose (Node), Go's sumdb packages. What is not
installed here is skipped, and says so.
"""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ledger_client import certificates, merkle, statements
from ledger_client.certificates import Grant, Limits
from ledger_client.checkpoints import Verifier

if TYPE_CHECKING:
    from tests.ledger_client.conftest import Ledger

ROOT = Path(__file__).parents[2]
ORACLES = ROOT / "tests" / "oracles"
INSTALLED = ROOT / ".venv-oracles"
GO_PATH = Path("/usr/share/gocode")  # where Debian keeps the sources of Go packages
TIMEOUT_S = 120


@pytest.fixture
def evidence(ledger: "Ledger", tmp_path: Path) -> Path:
    """A log of ten entries, and what strangers are asked about its entry 5."""
    ledger.grow(6)
    old = ledger.log.head
    ledger.grow(3)
    head, log, issuer = ledger.log.head, ledger.log, ledger.note_key
    now_s = int(time.clock_gettime(time.CLOCK_REALTIME))  # the oracles read the clock too
    subject = ledger.gateway.public

    def certificate(until_s: int) -> str:
        grant = Grant(subject, now_s - 7_200, until_s, ("log", "stream"), Limits())
        return certificates.issue(issuer, grant, bytes(16), now_s - 7_200).hex()

    found = {
        "statement": log.statement(5).hex(),
        "transparent": statements.attach(log.statement(5), [log.receipt(5)]).hex(),
        "receipt": log.receipt(5).hex(),
        "digest": statements.verify(log.statement(5)).digest.hex(),
        "root": head.root.hex(),
        "gateway": subject.raw.hex(),
        "log": ledger.receipt_key.public.raw.hex(),
        "certificate": certificate(now_s + 7_200),
        "expired": certificate(now_s - 3_600),
        "issuer": issuer.public.raw.hex(),
        "kid": issuer.public.thumbprint.hex(),
        "subject": subject.did,
        "note": head.note,
        "vkey": Verifier(log.name, ledger.note_key.public).vkey,
        "index": 5,
        "path": [each.hex() for each in merkle.inclusion_proof(5, head.size, log.nodes)],
        "oldsize": old.size,
        "oldroot": old.root.hex(),
        "growth": [each.hex() for each in merkle.consistency_proof(old.size, head.size, log.nodes)],
    }
    path = tmp_path / "evidence.json"
    path.write_text(json.dumps(found))
    return path


def ask(*command: str | Path, **environment: str) -> dict[str, bool]:
    """What the oracle says, by the name of each check."""
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr
    verdicts: dict[str, bool] = json.loads(done.stdout)
    return verdicts


def test_pycose_and_cwt_agree(evidence: Path) -> None:
    python = INSTALLED / "bin" / "python"
    if not (INSTALLED / ".python").exists():
        pytest.skip("pycose and cwt are not installed: run 'make oracles'")

    verdicts = ask(python, ORACLES / "check.py", evidence)

    assert len(verdicts) == 9
    assert [name for name, verdict in verdicts.items() if not verdict] == []


def test_auth0_cose_agrees(evidence: Path) -> None:
    node = shutil.which("node")
    if node is None or not (INSTALLED / "node_modules").is_dir():
        pytest.skip("@auth0/cose is not installed: it needs Node 18 and npm; run 'make oracles'")

    verdicts = ask(node, ORACLES / "check.mjs", evidence, INSTALLED)

    assert len(verdicts) == 6
    assert [name for name, verdict in verdicts.items() if not verdict] == []


def test_the_sumdb_packages_of_go_agree(evidence: Path, tmp_path: Path) -> None:
    go = shutil.which("go")
    if go is None or not (GO_PATH / "src/golang.org/x/mod/sumdb").is_dir():
        pytest.skip("run 'sudo apt-get install golang-go golang-golang-x-mod-dev' for this one")

    verdicts = ask(
        go,
        "run",
        ORACLES / "check.go",
        evidence,
        GO111MODULE="off",
        GOPATH=str(GO_PATH),
        GOCACHE=str(tmp_path / "cache"),
        GOFLAGS="",
    )

    assert len(verdicts) == 6
    assert [name for name, verdict in verdicts.items() if not verdict] == []

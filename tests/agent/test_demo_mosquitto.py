"""The whole demo over Debian's Mosquitto with mutual TLS, as configs/mosquitto sets it up."""

import json
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent import agreed, topics
from agent.home import Home
from ledger_client.agreements import Ecosystem

CONFIGS = Path(__file__).parents[2] / "configs" / "mosquitto"
MILEPOST = Path(sys.executable).with_name("milepost")
MOSQUITTO = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin")
DASHBOARD = "dashboard"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(MOSQUITTO is None, reason="Debian's mosquitto is not installed"),
]


def demo(home: Path, *options: str) -> dict[str, object]:
    done = subprocess.run(
        [MILEPOST, "demo", "--home", home, "--json", *options],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    summary: dict[str, object] = json.loads(done.stdout)
    return summary


def customers(home: Path) -> list[str]:
    """The names by which the brands know the customer."""
    (deed,) = (
        agreed.path_of(Home(home), each.digest)
        for each in agreed.kept(Home(home))
        if isinstance(each.agreement, Ecosystem)
    )
    said = subprocess.run(
        [MILEPOST, "ecosystem", "names", deed, "--home", home, "--json"],
        capture_output=True,
        check=True,
    )
    return list(json.loads(said.stdout).values())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def settings(folder: Path, port: int) -> Path:
    """Our Mosquitto configuration as it is, with this test's folder, port and user."""
    text = (CONFIGS / "mosquitto.conf").read_text(encoding="utf-8")
    text = text.replace("/etc/mosquitto/milepost", str(folder)).replace("8883", str(port))
    text = text.replace("/var/lib/mosquitto/", f"{folder}/")
    path = folder / "mosquitto.conf"
    path.write_text(f"user root\n{text}", encoding="utf-8")
    return path


def wait_for(port: int) -> None:
    until = time.monotonic() + 10
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError("mosquitto did not come up")


def test_the_same_demo_settles_over_mosquitto_with_mutual_tls(tmp_path: Path) -> None:
    home, folder, port = tmp_path / "home", tmp_path / "certificates", free_port()
    demo(home, "--seconds", "1")  # makes the keys, and so the names
    keys = {
        path.stem: Home(home).key(path.stem).public.short_id for path in home.glob("keys/*.key")
    }
    gateway = keys["gateway"]
    strangers = [keys["peer-brand"], keys["component-charger"], keys["peer-insurer"]]
    relayed = [name for role, name in keys.items() if role.startswith(("component-", "party-"))]
    relayed += customers(home)
    make = ["sh", str(CONFIGS / "make-certificates.sh"), str(folder), "127.0.0.1"]
    subprocess.run([*make, gateway, *strangers, DASHBOARD], check=True, capture_output=True)
    access = topics.mosquitto_acl({gateway: relayed}, [DASHBOARD])
    (folder / "acl").write_text(access, encoding="utf-8")
    broker = subprocess.Popen(
        [str(MOSQUITTO), "-c", settings(folder, port)], stdout=subprocess.DEVNULL
    )
    try:
        wait_for(port)

        summary = demo(
            home,
            "--seconds",
            "8",
            "--broker",
            f"mqtts://127.0.0.1:{port}",
            "--certificates",
            str(folder),
        )
    finally:
        broker.terminate()
        broker.wait(10)

    assert summary["lost"] == 0
    assert int(str(summary["items_paid"])) > 0
    assert summary["items_unpaid"] == 0
    assert int(str(summary["settled_minor_units"])) > 0
    assert int(str(summary["observed"])) > 0
    assert isinstance(summary["agreements"], list)
    assert summary["agreements"][-1]["facts"]["notes_taken"] > 0

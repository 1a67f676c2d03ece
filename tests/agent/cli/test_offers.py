"""`milepost offer`, `offers`, `accept` and `switch` as commands, over a real broker."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import exchange
import offering
import pytest
from box import Box
from typer.testing import CliRunner, Result

from agent import agreed, gateway
from agent.broker import BrokerError
from agent.cli.main import application
from agent.home import Home, HomeError
from ledger_client.errors import EncodingError, RemoteError
from ledger_client.keys import create_key, read_key

DAY_S = 86_400


class Scene(NamedTuple):
    """A box whose readings are of this hour, two brands' forms and keys, and their passwords."""

    box: Box
    folder: Path

    def brand(self, name: str) -> list[str]:
        """How a brand names its form, key and password."""
        key = read_key(self.folder / f"{name}.key").public.short_id
        parts = [f"{name}.json", "--key", f"{name}.key", "--password-file", f"{key}.password"]
        return [part if part == "--key" or part[0] == "-" else str(self.folder / part)
                for part in parts]  # fmt: skip


def form(name: str, price: int, **changes: Any) -> dict[str, Any]:  # noqa: ANN401  # a document's own
    now_s = gateway.clock().wall_ms // 1_000
    document = offering.template(
        price={"per": "reading", "minor_units": price},
        expires_s=now_s + 300 * DAY_S,
        simulated=True,
        purpose=f"plans of {name}",
    )
    document["parties"][1] |= {"name": "brand", "did": ""}
    own = {"name": f"{name}-plan", "lapses_s": now_s + DAY_S}
    return offering.form(document, **own | changes)


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setattr("box.WALL_MS", gateway.clock().wall_ms - 3_600_000)
    box = Box(tmp_path / "home")
    stores = box.open()
    box.hear(stores, 50)
    box.prove(stores)
    box.close()
    fees = [{"name": "membership", "per": "period", "minor_units": 100, "period_s": DAY_S}]
    for name, price, charged in (("good", 80, []), ("poor", 50, fees)):
        create_key(tmp_path / f"{name}.key")
        plain = form(name, price, fees=charged)
        (tmp_path / f"{name}.json").write_text(json.dumps(plain))
    for name in ("good", "poor"):
        short_id = read_key(tmp_path / f"{name}.key").public.short_id
        (tmp_path / f"{short_id}.password").write_text(f"secret-{short_id}")
    (tmp_path / "gateway.password").write_text("secret-gateway")
    return Scene(box, tmp_path)


async def run(*arguments: object, code: int = 0) -> Result:
    """The command, beside the broker that runs in this loop."""
    words = list(map(str, arguments))
    result = await asyncio.to_thread(CliRunner().invoke, application(), words)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


@asynccontextmanager
async def publishing(
    scene: Scene, url: str, name: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A brand's `milepost offer publish` in a process of its own, until Ctrl-C."""
    words = ["offer", "publish", *scene.brand(name), "--broker", url]
    words += ["--deeds", str(scene.folder / f"deeds-{name}")]
    start = "from agent.cli.main import main; main()"
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", start, *words, stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    try:
        async with asyncio.timeout(20):
            assert b"is offered at" in await child.stdout.readline()
        yield child
    finally:
        if child.returncode is None:
            child.send_signal(signal.SIGINT)
        async with asyncio.timeout(20):
            assert await child.wait() == 0


async def test_offers_are_compared_one_is_accepted_and_a_better_one_taken_instead(
    scene: Scene,
) -> None:
    keys = [read_key(scene.folder / f"{name}.key") for name in ("good", "poor")]
    async with (
        exchange.exchange(scene.folder / "broker", keys) as site,
        publishing(scene, site.url, "good"),
        publishing(scene, site.url, "poor") as poor,
    ):
        way = ["--broker", site.url, "--user", "gateway"]
        way += ["--password-file", str(scene.folder / "gateway.password")]
        way += ["--home", str(scene.box.path), "--subject", "runner"]

        table = (await run("offers", *way)).stdout
        told = json.loads((await run("offers", *way, "--json")).stdout)
        refused = await run("accept", "poor-plan", *way, code=1)
        accepted = await run("accept", "poor-plan", *way, "--yes")
        with pytest.raises(HomeError, match="milepost switch"):
            await run("accept", "good-plan", *way, "--yes")
        switched = json.loads((await run("switch", "good-plan", *way, "--yes", "--json")).stdout)
        withdrawing = ["offer", "withdraw", *scene.brand("poor"), "--broker", site.url]
        await run(*withdrawing)
        async with asyncio.timeout(20):
            await poor.wait()
        left = json.loads((await run("offers", *way, "--json")).stdout)

    assert max(map(len, table.splitlines())) <= 80
    assert "NET                0.003200 EUR by 50" in table
    assert [each["estimate"]["net"] for each in told["offers"]] == [3_200, 2_000 - 700]
    assert told["offers"][1]["estimate"]["fees"] == [["membership", 700]]
    assert "Agree, and consent?" in refused.stderr
    assert "brand pays 0.000050 EUR for each reading." in accepted.stderr
    assert "Fee, membership: 0.000100 EUR a day" in accepted.stderr
    (ended,) = switched["ended"]
    assert f"agreed: {ended}" in accepted.stdout
    assert len(agreed.kept(Home(scene.box.path))) == 2
    assert [each["offer"].partition("/")[2] for each in left["offers"]] == ["good-plan"]


async def test_without_a_broker_a_home_or_an_offer_it_says_what_is_missing(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.gateway.reaching.CONNECT_MAX_S", 0.3)
    monkeypatch.chdir(tmp_path)
    form_only = [scene.folder / "good.json", "--key", scene.folder / "good.key"]

    with pytest.raises(BrokerError, match="none answers"):
        await run("offers", "--home", scene.box.path, "--broker", "mqtt://127.0.0.1:1")
    with pytest.raises(HomeError, match="name it with --home"):
        await run("offers")
    with pytest.raises(BrokerError, match="expected --broker"):
        await run("offer", "withdraw", *form_only)
    with pytest.raises(HomeError, match="expected an offer as JSON"):
        await run("offer", "show", tmp_path / "nothing", *form_only[1:])
    (tmp_path / "odd.json").write_text("[]")
    with pytest.raises(EncodingError, match="offer"):
        await run("offer", "show", tmp_path / "odd.json", *form_only[1:])
    shown = (await run("offer", "show", *form_only)).stdout
    assert "wearer  80 %  ..." in shown
    assert "fees: none" in shown


async def test_an_empty_market_says_so_and_bad_offers_are_counted(scene: Scene) -> None:
    key = read_key(scene.folder / "good.key")
    me = key.public.short_id
    async with exchange.exchange(scene.folder / "broker", [key]) as site:
        way = ["--broker", site.url, "--user", "gateway"]
        way += ["--password-file", str(scene.folder / "gateway.password")]
        way += ["--home", str(scene.box.path), "--subject", "runner"]
        async with site.joined(me) as broker:
            await broker.publish(f"milepost/v1/c/{me}/offer/x", b"\x1b[2Jhello", retain=True)

        said = (await run("offers", *way)).stdout
        with pytest.raises(RemoteError, match="on this broker: none"):
            await run("accept", "x", *way, "--yes")

    assert "nothing is offered on this broker" in said
    assert "refused 1: offer: JSON is malformed" in said
    assert "\x1b" not in said

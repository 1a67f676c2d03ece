"""Buys readings of a milepost gateway, checks each and pays for it: buy_tyres.py CREDENTIALS."""

import asyncio
import json
import os
import sys
from pathlib import Path

import aiomqtt
import nacl.signing
from tiny import check, dec, enc, order, root, sha, sign, state, terms_of, voucher

me = json.loads(Path(sys.argv[1]).read_text())  # what `milepost app grant` printed
key = nacl.signing.SigningKey(bytes.fromhex(me["seed"]))
purse = Path(sys.argv[1] + ".purse")  # what we hold and owe, on disk before a promise leaves
now = {"salt": os.urandom(16), "n": 0, "due": 0, "last": None, "total": 0, "sig": None}
now |= dec(purse.read_bytes()) if purse.exists() else {}
terms = terms_of(me, bytes(key.verify_key), now["salt"])


def take(item):
    """Promise to pay an item: the seller signed it, the gateway its readings, each is proved."""
    n, price, due, digest = item["n"], item["price"], item["due"], sha(item["body"])
    check(me["seller_key"], "item", item["sig"], [sha(terms), n, price, due, digest])
    statement, chosen = dec(item["body"])
    batch, readings = check(me["gateway_key"], "batch", statement), chosen[1]
    if [due, price] != [now["due"] + price, me["price"] * len(readings)]:
        sys.exit("another price than the one granted: not paid")
    if any(root(index, batch[2], leaf, path) != batch[3] for index, leaf, path in readings):
        sys.exit("readings that the gateway did not sign: not paid")
    now.update(n=n, due=due, last=[price, digest, item["sig"]], total=due)
    now["sig"] = sign(key, "voucher", [sha(terms), due])
    purse.write_bytes(enc(now))
    for _, leaf, _ in readings:
        print(dec(leaf)[1][0], dec(leaf)[1][2], dec(leaf)[1][1], "paid in all:", due, flush=True)


async def main():
    login = {"username": me["id"], "password": me["password"], "identifier": me["id"]}
    async with aiomqtt.Client(me["host"], me["port"], **login) as mqtt:
        to = f"milepost/v1/in/{{}}/{{}}/{me['id']}".format
        await mqtt.subscribe(f"milepost/v1/in/{me['id']}/#", 1)
        await mqtt.publish(to(me["gateway"], "cmd"), order(key, me, terms), 1)
        async for message in mqtt.messages:
            said = {"state": {}} if "/res/" in message.topic.value else dec(message.payload)
            if said == {"state": {}}:
                print(message.payload.decode(), flush=True)  # what the ledger says to our order
            if "item" in said and said["item"]["n"] == now["n"] + 1:
                take(said["item"])
            if "item" in said and said["item"]["n"] <= now["n"]:
                await mqtt.publish(to(me["seller"], "pay"), voucher(terms, now), 1, retain=True)
            else:  # after a gap, too: the seller sends from there again
                answer = state(terms, now, said.get("state", {}).get("run", b""))
                await mqtt.publish(to(me["seller"], "pay"), answer, 1)


asyncio.run(main())

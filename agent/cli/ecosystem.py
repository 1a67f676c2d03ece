"""`milepost ecosystem`: value from a brand to a customer, to another brand, and what that settles.

Files go from hand to hand. Nothing of them goes onto a log but the payments between the brands.
"""

import json
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from agent import agreed
from agent.cli.artefacts import Home, Json, Out, now_s
from agent.demo.wallet import pseudonyms, secret_of
from agent.export import write_whole
from agent.home import Home as Folder
from agent.home import HomeError
from ledger_client import netting, record, values
from ledger_client.agreements import Ecosystem
from ledger_client.bookkeeping import replay_record
from ledger_client.deeds import Deed
from ledger_client.keys import PublicKey, read_key
from ledger_client.netting import Netting
from ledger_client.shares import Debt
from ledger_client.statements import Statement
from ledger_client.values import Ask, Note
from ledger_client.wording import money

WALLET = "wallet"
NUMBER_BITS = 62

app = typer.Typer(no_args_is_help=True, help="Value between brands with a common customer.")

File = Annotated[Path, typer.Argument(metavar="DEED", help="The ecosystem, as a deed.")]
Key = Annotated[Path, typer.Option("--key", help="The brand's key file.")]
Record = Annotated[
    Path | None, typer.Option("--record", help="A record of the ledger: what was paid before.")
]


@app.command()
def ask(
    file: File,
    home: Home,
    brand: Annotated[str, typer.Option("--brand", help="The brand, by its name in the deed.")],
    out: Out,
) -> None:
    """As the customer, ask a brand for a note, by the name that only this brand knows."""
    deed, ecosystem = _ecosystem(file)
    folder = Folder(home)
    secret, number = secret_of(folder), secrets.randbits(NUMBER_BITS)
    holder = values.holder_key(secret, deed.digest, number).public
    place = folder.path / WALLET / holder.short_id
    place.parent.mkdir(mode=0o700, exist_ok=True)
    write_whole(place, str(number).encode())
    key = pseudonyms(secret, ecosystem)[ecosystem.key_of(brand)]
    write_whole(out, values.pack([values.ask(key, deed.digest, [holder], now_s())]))
    typer.echo(f"{out}: {key.public.short_id} asks {brand} for a note")


@app.command()
def names(
    file: File,
    home: Home,
    as_json: Json = False,  # noqa: FBT002  # a flag of the command line
) -> None:
    """By which name each brand knows the customer of a home: for the access rules of a broker."""
    _, ecosystem = _ecosystem(file)
    brands = values.names_of(ecosystem)
    keys = pseudonyms(secret_of(Folder(home)), ecosystem)
    known = {brands[brand]: key.public.short_id for brand, key in keys.items()}
    if as_json:
        typer.echo(json.dumps(known))
        return
    for brand, name in known.items():
        typer.echo(f"{brand} knows this customer as {name}")


@app.command()
def earn(
    file: File,
    key: Key,
    asked: Annotated[Path, typer.Option("--ask", help="What the customer asked.")],
    amount: Annotated[int, typer.Option("--amount", min=1, help="Minor units of each note.")],
    out: Out,
) -> None:
    """As a brand, give the notes that a customer asks for."""
    deed, ecosystem = _ecosystem(file)
    signer = read_key(key)
    brands = values.names_of(ecosystem)
    if signer.public not in brands:
        raise HomeError(f"{key}: expected the key of a party of this ecosystem")
    notes = []
    for statement in _statements([asked]):
        said = values.parse(statement, deed.digest)
        if isinstance(said, Ask):
            notes += [
                values.earn(signer, deed.digest, amount, holder, now_s()) for holder in said.holders
            ]
    write_whole(out, values.pack(notes))
    each = money(amount, ecosystem.asset)
    typer.echo(f"{out}: {len(notes)} notes of {brands[signer.public]}, {each} each")


@app.command()
def redeem(
    file: File,
    home: Home,
    notes: Annotated[Path, typer.Option("--notes", help="The notes, as the brand gave them.")],
    at: Annotated[str, typer.Option("--at", help="The brand where they are redeemed.")],
    out: Out,
) -> None:
    """As the customer, redeem notes at any brand, each at one and once."""
    deed, ecosystem = _ecosystem(file)
    folder, brand = Folder(home), ecosystem.key_of(at)
    secret = secret_of(folder)
    signed = []
    for statement in _statements([notes]):
        note = values.parse(statement, deed.digest)
        if not isinstance(note, Note):
            raise HomeError(f"{notes}: expected notes, got something else")
        holder = values.holder_key(secret, deed.digest, _number(folder, note.holder))
        redemption = values.redeem(holder, deed.digest, note.digest, brand, now_s())
        signed += [statement.signed, redemption]
    write_whole(out, values.pack(signed))
    typer.echo(f"{out}: {len(signed) // 2} notes redeemed at {at}, and nowhere else")


@app.command()
def owe(
    file: File,
    key: Key,
    redeemed: Annotated[
        list[Path], typer.Argument(help="All that was ever redeemed, each file once.")
    ],
    out: Out,
) -> None:
    """As a brand, judge what was redeemed of yours elsewhere, and sign what you owe for it."""
    deed, ecosystem = _ecosystem(file)
    signer, statements = read_key(key), _statements(redeemed)
    brands = values.names_of(ecosystem)
    if signer.public not in brands:
        raise HomeError(f"{key}: expected the key of a party of this ecosystem")
    if len(statements) % 2:
        raise HomeError("expected notes with their redemptions, as milepost ecosystem redeem wrote")
    pairs = zip(statements[::2], statements[1::2], strict=True)
    owing: dict[PublicKey, int] = {}
    for note, redemption in values.redeemed(ecosystem, deed.digest, pairs):
        if note.brand == signer.public != redemption.at:
            owing[redemption.at] = owing.get(redemption.at, 0) + note.amount
    signed = [
        values.owe(signer, deed.digest, creditor, total, now_s())
        for creditor, total in owing.items()
    ]
    write_whole(out, values.pack(signed))
    for creditor, total in owing.items():
        amount = money(total, ecosystem.asset)
        typer.echo(f"{brands[signer.public]} owes {brands[creditor]} {amount}")
    typer.echo(f"{out}: {len(signed)} debts signed")


@app.command()
def net(
    file: File,
    owed: Annotated[list[Path], typer.Argument(help="What each brand signed that it owes.")],
    out: Out,
    ledger: Record = None,
) -> None:
    """Net all debts into the fewest payments; every brand can check it."""
    deed, ecosystem = _ecosystem(file)
    paid = _paid(ledger, deed, ecosystem) if ledger else []
    made = netting.make(ecosystem, [each.signed for each in _statements(owed)], paid)
    write_whole(out, made.encode())
    _say(made, ecosystem)
    typer.echo(f"{out}: anybody with the deed checks it with milepost ecosystem check")


@app.command()
def check(
    file: File,
    netted: Annotated[Path, typer.Argument(metavar="NETTING", help="The netting.")],
    ledger: Record = None,
    as_json: Json = False,  # noqa: FBT002  # a flag of the command line
) -> None:
    """Compute a netting again; with a record of the ledger, exit 1 unless it is paid."""
    deed, ecosystem = _ecosystem(file)
    made = netting.check(ecosystem, _bytes(netted, netting.SIZE_MAX))
    left: list[Debt] = []
    if ledger:
        done = {(p.debtor, p.creditor): p.amount for p in _paid(ledger, deed, ecosystem)}
        wanted: dict[tuple[str, str], int] = {}
        for each in (*made.paid, *made.payments):
            pair = each.debtor, each.creditor
            wanted[pair] = wanted.get(pair, 0) + each.amount
        left = [
            Debt(*pair, amount - done.get(pair, 0))
            for pair, amount in wanted.items()
            if amount > done.get(pair, 0)
        ]
    if as_json:
        typer.echo(json.dumps(_plain(made) | {"checked": True, "unpaid": _list(left)}))
    else:
        _say(made, ecosystem)
        typer.echo("every position is conserved: the payments leave each where its debts did")
        for each in left:
            amount = money(each.amount, ecosystem.asset)
            typer.echo(f"not paid on the ledger: {each.debtor} to {each.creditor} {amount}")
    if left:
        raise typer.Exit(1)


def _ecosystem(file: Path) -> tuple[Deed, Ecosystem]:
    deed = agreed.read(file)
    if not isinstance(deed.agreement, Ecosystem):
        raise HomeError(f"{file}: expected an ecosystem, got another kind of agreement")
    return deed, deed.agreement


def _bytes(file: Path, size_max: int) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(size_max + 1)
    except OSError as error:
        raise HomeError(f"{file}: expected a file: {error.strerror}") from error


def _statements(files: Iterable[Path]) -> list[Statement]:
    return [each for file in files for each in values.unpack(_bytes(file, values.SIZE_MAX))]


def _number(folder: Folder, holder: PublicKey) -> int:
    place = folder.path / WALLET / holder.short_id
    try:
        return int(place.read_text(encoding="ascii"))
    except (OSError, ValueError) as error:
        raise HomeError(f"{folder.path}: this customer never asked for that note") from error


def _paid(file: Path, deed: Deed, ecosystem: Ecosystem) -> list[Debt]:
    """What the brands paid each other under the agreement, by a record that is verified."""
    names = values.names_of(ecosystem)
    paid: dict[tuple[str, str], int] = {}
    for held in replay_record(_bytes(file, record.SIZE_MAX)).channels.values():
        payer, payee = names.get(held.terms.payer), names.get(held.terms.payee)
        if held.terms.agreement == deed.digest and payer and payee and held.claimed:
            paid[payer, payee] = paid.get((payer, payee), 0) + held.claimed
    return [Debt(*pair, amount) for pair, amount in sorted(paid.items())]


def _say(made: Netting, ecosystem: Ecosystem) -> None:
    for title, debts in (("owes", made.debts), ("paid", made.paid), ("pays", made.payments)):
        for each in debts:
            amount = money(each.amount, ecosystem.asset)
            typer.echo(f"{each.debtor} {title} {each.creditor} {amount}")
    typer.echo(f"{len(made.debts)} debts, {len(made.payments)} payments; positions sum to 0")


def _list(debts: Iterable[Debt]) -> list[list[object]]:
    return [[each.debtor, each.creditor, each.amount] for each in debts]


def _plain(made: Netting) -> dict[str, object]:
    return {
        "agreement": made.agreement.hex(),
        "debts": _list(made.debts),
        "paid": _list(made.paid),
        "payments": _list(made.payments),
        "positions": dict(made.positions),
    }

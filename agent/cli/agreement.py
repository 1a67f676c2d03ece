"""`milepost agreement`: a standard agreement from a form to a deed that all its parties signed."""

import json
import re
from contextlib import closing
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from agent import agreed, governed
from agent.cli.artefacts import Json, Out, now_s
from agent.export import write_whole
from agent.home import PARTY, HomeError
from agent.home import Home as Folder
from agent.recording import make_stream
from agent.registry import Registry
from agent.status import printable
from ledger_client import agreements, consents, wording
from ledger_client.agreements import Agreement, DataLicence
from ledger_client.consents import Act, Standing
from ledger_client.database import open_database
from ledger_client.deeds import Deed
from ledger_client.keys import SigningKey, create_key, read_key
from ledger_client.log import LogReader

LINE_CHARACTERS_MAX = 400
_MINUTE_S = 60

app = typer.Typer(no_args_is_help=True, help="Standard agreements: write, read, sign, check.")

File = Annotated[Path, typer.Argument(help="The agreement, as `milepost agreement new` wrote it.")]
HomeOrNone = Annotated[
    Path | None, typer.Option("--home", help="The gateway's home folder: it keeps a copy.")
]
Signer = Annotated[
    str, typer.Option("--as", help="The name of a key of the home, such as party-runner.")
]
KeyFile = Annotated[Path | None, typer.Option("--key", help="A key file instead.")]


@app.command()
def new(
    form: Annotated[Path, typer.Argument(help="The document as JSON.")],
    out: Out,
    home: HomeOrNone = None,
    subject: Annotated[
        str, typer.Option(help="Whose readings, of this home: fills in its urn for the purpose.")
    ] = "",
) -> None:
    """Make an agreement of a document; nobody has signed it yet."""
    try:
        plain = json.loads(form.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise HomeError(f"{form}: expected a document as JSON: {error}") from error
    if subject and isinstance(plain, dict):
        plain["subject"] = _urn(home, subject, plain.get("purpose"))
    deed = Deed(agreements.from_plain(plain))
    write_whole(out, deed.encode())
    _say(wording.text(deed.agreement))


@app.command()
def party(
    name: Annotated[str, typer.Argument(help="Of whom; the key is party-NAME.")] = "",
    home: HomeOrNone = None,
    key: KeyFile = None,
) -> None:
    """Print who a key is in an agreement, making the key if there is none yet."""
    if (key is None) == (home is None or not name):
        raise typer.BadParameter("expected a NAME and --home, or --key", param_hint="--key")
    if key is None and not re.fullmatch(r"[a-z][a-z0-9-]{0,31}", name):
        raise typer.BadParameter("expected a name of a-z, 0-9 and -", param_hint="NAME")
    place = key or Folder(home or Path()).key_path(f"{PARTY}{name}")
    typer.echo((read_key(place) if place.exists() else create_key(place)).public.did)


@app.command(name="list")
def list_(
    home: Annotated[Path, typer.Option("--home", help="The gateway's home folder.")],
    as_json: Json = False,  # noqa: FBT002  # a flag of the command line
) -> None:
    """Every agreement of a home: where it stands, and what it governs now."""
    folder = Folder(home)
    with closing(open_database(folder.ledger_db, create=False)) as connection:
        changes_s = agreed.owner_changes_s(LogReader(connection))
        registry = Registry(connection)
        registry.create()
        urns = registry.streams()
        found = []
        for deed in agreed.kept(folder):
            standing = consents.standing(deed.agreement, deed.acts, now_s(), changes_s)
            held = agreed.Holding(deed, deed.digest, standing)
            found.append(governed.view(held, urns, now_s()))
    if as_json:
        typer.echo(json.dumps([msgspec.to_builtins(each) for each in found]))
        return
    _say("\n".join(map(governed.line, found)) or "there are no agreements in this home")


@app.command()
def schema(
    kind: Annotated[str, typer.Argument(help=", ".join(agreements.KINDS))],
) -> None:
    """The JSON Schema that a document of one kind follows."""
    if kind not in agreements.KINDS:
        raise typer.BadParameter(f"expected one of {', '.join(agreements.KINDS)}")
    typer.echo(json.dumps(agreements.schema(kind), indent=2))


@app.command()
def show(
    file: File,
    as_json: Json = False,  # noqa: FBT002  # a flag of the command line
) -> None:
    """The text of an agreement, made of the document that is signed."""
    agreement = agreed.read(file).agreement
    if as_json:
        typer.echo(json.dumps(agreements.to_plain(agreement)))
        return
    _say(wording.text(agreement))


@app.command()
def sign(file: File, home: HomeOrNone = None, signer: Signer = "", key: KeyFile = None) -> None:
    """Sign: for whoever grants something this is the consent, too."""
    _act(file, Act.SIGN, home, _key(home, signer, key))


@app.command()
def end(
    file: File,
    home: HomeOrNone = None,
    signer: Signer = "",
    key: KeyFile = None,
    *,
    withdraw: Annotated[
        bool, typer.Option("--withdraw", help="Take the consent back, at once.")
    ] = False,
) -> None:
    """End an agreement at the next full minute and after its notice; or withdraw the consent."""
    _act(file, Act.WITHDRAW if withdraw else Act.END, home, _key(home, signer, key))


@app.command()
def check(
    file: File,
    home: HomeOrNone = None,
    as_json: Json = False,  # noqa: FBT002  # a flag of the command line
) -> None:
    """Verify every signature and say where it stands; exit 1 unless it is in force."""
    deed = agreed.read(file)
    held = _standing(deed, home)
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "agreement": deed.digest.hex(),
                    "state": held.state.value,
                    "signed": held.signed,
                    "missing": held.missing,
                    "from_s": held.from_s,
                    "until_s": held.until_s,
                }
            )
        )
    else:
        _say(_told(deed, held))
    if held.state is not consents.State.IN_FORCE:
        raise typer.Exit(1)


def _urn(home: Path | None, subject: str, purpose: object) -> str:
    """The subject's urn for that purpose, made where there is none yet."""
    if home is None or not isinstance(purpose, str) or not purpose:
        raise typer.BadParameter(
            "expected --home, and a purpose in the document", param_hint="--subject"
        )
    folder = Folder(home)
    with closing(open_database(folder.ledger_db, create=False)) as connection:
        registry = Registry(connection)
        registry.create()
        known = registry.streams().find(subject, purpose)
        return (known or make_stream(folder, registry, subject, purpose)).urn


def _key(home: Path | None, signer: str, key: Path | None) -> SigningKey:
    if (key is None) == (home is None or not signer):
        raise typer.BadParameter("expected --home and --as, or --key", param_hint="--key")
    if key is not None:
        return read_key(key)
    return read_key(Folder(home or Path()).key_path(signer))


def _act(file: Path, act: Act, home: Path | None, key: SigningKey) -> None:
    deed = agreed.read(file)
    if home is not None and act is Act.SIGN:
        _expect_purpose(Folder(home), deed.agreement)
    at_s = now_s() + (_MINUTE_S - 1 if act is Act.END else 0)
    deed = deed.joined([consents.sign_act(key, deed.digest, act, at_s)])
    write_whole(file, deed.encode())
    if home is not None:
        folder = Folder(home)
        copy = agreed.path_of(folder, deed.digest)
        copy.parent.mkdir(mode=0o700, exist_ok=True)
        if copy.exists():
            deed = deed.joined(each.signed for each in agreed.read(copy).acts)
        write_whole(copy, deed.encode())
    _say(_told(deed, _standing(deed, home)))


def _expect_purpose(folder: Folder, agreement: Agreement) -> None:
    """Refuse an urn of ours that is another purpose's: what it links is linked for ever."""
    if not isinstance(agreement, DataLicence):
        return
    with closing(open_database(folder.ledger_db, create=False)) as connection:
        registry = Registry(connection)
        registry.create()
        for stream in registry.streams().of(agreement.subject):
            if stream.purpose != agreement.purpose:
                raise HomeError(
                    f"the licence is for {agreement.purpose!r}, its urn is that of"
                    f" {stream.purpose or 'its own record'!r}; make the agreement with --home HOME"
                    f" --subject {stream.subject}"
                )


def _standing(deed: Deed, home: Path | None) -> Standing:
    changes_s: list[int] = []
    if home is not None:
        with closing(open_database(Folder(home).ledger_db, create=False)) as connection:
            changes_s = agreed.owner_changes_s(LogReader(connection))
    return consents.standing(deed.agreement, deed.acts, now_s(), changes_s)


def _told(deed: Deed, held: Standing) -> str:
    lines = [f"{deed.digest.hex()}  {held.state.value}"]
    lines += [f"signed by {name}" for name in held.signed]
    lines += [f"not signed by {name}" for name in held.missing]
    return "\n".join(lines)


def _say(text: str) -> None:
    for line in text.splitlines():
        typer.echo(printable(line, LINE_CHARACTERS_MAX))

"""A report in plain words: what is proved, by whom, and what is not."""

from collections.abc import Iterator

from ledger_client.report import Report, moment

OBSERVED, SIMULATED = 0, 9
UNSET = 0


def proved(report: Report) -> list[str]:
    """Sentences that hold unless somebody has the keys who should not."""
    return list(_proved(report))


def not_proved(report: Report) -> list[str]:
    """What a reader might take for proved and is not, the specific before the general."""
    return [*_about_this(report), *_about_any(report)]


def _proved(report: Report) -> Iterator[str]:
    whole = report.shown == report.size
    yield (
        f"The log {report.log} had {_count(report.size, 'entry')} when its keys signed for them at"
        f" {moment(report.signed_s)}. "
        + (
            "All of them are here, in that order: none was changed, removed or put in between."
            if whole
            else f"{_count(report.shown, 'entry')} of them are here, unchanged, at their places."
        )
    )
    for issuer in report.issuers:
        last = issuer.last_sequence
        span = f"numbers {issuer.first_sequence} to {last}" if issuer.batches > 1 else f"{last}"
        yield (
            f"{issuer.short_id} signed {_count(issuer.batches, 'batch')} of readings ({span}),"
            " and nobody else could have."
        )
    yield from (f"{each.line()}." for each in report.vouchings if each.by)
    if report.batches and not report.gaps and not report.withheld:
        yield "Every batch that these numbers promise is here."
    if report.disclosed:
        yield (
            f"{_count(report.disclosed, 'reading')} can be read here, each exactly as it was signed"
            " then: value, unit, time and how it was heard."
        )
    for each in report.witnesses:
        whose = "Witness" if each.known else "Somebody who calls himself witness"
        yield (
            f"{whose} {each.vkey} saw this head at {moment(each.seen_s)}, and by his word no other"
            " one of this log."
        )
    if report.extends is not None and report.continues is None:
        yield (
            f"It continues the log's head of {_count(report.extends, 'entry')}, which is in this"
            " file, too: nothing before that was rewritten."
        )
    if report.continues is not None:
        yield (
            f"It continues the head of {_count(report.continues, 'entry')} that you pinned:"
            " nothing that you saw before was rewritten."
        )


def _about_this(report: Report) -> Iterator[str]:
    observed = report.provenance.get(OBSERVED, 0)
    simulated = report.provenance.get(SIMULATED, 0)
    if report.demo:
        yield "Anything about the real world: this is a demo log, its readings and money are play."
    if simulated:
        yield f"That a sensor measured {_count(simulated, 'reading')}: they are simulated."
    if observed:
        yield (
            f"Who sent {_count(observed, 'reading')}: they were heard as open broadcasts, which"
            " anybody near could have sent."
        )
    yield from _missing(report)
    unset = report.clock_states.get(UNSET, 0)
    if unset:
        yield (f"The hour of {_count(unset, 'batch')}: the clock was not set. Their order holds.")
    if report.clock_steps:
        yield (
            f"That times run evenly: the clock was set in {_count(report.clock_steps, 'batch')}."
        )


def _missing(report: Report) -> Iterator[str]:
    lost = report.losses.get("dropped", 0) + report.losses.get("rejected", 0)
    silences = report.losses.get("gap", 0)
    if report.gaps:
        yield f"What stood in batches that are gone: {'; '.join(report.gaps)}."
    if report.withheld:
        yield (
            f"What is in {_count(report.withheld, 'batch')} between those shown: they are not in"
            " this excerpt, or were never logged."
        )
    if report.shown < report.size:
        yield "That the excerpt is fair: who made it chose what is in it."
    if report.closed:
        yield (
            f"What is in {_count(report.closed, 'reading')}: counted and fixed, but not disclosed."
        )
    if report.erased:
        yield (
            f"What was in {_count(sum(report.erased.values()), 'reading')} of"
            f" {_count(len(report.erased), 'subject')}: erased, as their signer says. That no copy"
            " is left anywhere, nobody can prove."
        )
    if lost:
        yield f"What was in {_count(lost, 'reading')} lost or refused: only the number is signed."
    if silences:
        yield f"What happened in {_count(silences, 'silence or restart', 'silences or restarts')}."
    if report.unlinked is not None:
        yield (
            f"That this log continues the head of {_count(report.unlinked, 'entry')} that you"
            " pinned: an excerpt cannot show it. Its key is the same; ask for the record."
        )


def _about_any(report: Report) -> Iterator[str]:
    yield from (f"Who is behind a key: {each.line()}." for each in report.vouchings if not each.by)
    unknown = sum(not each.known for each in report.witnesses)
    if unknown:
        yield (
            f"Who {_count(unknown, 'witness', 'witnesses')} may be: compare the key with the one"
            " that the witness gives out, and name it with --witness."
        )
    known = "" if report.continues is None else ", which is the one that you pinned,"
    yield (
        f"Who holds the keys: compare the log key{known} and whoever vouches for it with what you"
        " have from the owner himself."
    )
    if report.readings:
        yield "That a sensor told the truth, or that nothing happened that no sensor heard."


def _count(number: int, one: str, many: str = "") -> str:
    """`number` with its noun."""
    plural = many or {"entry": "entries", "batch": "batches"}.get(one, f"{one}s")
    return f"{number} {one if number == 1 else plural}"

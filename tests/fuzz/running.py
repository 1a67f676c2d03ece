"""Runs the targets of a fuzz script, each in a process of its own: libFuzzer never returns.

A script calls `main` with its targets; a target is what takes bytes and may raise nothing. Options
of libFuzzer may follow the script's own. The first finding ends everything, with its status.
"""

import argparse
import importlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

atheris: Any = importlib.import_module("atheris")  # in the fuzzing environment only

Target = Callable[[bytes], None]

SUPPORT = Path(__file__).parents[1] / "support"
sys.path.append(str(SUPPORT))  # what tests use to make agreements, offers, ledgers


def quiet(read: Callable[[bytes], object], *refusals: type[Exception]) -> Target:
    """Someone else's bytes may be refused, in the ways that say so."""

    def target(data: bytes) -> None:
        attempt(read, data, *refusals)

    return target


def text(read: Callable[[str], object]) -> Callable[[bytes], object]:
    """What takes bytes for a parser of text."""
    return lambda data: read(data.decode("utf-8", "replace"))


def attempt(read: Callable[[Any], object], given: object, *refusals: type[Exception]) -> None:
    """Read what may be refused."""
    try:
        read(given)
    except refusals:
        return


def main(script: str, targets: Mapping[str, Target], seeds: Iterable[bytes], bytes_max: int) -> int:
    """Fuzz one target of `script`, or with --all every one, beginning from `seeds`."""
    parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("target", nargs="?", choices=list(targets))
    parser.add_argument("--all", action="store_true", help="every target, one after another")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    chosen, options = parser.parse_known_args()
    if bool(chosen.target) is chosen.all:
        parser.error("want a target or --all")
    if chosen.inside:
        _fuzz(targets[chosen.target], [f"-max_len={bytes_max}", "-verbosity=0", *options])
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(seeds):
            Path(corpus, str(number)).write_bytes(seed[:bytes_max])
        for target in targets if chosen.all else (chosen.target,):
            print(f"{target}: {chosen.seconds} s", flush=True)  # noqa: T201  # a script for people
            limits = [f"-max_total_time={chosen.seconds}", *options]
            run = [sys.executable, script, "--inside", target, *limits, corpus]
            if status := subprocess.run(run, check=False).returncode:
                return status
    return 0


def _fuzz(target: Target, options: list[str]) -> None:
    """Never returns: libFuzzer ends the process, with 0 when nothing was found."""
    atheris.Setup([sys.argv[0], *options], target)
    atheris.Fuzz()

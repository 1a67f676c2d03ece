"""Where the `milepost` command begins: so small that Ctrl-C finds somebody to answer it at once."""

import sys


def main() -> None:
    """Run the command; Ctrl-C while it is still being imported is one line and exit status 130."""
    try:
        from agent.cli.main import main as run  # noqa: PLC0415  # takes 0.2 s, which Ctrl-C may cut

        run()
    except KeyboardInterrupt:
        sys.stderr.write("milepost: interrupted before it started\n")
        raise SystemExit(130) from None

"""The command line: ``python -m quantnn [info | demo]``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from . import _dispatch
from ._config import show_config, version


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m quantnn",
        description="quantnn: torch.nn.quantized without torch.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"quantnn {version()}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    commands.add_parser(
        "info",
        help="show the version, the processor's instruction-set levels and the threads",
        description="Show what quantnn.show_config() shows: put it into a bug report.",
    )
    demo = commands.add_parser(
        "demo",
        help="let an int8 network read handwritten digits",
        description="Run a small int8 network, shipped with quantnn, on 200 real handwritten digits.",
        allow_abbrev=False,
    )
    demo.add_argument(
        "--picture",
        metavar="FILE.png",
        help="also write a picture of all digits with the network's answers (needs Pillow)",
    )
    demo.add_argument(
        "--level",
        choices=_dispatch.AVAILABLE,
        help="the instruction-set level to run, one of %(choices)s; by default that of `info`",
        metavar="LEVEL",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status: 2 for a user's error, 1 if it cannot print, else 0."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    try:
        if arguments.command == "info":
            show_config()
        elif arguments.command == "demo":
            from ._demo.show import DemoError, demo

            try:
                demo(arguments.picture, arguments.level)
            except DemoError as e:
                print(f"{parser.prog} demo: error: {e}", file=sys.stderr)
                return 2
        else:
            parser.print_help()
        sys.stdout.flush()
    except BrokenPipeError:
        _drop_output()  # `| head` has read enough
    except OSError as e:
        _drop_output()
        print(f"{parser.prog}: error: {e}", file=sys.stderr)
        return 1
    return 0


def _drop_output() -> None:
    """Send what is still to be printed nowhere, so that flushing it at exit does not fail once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)

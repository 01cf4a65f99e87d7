"""The command line: ``python -m quantnn [info | demo | inspect | convert | run]``."""

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
    inspect = commands.add_parser(
        "inspect",
        help="show what a file of torch's or quantnn's holds",
        description="Show the modules or operators of a state dict (torch.save), a TorchScript file (torch.jit.save) "
        "or a file of quantnn.save: dtypes, shapes, sizes, and whether each is supported. Exit status 3: one is not.",
        allow_abbrev=False,
    )
    inspect.add_argument("file", metavar="FILE")
    convert = commands.add_parser(
        "convert",
        help="write such a file as one of quantnn's",
        description="Write what FILE holds, which is anything that inspect knows, as quantnn.save does.",
        allow_abbrev=False,
    )
    convert.add_argument("file", metavar="FILE")
    convert.add_argument("target", metavar="OUT", help="ends with .npz or .safetensors")
    run = commands.add_parser(
        "run",
        help="call the model in such a file",
        description="Call the model in FILE, a TorchScript file or one of quantnn.save.",
        allow_abbrev=False,
    )
    run.add_argument("file", metavar="FILE")
    run.add_argument(
        "--input",
        metavar="X.npy",
        action="append",
        required=True,
        help="an argument of the model, once for each: an array, float64 taken as float32; or a .npz file with "
        "int_repr, scale and zero_point, for a quantized tensor",
    )
    run.add_argument(
        "--output",
        metavar="Y.npy",
        required=True,
        help="where the result goes, as floats; a .npz file gets several results, and of quantized ones NAME.int_repr, "
        "NAME.scale and NAME.zero_point",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    It is 0; 1 if it cannot print; 2 for a user's error or a bad file; 3 if `inspect` found what is not supported.
    """
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
        elif arguments.command in ("inspect", "convert", "run"):
            return _with_files(parser, arguments)
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


def _with_files(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    """Run a command that reads files: 0, 2 for an error with one line, or 3 if a file holds what is not supported."""
    from .io import _commands

    status = 0
    try:
        if arguments.command == "inspect":
            status = 0 if _commands.inspect(arguments.file) else 3
        elif arguments.command == "convert":
            _commands.convert(arguments.file, arguments.target)
        else:
            _commands.run(arguments.file, arguments.input, arguments.output)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except (OSError, ValueError, TypeError, LookupError, RuntimeError, ImportError, MemoryError) as e:
        print(f"{parser.prog} {arguments.command}: error: {' '.join(str(e).split())}", file=sys.stderr)
        return 2
    return status


def _drop_output() -> None:
    """Send what is still to be printed nowhere, so that flushing it at exit does not fail once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)

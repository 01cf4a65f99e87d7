"""What ``python -m quantnn demo`` prints and paints."""

from __future__ import annotations

import io
import os
import statistics
import sys
import time
import zipfile
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

import quantnn

from .. import _cpu, _dispatch
from .network import load_digits, load_network, normalize

# Halves of a block character are about square; ASCII characters are twice as high as wide.
_BLOCKS = " ▄▀█"
_ASCII = " .:-=+*#%@"

# what a wheel holds: the package but for what Python and the build leave beside it
_SOURCES = {".pyx", ".pxd", ".pxi", ".h", ".c", ".pyc"}


class DemoError(Exception):
    """Something that the user asked for cannot be done; the message says what and how to mend it."""


def demo(picture: str | None = None, level: str | None = None) -> None:
    """Print the demo.

    Parameters
    ----------
    picture : str, optional
        Path of a PNG file to write the contact sheet to.
    level : str, optional
        The instruction-set level to run.
    """
    if picture is not None:
        _check_picture(picture)
    with nullcontext() if level is None else _dispatch.use_level(level):
        net = load_network()
        images, labels = load_digits()
        x = normalize(images)
        answers = net(x).argmax(1)
        one = _per_second(lambda: net(x[:1]), 1)
        many = _per_second(lambda: net(x), len(x))
        chosen = _dispatch.kernels.level

    print("An int8 network reads handwritten digits it has never seen:\n")
    print(_draw(images[:10], answers[:10], labels[:10], _can_encode(_BLOCKS)))
    right = int((answers == labels).sum())
    threads = quantnn.get_num_threads()
    facts = {
        "right answers": f"{right} of {len(labels)} ({100 * right / len(labels):.1f} %)",
        "speed": f"{one:,.0f} images per second one by one, {many:,.0f} in batches of {len(x)}",
        "instruction set": f"{chosen} (built: {', '.join(_cpu.built_levels())})",
        "threads": f"{threads}",
        "quantnn's size": f"{_wheel_size() / 1e6:.1f} MB (its installed files, compressed as in a wheel)",
    }
    for name, value in facts.items():
        print(f"{name + ':':<17}{value}")
    if picture is not None:
        _paint(picture, images, answers, labels)
        print(f"{'picture:':<17}{picture}")


def _per_second(run: Callable[[], Any], images: int, seconds: float = 0.25) -> float:
    """Images per second, by the median of the calls that fit into some time."""
    times = []
    end = time.perf_counter() + seconds
    while (start := time.perf_counter()) < end:
        run()
        times.append(time.perf_counter() - start)
    return images / statistics.median(times)


def _can_encode(text: str) -> bool:
    """Whether the terminal's encoding has these characters."""
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _draw(images: np.ndarray, answers: np.ndarray, labels: np.ndarray, blocks: bool, columns: int = 5) -> str:
    """Digits as text, several beside each other, each with the network's answer below."""
    drawn = [_draw_digit(image, blocks) for image in images]
    for lines, answer, label in zip(drawn, answers, labels, strict=True):
        note = f"a {answer}" if answer == label else f"a {answer}, but is {label}"
        lines.append(note.center(len(lines[0])))
    out = []
    for first in range(0, len(drawn), columns):
        row = drawn[first : first + columns]
        out += [" ".join(parts).rstrip() for parts in zip(*row, strict=True)]
        out.append("")
    return "\n".join(out)


def _draw_digit(image: np.ndarray, blocks: bool) -> list[str]:
    """A 28x28 image as seven lines of fourteen characters."""
    grey = image.astype(np.float32)
    if blocks:
        ink = grey.reshape(14, 2, 14, 2).mean((1, 3)) > 70
        codes = ink[0::2] * 2 + ink[1::2]
        return ["".join(_BLOCKS[c] for c in line) for line in codes]
    grey = grey.reshape(7, 4, 14, 2).mean((1, 3))
    codes = (grey * (len(_ASCII) - 1) / 255 + 0.5).astype(int)
    return ["".join(_ASCII[c] for c in line) for line in codes]


def _wheel_size() -> int:
    """Bytes of the installed files, compressed as a wheel would hold them."""
    package = Path(quantnn.__file__).parent
    # An editable installation has the compiled modules elsewhere; a published wheel may bring libraries along.
    roots = {package, Path(_cpu.__file__).parent, package.with_name("quantnn.libs")}
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as wheel:
        for root in sorted(roots):
            for folder, _, names in os.walk(root, followlinks=True):
                for path in (Path(folder, name) for name in sorted(names)):
                    if path.suffix not in _SOURCES:
                        wheel.writestr(str(path.relative_to(root.parent)), path.read_bytes())
    return len(memory.getvalue())


# The picture. Pillow is imported only here: it is an extra.


def _check_picture(path: str) -> None:
    """Refuse what cannot become a picture before anything is run."""
    try:
        import PIL  # type: ignore[import-not-found,unused-ignore]  # noqa: F401
    except ImportError:
        raise DemoError("--picture needs Pillow; install it with: pip install 'quantnn[picture]'") from None
    file = Path(path)
    if file.suffix.lower() != ".png":
        raise DemoError(f"--picture must be a file name that ends in .png; got {path!r}")
    try:
        if not file.parent.is_dir():
            raise DemoError(f"--picture: there is no directory {str(file.parent)!r}")
        if file.is_dir():
            raise DemoError(f"--picture must be a file; {path!r} is a directory")
    except (OSError, ValueError) as e:
        raise DemoError(f"--picture: {path!r} is no usable path: {e}") from None


def _paint(path: str, images: np.ndarray, answers: np.ndarray, labels: np.ndarray, columns: int = 20) -> None:
    """Write a contact sheet: every digit with the answer below it, wrong ones in red with the right one."""
    from PIL import Image, ImageDraw, ImageFont  # type: ignore[import-not-found,unused-ignore]

    side, caption, gap = 42, 14, 6
    rows = -(-len(images) // columns)
    size = (gap + columns * (side + gap), gap + rows * (side + caption + gap))
    sheet = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default()
    for i, (image, answer, label) in enumerate(zip(images, answers, labels, strict=True)):
        x = gap + i % columns * (side + gap)
        y = gap + i // columns * (side + caption + gap)
        digit = Image.fromarray(255 - image).resize((side, side), Image.Resampling.BICUBIC)
        sheet.paste(digit.convert("RGB"), (x, y))
        right = answer == label
        pen.rectangle((x - 1, y - 1, x + side, y + side), outline="lightgrey" if right else "red")
        text = f"{answer}" if right else f"{answer}, is {label}"
        left, _, width, _ = pen.textbbox((0, 0), text, font=font)
        pen.text((x + (side - (width - left)) / 2, y + side + 1), text, "black" if right else "red", font)
    try:
        with open(path, "wb") as f:
            sheet.save(f, "PNG")
    except (OSError, ValueError) as e:
        raise DemoError(f"--picture: {path!r} cannot be written: {getattr(e, 'strerror', None) or e}") from None

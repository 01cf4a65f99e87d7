"""What is printed: a line for each row and number of threads, and the means of the groups."""

from __future__ import annotations

from collections.abc import Iterator

from ._limits import Limits
from ._measure import Means, Result, Row, Timing, means, measure

NAME, CELL = 46, 28  # columns of text


def run_family(
    name: str, rows: Iterator[Row], peers: list[str], threads: list[int], timing: Timing, limits: Limits | None
) -> list[Result]:
    """Measure and print a family's rows and its groups' means."""
    results: list[Result] = []
    for row in rows:
        found = measure(row, peers, threads, timing, limits)
        if not results:
            columns = [*(c for c in found[0].seconds if c not in peers), *peers]
            print(f"\n{name}: time of a call, rate, share of the limit, time / quantnn's time")
            print(f"{'':<{NAME}} thr {'limit':>16}" + "".join(f"{c:>{CELL}}" for c in columns) + "   best", flush=True)
        results += found
        for result in found:
            print(_line(row, result, columns), flush=True)
        for note in dict.fromkeys(n for r in found for n in r.notes.values()):
            print(f"{'':<6}{', '.join(p for p in peers if note in (r.notes.get(p) for r in found))}: {note}")
        if any(r.exact is False for r in found):
            print(f"{'':<6}WRONG: quantnn's integers are not the reference's")
        elif found[0].exact is None:
            print(f"{'':<6}not checked: there is nothing to compare with")
    for peer in peers:
        off = [r.differences[peer] for r in results if r.differences.get(peer)]
        if off:
            print(f"{peer}'s results differ from quantnn's in {len(off)} of the lines, by up to {max(off):.4g}")
    print_means(means(results))
    return results


def _line(row: Row, result: Result, columns: list[str]) -> str:
    limit = f"{result.bound} {duration(result.limit)}" if result.limit else ""
    text = f"{row.group + ' ' + row.shape:<{NAME}} {result.threads:>3} {limit:>16}"
    text += "".join(f"{_cell(result, c):>{CELL}}" for c in columns)
    if result.best:
        text += f"   {result.ratios[result.best]:.2f}x {result.best}"
    if "kernel" in result.seconds:
        text += f", {duration(result.seconds['quantnn'] - result.seconds['kernel'])} above its kernel"
    if result.scaling:
        text += f", {result.scaling:.2f}x with {result.threads} threads"
    return text


def _cell(result: Result, column: str) -> str:
    if column not in result.seconds:
        return "-"
    text = duration(result.seconds[column])
    if column in result.rates:
        text += f" {result.rates[column]:>6.1f}"
    if column in result.shares:
        text += f" {result.shares[column]:>4.2f}"
    ratio = f"{result.ratios[column]:.2f}x" if column in result.ratios else ""
    return f"{text} {ratio:>6}"


def print_means(groups: list[Means]) -> None:
    """A line for each group and number of threads: its ratios and shares of the limit."""
    print("geometric means: time / quantnn's time, and (share of the limit)")
    for m in groups:
        line = f"  {m.group} ({m.rows} rows), {m.threads} thr:"
        if "quantnn" in m.shares:
            line += f" quantnn ({m.shares['quantnn']:.2f}),"
        for peer, ratio in m.ratios.items():
            line += f" {peer} {ratio:.2f}" + (f" ({m.shares[peer]:.2f})" if peer in m.shares else "") + ","
        if m.best:
            line += f" best of each row {m.best:.2f}" + (f" ({m.best_share:.2f})" if m.best_share else "")
        print(line.rstrip(","))


def duration(seconds: float) -> str:
    if seconds < 1e-3:
        return f"{seconds * 1e6:.2f} us"
    return f"{seconds * 1e3:.3f} ms"

"""Timing: a row's forms take turns, round after round, so that the machine's drift hits all of them alike.

A row is one operation on one shape. Its forms are the same operation in quantnn and in each peer, made
ready before the clock runs: inputs quantized, weights packed, the peer's best layout. What is timed is a
call as a user makes it, the output's allocation and Python's part included. Before that, quantnn's result
must be the reference's, integer for integer; how far each peer is from it is printed.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np


class Unavailable(Exception):
    """Why a peer cannot run a row."""


class Form(NamedTuple):
    """An operation ready to run: `call` is timed, `ints` gives the logical array of what it returns."""

    call: Callable[[], Any]
    ints: Callable[[Any], np.ndarray]


class Row(NamedTuple):
    """One operation on one shape.

    `forms` has "quantnn" and the peers, each a function that makes the form or raises `Unavailable`; a
    `reference` may replace torch's result as what quantnn's must equal.
    """

    group: str  # a geometric mean is taken over each
    shape: str
    work: float  # multiply-adds or bytes of a call; 0: only the time is of interest
    unit: str  # "GMAC/s" or "GB/s"
    forms: dict[str, Callable[[], Form]]
    reference: Callable[[], np.ndarray] | None = None
    tolerance: float = 0.0  # how far torch's result may be, where it is no reference


class Result(NamedTuple):
    group: str
    shape: str
    unit: str
    seconds: dict[str, float]  # medians
    rates: dict[str, float]
    ratios: dict[str, float]  # peer / quantnn: above 1 quantnn is faster
    notes: dict[str, str]  # per peer: why it did not run
    differences: dict[str, float]  # per peer that ran: the largest difference of its integers from quantnn's
    exact: bool | None  # None: nothing to compare with


def measure(row: Row, peers: list[str], rounds: int, budget: float, pause: float = 0.0) -> Result:
    """Check a row and time its forms: `rounds` rounds of about `budget` seconds each.

    Before each turn a `pause` of some seconds lets the threads of the one before fall asleep.
    """
    forms: dict[str, Form] = {}
    notes: dict[str, str] = {}
    for name in ["quantnn", *peers]:
        if name not in row.forms:
            notes[name] = "left out, this row has no form for it"
            continue
        try:
            forms[name] = row.forms[name]()
            forms[name].call()
        except Unavailable as e:
            notes[name] = str(e)
            forms.pop(name, None)
    exact, differences = _check(row, forms)
    seconds = _time({name: form.call for name, form in forms.items()}, rounds, budget, pause)
    ours = seconds["quantnn"]
    return Result(
        group=row.group,
        shape=row.shape,
        unit=row.unit,
        seconds=seconds,
        rates={name: row.work / s / 1e9 for name, s in seconds.items()} if row.work else {},
        ratios={name: s / ours for name, s in seconds.items() if name != "quantnn"},
        notes=notes,
        differences=differences,
        exact=exact,
    )


def _check(row: Row, forms: dict[str, Form]) -> tuple[bool | None, dict[str, float]]:
    """Whether quantnn's integers are the reference's, or else torch's; and how far the peers' are off."""
    results = {name: np.array(form.ints(form.call())) for name, form in forms.items()}
    ours = results.pop("quantnn")
    differences = {
        name: float(np.abs(theirs.astype(np.float64) - ours).max()) if theirs.shape == ours.shape else math.inf
        for name, theirs in results.items()
    }
    if row.reference is not None:
        return np.array_equal(ours, row.reference()), differences
    if "torch" in differences:
        return differences["torch"] <= row.tolerance, differences
    return None, differences


def _time(calls: dict[str, Callable[[], Any]], rounds: int, budget: float, pause: float) -> dict[str, float]:
    """The median over the rounds of each call's mean seconds within a round."""
    repeats = {name: _repeats(call, budget) for name, call in calls.items()}
    times: dict[str, list[float]] = {name: [] for name in calls}
    order = list(calls)
    for i in range(rounds):
        for name in order if i % 2 == 0 else reversed(order):
            call, n = calls[name], repeats[name]
            time.sleep(pause)
            call()  # its code and data back into the caches
            start = time.perf_counter()
            for _ in range(n):
                call()
            times[name].append((time.perf_counter() - start) / n)
    return {name: statistics.median(t) for name, t in times.items()}


def _repeats(call: Callable[[], Any], budget: float) -> int:
    n = 1
    while True:
        start = time.perf_counter()
        for _ in range(n):
            call()
        elapsed = time.perf_counter() - start
        if elapsed > budget / 8:
            return max(1, round(n * budget / elapsed))
        n *= 4


def run_family(
    name: str, rows: Iterator[Row], peers: list[str], rounds: int, budget: float, pause: float = 0.0
) -> tuple[list[Result], dict[str, dict[str, float]]]:
    """Measure and print a family's rows; returns the results and the geometric means of the ratios."""
    results: list[Result] = []
    columns = ["quantnn", *peers]
    for row in rows:
        if not results:
            what = f"{row.unit}, " if row.work else ""
            print(f"\n{name}: time of a call, {what}time / quantnn's time")
            print(f"{'':<50}" + "".join(f"{c:>26}" for c in columns), flush=True)
        result = measure(row, peers, rounds, budget, pause)
        results.append(result)
        cells = "".join(f"{_cell(result, c):>26}" for c in columns)
        print(f"{row.group + ' ' + row.shape:<50}{cells}", flush=True)
        for note in dict.fromkeys(result.notes.values()):
            print(f"{'':<6}{', '.join(p for p in peers if result.notes.get(p) == note)}: {note}")
        if result.exact is False:
            print(f"{'':<6}WRONG: quantnn's integers are not the reference's")
        elif result.exact is None:
            print(f"{'':<6}not checked: there is nothing to compare with")
    for peer in peers:
        off = [r.differences[peer] for r in results if r.differences.get(peer)]
        if off:
            print(f"{peer}'s results differ from quantnn's in {len(off)} rows, by up to {max(off):.4g}")
    means = geometric_means(results)
    for group, ratios in means.items():
        text = ", ".join(f"{peer} / quantnn {ratio:.2f}" for peer, ratio in ratios.items())
        count = sum(r.group == group for r in results)
        print(f"geometric mean, {group} ({count} rows): {text or 'no peer ran'}")
    return results, means


def geometric_means(results: list[Result]) -> dict[str, dict[str, float]]:
    """Per group and peer, over the rows that the peer ran."""
    means: dict[str, dict[str, float]] = {}
    for group in dict.fromkeys(r.group for r in results):
        mine = [r for r in results if r.group == group]
        peers = dict.fromkeys(p for r in mine for p in r.ratios)
        means[group] = {
            p: math.exp(statistics.fmean(math.log(r.ratios[p]) for r in mine if p in r.ratios)) for p in peers
        }
    return means


def _cell(result: Result, column: str) -> str:
    if column not in result.seconds:
        return "-"
    text = _duration(result.seconds[column])
    if column in result.rates:
        text += f" {result.rates[column]:>6.1f}"
    ratio = f"{result.ratios[column]:.2f}x" if column in result.ratios else ""
    return f"{text} {ratio:>6}"


def _duration(seconds: float) -> str:
    if seconds < 1e-3:
        return f"{seconds * 1e6:.2f} us"
    return f"{seconds * 1e3:.3f} ms"

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
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from . import _peers
from ._limits import Limits


class Row(NamedTuple):
    """One operation on one shape.

    `forms` has "quantnn" and the peers, each a function that makes the form or raises `Unavailable`; a
    `reference` may replace torch's result as what quantnn's must equal.
    """

    group: str  # the family that geometric means are taken over
    shape: str
    macs: int  # multiply-adds of a call that don't fall on padding
    moved: int  # bytes of inputs, weights and outputs; 0: only the time is of interest
    forms: dict[str, Callable[[], _peers.Form]]
    reference: Callable[[], np.ndarray] | None = None
    tolerance: float = 0.0  # how far torch's result may be, where it is no reference

    @property
    def unit(self) -> str:
        return "GMAC/s" if self.macs else "GB/s" if self.moved else ""


class Result(NamedTuple):
    """A row's figures with one number of threads, each by "quantnn" and the peers that ran."""

    group: str
    shape: str
    threads: int
    macs: int
    moved: int
    limit: float | None  # the least seconds that the machine's limits allow
    bound: str  # what that limit is: "peak" or a cache level
    seconds: dict[str, float]  # medians of the rounds
    least: dict[str, float]  # minima of the rounds
    rates: dict[str, float]  # GMAC/s or GB/s
    shares: dict[str, float]  # limit / seconds
    ratios: dict[str, float]  # peer / quantnn: above 1 quantnn is faster
    best: str | None  # the fastest peer
    scaling: float | None  # quantnn's time with the first number of threads / its time with this one
    notes: dict[str, str]  # per peer: why it did not run
    differences: dict[str, float]  # per peer: the largest difference of its integers from quantnn's
    exact: bool | None  # None: nothing to compare with


class Means(NamedTuple):
    """Geometric means over a group's rows with one number of threads."""

    group: str
    threads: int
    rows: int
    ratios: dict[str, float]  # over the rows that the peer ran
    best: float | None  # of each row's ratio to its best peer
    shares: dict[str, float]
    best_share: float | None  # of each row's best peer's share


class Timing(NamedTuple):
    rounds: int
    budget: float  # seconds of a round

    @staticmethod
    def pause(threads: int) -> float:
        """Seconds before each turn, in which the threads of the one before stop spinning: ONNX Runtime's take 25 ms."""
        return 0.03 if threads > 1 else 0.0

    @staticmethod
    def settling(threads: int) -> float:
        """Seconds of calls before each turn that do not count, in which threads that slept get cores of their own."""
        return 0.05 if threads > 1 else 0.0


def measure(row: Row, peers: list[str], threads: list[int], timing: Timing, limits: Limits | None) -> list[Result]:
    """Check a row and time its forms with each number of threads."""
    results: list[Result] = []
    for n in threads:
        _peers.prepare(n)
        forms, notes = _forms(row, peers)
        exact, differences = _check(row, forms)
        times = _time({name: form.call for name, form in forms.items()}, timing, n)
        seconds = {name: statistics.median(t) for name, t in times.items()}
        ours = seconds["quantnn"]
        ratios = {name: s / ours for name, s in seconds.items() if name in peers}
        limit, bound = (limits.of(row.macs, row.moved, n) if limits else None) or (None, "")
        work = row.macs or row.moved
        results.append(
            Result(
                row.group, row.shape, n, row.macs, row.moved, limit, bound,
                seconds=seconds,
                least={name: min(t) for name, t in times.items()},
                rates={name: work / s / 1e9 for name, s in seconds.items()} if work else {},
                shares={name: limit / s for name, s in seconds.items()} if limit else {},
                ratios=ratios,
                best=min(ratios, key=lambda name: ratios[name]) if ratios else None,
                scaling=results[0].seconds["quantnn"] / ours if results else None,
                notes=notes,
                differences=differences,
                exact=exact,
            )
        )  # fmt: skip
    return results


def _forms(row: Row, peers: list[str]) -> tuple[dict[str, _peers.Form], dict[str, str]]:
    forms: dict[str, _peers.Form] = {}
    notes: dict[str, str] = {}
    # a row may have forms that are no peers: parts of quantnn's own call
    for name in [*(n for n in row.forms if n not in _peers.NAMES), *peers]:
        if name not in row.forms:
            notes[name] = "has no form for this row"
            continue
        try:
            form = row.forms[name]()
            form.call()
            forms[name] = form
        except _peers.Unavailable as e:
            notes[name] = str(e)
    return forms, notes


def _check(row: Row, forms: dict[str, _peers.Form]) -> tuple[bool | None, dict[str, float]]:
    """Whether quantnn's integers are the reference's, or else torch's; and how far the peers' are off."""
    results = {name: np.array(form.ints(form.call())) for name, form in forms.items() if form.ints is not None}
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


def _time(calls: dict[str, Callable[[], Any]], timing: Timing, threads: int) -> dict[str, list[float]]:
    """Each call's mean seconds within each round."""
    repeats = {name: _repeats(call, timing.budget) for name, call in calls.items()}
    times: dict[str, list[float]] = {name: [] for name in calls}
    order = list(calls)
    for i in range(timing.rounds):
        for name in order if i % 2 == 0 else reversed(order):
            call, n = calls[name], repeats[name]
            time.sleep(timing.pause(threads))
            call()  # code and data back into the caches
            settled = time.perf_counter() + timing.settling(threads)
            while time.perf_counter() < settled:
                call()
            start = time.perf_counter()
            for _ in range(n):
                call()
            times[name].append((time.perf_counter() - start) / n)
    return times


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


def geometric_mean(values: Iterable[float]) -> float | None:
    """None of nothing."""
    logarithms = [math.log(v) for v in values]
    return math.exp(statistics.fmean(logarithms)) if logarithms else None


def means(results: list[Result]) -> list[Means]:
    """Of each group and number of threads, in the order of their first rows."""
    found = []
    for group, threads in dict.fromkeys((r.group, r.threads) for r in results):
        mine = [r for r in results if r.group == group and r.threads == threads]

        def of(table: Callable[[Result], dict[str, float]], mine: list[Result] = mine) -> dict[str, float]:
            names = dict.fromkeys(name for r in mine for name in table(r))
            return {n: geometric_mean(table(r)[n] for r in mine if n in table(r)) or 0.0 for n in names}

        found.append(
            Means(
                group, threads, len(mine),
                ratios=of(lambda r: r.ratios),
                best=geometric_mean(r.ratios[r.best] for r in mine if r.best),
                shares=of(lambda r: r.shares),
                best_share=geometric_mean(r.shares[r.best] for r in mine if r.best and r.shares),
            )
        )  # fmt: skip
    return found

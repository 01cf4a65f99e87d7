"""The compiled functions that a call of quantnn reaches, with their arguments: to run them alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from quantnn import _dispatch

Calls = list[tuple[Callable[..., Any], tuple[Any, ...]]]

KERNELS = (
    "linear",
    "conv",
    "depthwise",
    "dynamic",
    "rnn",
    "pool",
    "interpolate",
    "normalization",
    "embedding",
    "binary",
    "unary",
    "softmax",
    "matmul",
    "quantize",
)


class _Recorder:
    """A kernel's function that notes every call."""

    def __init__(self, function: Any, calls: Calls) -> None:
        self._function, self._calls = function, calls

    def __call__(self, *arguments: Any) -> Any:
        self._calls.append((self._function, arguments))
        return self._function(*arguments)


class _Recording:
    """A kernel module with recorders for its functions."""

    def __init__(self, name: str, calls: Calls) -> None:
        self._module, self._calls = _dispatch.load(_dispatch.kernels.level, name), calls

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._module, name)
        return _Recorder(found, self._calls) if callable(found) and not isinstance(found, type) else found


def kernel_calls(make: Callable[[], Callable[[], Any]]) -> Callable[[], Any]:
    """What a call of what `make` makes does in kernels, ready to be called."""
    calls: Calls = []
    with _dispatch.use_level(_dispatch.kernels.level):
        for name in KERNELS:
            setattr(_dispatch.kernels, name, _Recording(name, calls))
        call = make()
        call()  # the first one may prepare
        calls.clear()
        call()
    if len(calls) == 1:
        return partial(calls[0][0], *calls[0][1])

    def all_of_them() -> None:
        for function, arguments in calls:
            function(*arguments)

    return all_of_them

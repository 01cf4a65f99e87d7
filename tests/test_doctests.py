"""The examples in quantnn's docstrings."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import quantnn


def modules() -> list[str]:
    """quantnn and its pure Python modules."""
    names = ["quantnn"]
    for info in pkgutil.walk_packages(quantnn.__path__, "quantnn."):
        private = any(part in ("__main__", "__pyinstaller", "_kernels") for part in info.name.split("."))
        if not private:
            names.append(info.name)
    return names


def examples() -> list[doctest.DocTest]:
    """Every docstring that has examples, once."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = {}
    for name in modules():
        for test in finder.find(importlib.import_module(name)):
            if test.examples:
                found[test.name] = test
    return list(found.values())


@pytest.mark.parametrize("test", examples(), ids=lambda test: test.name)
def test_docstring(test: doctest.DocTest) -> None:
    output: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    runner.run(test, out=output.append)
    assert runner.failures == 0, "".join(output)


def test_every_public_name_has_a_docstring() -> None:
    missing = [
        name
        for name in dir(quantnn)
        if not name.startswith("_") and callable(x := getattr(quantnn, name)) and not x.__doc__
    ]
    assert not missing

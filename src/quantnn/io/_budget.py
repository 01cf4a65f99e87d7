"""Budget: how much memory a file may ask for."""

from __future__ import annotations

from ._errors import FileError

SPARE = 4 << 20


class Budget:
    """Three times the size of a file and 4 MiB, shared by everything that is built from it.

    Only what is built before it is known to be good is charged: inflated records, the values of pickles, copies of
    storages. What is mapped is not.

    Parameters
    ----------
    size : int
        Of the file, in bytes.
    """

    __slots__ = ("left", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self.left = 3 * size + SPARE

    def charge(self, amount: int, what: str) -> None:
        """Take `amount` bytes for `what`; raise FileError, without the file's name, if they are not there."""
        self.left -= amount
        if self.left < 0:
            raise FileError(f"{what} must not take much more memory than the {self.size} bytes of the file")

"""FileError: what is wrong with a file."""

from __future__ import annotations


class FileError(ValueError):
    """A file that can't be read: damaged, hostile, or of a kind that is not supported.

    The message names the file, says what is wrong with it and, where there is one, the fix.

    Notes
    -----
    A file that does not exist or can't be opened raises an OSError, as everywhere in Python.
    """

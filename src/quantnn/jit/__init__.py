"""TorchScript programs, without torch: ``quantnn.jit.load``."""

from __future__ import annotations

import os

from ._interpreter import Use as Use
from ._program import Program as Program
from ._program import ScriptModule as ScriptModule
from ._program import load_archive
from ._program import operators as operators


def load(path: str | os.PathLike[str]) -> Program:
    """Open a TorchScript file of a quantized model.

    Parameters
    ----------
    path : str or path-like
        What ``torch.jit.save`` wrote: a scripted, traced or frozen network, quantized in eager mode, FX graph mode or
        dynamically.

    Returns
    -------
    Program
        A `quantnn.Module` to be called with arrays and QTensors. Its ``code`` is the text of ``forward``, its
        ``sources`` all text; exported methods are methods; submodules, ``named_modules`` and ``state_dict`` are as in
        torch.

    Raises
    ------
    FileError
        The file is damaged, is no TorchScript file, holds text that is not TorchScript, or uses operators that quantnn
        lacks: all of them are listed, each with its file, line and function.
    OSError
        It can't be opened.

    Notes
    -----
    torch's ``torch.jit.load``. The text is parsed and interpreted, never compiled or executed as Python. Weights are
    read from the mapped file when they are first used.

    Quantized outputs equal torch's integer for integer. Floats computed between quantized layers (layer norms, softmax,
    GELU, float linear layers and LSTMs) are NumPy's, within a few units in the last place.

    Opening a file takes bounded time and memory whatever is in it (``docs/format.md``). Calling the program may take
    any: its text can have loops that do not end.

    A missing operator in a branch or loop that may not be run is no error when the file is opened; it is one
    (NotImplementedError) when a call comes to it. `operators` lists those.
    """
    return load_archive(path)

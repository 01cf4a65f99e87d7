"""Modules without parameters, for QTensors and float arrays alike: Identity, Flatten, Dropout, ReLU."""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np

from .. import _checks
from ..ops import _unary
from ..tensor import QTensor
from .module import Module


class Identity(Module):
    """Return the input.

    Parameters
    ----------
    *args, **kwargs
        Accepted as in torch and ignored.

    Notes
    -----
    torch.nn.Identity.

    Examples
    --------
    >>> import quantnn
    >>> quantnn.Identity(54, unused=True)
    Identity()
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Any) -> Any:
        """Return `input`."""
        return input


class Flatten(Module):
    """Make one dimension of several adjacent ones.

    Parameters
    ----------
    start_dim, end_dim : int
        The first and the last of them; negative ones count from the end.

    Notes
    -----
    torch.nn.Flatten. The order of the elements is that of the shape (N, C, H, W), whatever the memory order.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> quantnn.Flatten()(np.zeros((2, 3, 4), dtype=np.float32)).shape
    (2, 12)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = _checks.integer("Flatten", "start_dim", start_dim)
        self.end_dim = _checks.integer("Flatten", "end_dim", end_dim)

    def forward(self, input: Any) -> Any:
        """Flatten a QTensor or an array.

        Raises
        ------
        TypeError
            `input` is neither.
        IndexError
            `start_dim` or `end_dim` is out of range.
        ValueError
            `start_dim` is after `end_dim`.
        """
        if isinstance(input, QTensor):
            return input.flatten(self.start_dim, self.end_dim)
        if not isinstance(input, np.ndarray):
            raise TypeError(f"Flatten: input must be a QTensor or a NumPy array; got {_checks.kind(input)}")
        shape = input.shape or (1,)  # a scalar counts as one dimension
        n = len(shape)
        for name, dim in (("start_dim", self.start_dim), ("end_dim", self.end_dim)):
            if not -n <= dim < n:
                raise IndexError(f"Flatten: {name} must be in [{-n}, {n - 1}] for {n} dimensions; got {dim}")
        start, end = self.start_dim % n, self.end_dim % n
        if start > end:
            raise ValueError(f"Flatten: start_dim must not be after end_dim; got {start} and {end}")
        return input.reshape((*shape[:start], math.prod(shape[start : end + 1]), *shape[end + 1 :]))

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Dropout(Module):
    """Return the input: dropout does nothing in a quantized network, in training either.

    Parameters
    ----------
    p : float
        The probability that the float network used; kept for the repr.
    inplace : bool
        Kept for the repr.

    Notes
    -----
    torch.ao.nn.quantized.Dropout.

    Examples
    --------
    >>> import quantnn
    >>> quantnn.Dropout(0.3)
    QuantizedDropout(p=0.3, inplace=False)
    """

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0 <= _checks.number("Dropout", "p", p) <= 1:
            raise ValueError(f"Dropout: p must be in [0, 1]; got {p}")
        self.p = p
        self.inplace = inplace

    def forward(self, input: Any) -> Any:
        """Return `input`."""
        return input

    def _get_name(self) -> str:
        return "QuantizedDropout"

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Self:
        """Make the module from torch.nn.Dropout or quantnn's counterpart."""
        return cls._from("Dropout.from_float", mod)

    @classmethod
    def from_reference(cls, mod: Any, scale: Any, zero_point: Any) -> Self:
        """Make the module from torch.nn.Dropout; `scale` and `zero_point` are not used."""
        return cls._from("Dropout.from_reference", mod)

    @classmethod
    def _from(cls, op: str, mod: Any) -> Self:
        if not (hasattr(mod, "p") and hasattr(mod, "inplace")):
            raise TypeError(f"{op}: mod must be a Dropout; got {_checks.kind(mod)}")
        return cls(mod.p, mod.inplace)


class ReLU(Module):
    """Replace negative values by zero.

    Parameters
    ----------
    inplace : bool
        Change the input and return it.

    Notes
    -----
    torch.nn.ReLU. On a QTensor it is ``q' = max(q, zero_point)``, with the scale and zero point of the input.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> x = quantnn.make_per_tensor_quantized_tensor(np.array([9, 10, 11], np.uint8), 0.5, 10)
    >>> quantnn.ReLU()(x).int_repr()
    array([10, 10, 11], dtype=uint8)
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = _checks.truth("ReLU", "inplace", inplace)

    def forward(self, input: Any) -> Any:
        """Apply it to a QTensor or a float32 array."""
        if isinstance(input, QTensor):
            if not self.inplace:
                return _unary.relu(input)
            self._check_writable(input._ints)
            return _unary.relu_(input)
        if not isinstance(input, np.ndarray) or input.dtype.type is not np.float32:
            raise TypeError(f"ReLU: input must be a QTensor or a float32 array; got {_checks.kind(input)}")
        if self.inplace:
            self._check_writable(input)
            return np.maximum(input, np.float32(0), out=input)
        return np.maximum(input, np.float32(0))

    @staticmethod
    def _check_writable(array: np.ndarray) -> None:
        if not array.flags.writeable:
            raise ValueError("ReLU: input must be writable with inplace=True; got read-only memory. Copy it")

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""

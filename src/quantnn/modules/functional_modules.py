"""FloatFunctional, FXFloatFunctional, QFunctional: additions and the like as modules, whose results can be observed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np

from .. import _checks
from ..ops import _binary
from ..ops._matmul import matmul
from ..tensor import QTensor
from .module import Module
from .output import OutputModule
from .simple import Identity
from .utils import check_float_module, post_process_qparams


class FXFloatFunctional(Module):
    """Operations on float arrays, which no observer sees.

    Notes
    -----
    torch.ao.nn.quantized.FXFloatFunctional, which stands in for `FloatFunctional` in torch's graph mode.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> f = quantnn.FXFloatFunctional()
    >>> f.add(np.array([3.0], dtype=np.float32), np.array([4.0], dtype=np.float32))
    array([7.], dtype=float32)
    """

    def forward(self, x: Any) -> NoReturn:
        """Raise an error: call one of the operations."""
        raise RuntimeError("FloatFunctional is not intended to use the 'forward'. Please use the underlying operation")

    def _observed(self, result: np.ndarray) -> Any:
        return result

    def _op(self, name: str) -> str:
        return f"{type(self).__name__}.{name}"

    def add(self, x: np.ndarray, y: np.ndarray) -> Any:
        """``x + y`` of float32 arrays, with broadcasting."""
        return self._observed(_float_binary(self._op("add"), np.add, x, y))

    def add_scalar(self, x: np.ndarray, y: float) -> np.ndarray:
        """``x + y`` of a float32 array and a number."""
        return _float_scalar(self._op("add_scalar"), np.add, x, y)

    def mul(self, x: np.ndarray, y: np.ndarray) -> Any:
        """``x * y`` of float32 arrays, with broadcasting."""
        return self._observed(_float_binary(self._op("mul"), np.multiply, x, y))

    def mul_scalar(self, x: np.ndarray, y: float) -> np.ndarray:
        """``x * y`` of a float32 array and a number."""
        return _float_scalar(self._op("mul_scalar"), np.multiply, x, y)

    def cat(self, x: Sequence[np.ndarray], dim: int = 0) -> Any:
        """Concatenate float32 arrays along dimension `dim`."""
        op = self._op("cat")
        if not isinstance(x, (list, tuple)) or not x:
            raise TypeError(f"{op}: x must be a list or tuple of at least one array; got {_checks.kind(x)}")
        arrays = [_float(op, f"x[{i}]", a) for i, a in enumerate(x)]
        dim = _checks.integer(op, "dim", dim)
        n = arrays[0].ndim
        if not -n <= dim < n:
            raise IndexError(f"{op}: dim must be in [{-n}, {n - 1}] for {n}-dimensional arrays; got {dim}")
        try:
            joined = np.concatenate(arrays, dim)
        except ValueError as e:
            shapes = ", ".join(str(a.shape) for a in arrays)
            raise ValueError(f"{op}: x must have equal shapes except in dimension {dim}; got {shapes}") from e
        return self._observed(joined)

    def add_relu(self, x: np.ndarray, y: np.ndarray) -> Any:
        """``max(x + y, 0)`` of float32 arrays, with broadcasting."""
        return self._observed(np.maximum(_float_binary(self._op("add_relu"), np.add, x, y), np.float32(0)))

    def matmul(self, x: np.ndarray, y: np.ndarray) -> Any:
        """The product of float32 matrices, or of stacks of them."""
        return self._observed(_float_binary(self._op("matmul"), np.matmul, x, y))


class FloatFunctional(FXFloatFunctional):
    """Operations on float arrays whose results an observer sees.

    Notes
    -----
    torch.ao.nn.quantized.FloatFunctional. `QFunctional.from_float` makes its quantized counterpart. Every
    result but those of `add_scalar` and `mul_scalar` goes through the child module
    `activation_post_process`, where the observer is put.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> f = quantnn.FloatFunctional()
    >>> f.add(np.array([3.0], dtype=np.float32), np.array([4.0], dtype=np.float32))
    array([7.], dtype=float32)
    """

    def __init__(self) -> None:
        super().__init__()
        self.activation_post_process = Identity()

    def _observed(self, result: np.ndarray) -> Any:
        return self.activation_post_process(result)


class QFunctional(OutputModule):
    """Operations on QTensors, with one scale and zero point for their results.

    Attributes
    ----------
    scale : float
        Of the results of `add`, `mul`, `cat`, `add_relu` and `matmul`; 1.0 at first.
    zero_point : int
        Likewise; 0 at first.

    Notes
    -----
    torch.ao.nn.quantized.QFunctional. Results but those of `add_scalar`, `mul_scalar` and `matmul` go through the
    child module `activation_post_process`, an Identity.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> q = quantnn.QFunctional()
    >>> q
    QFunctional(
      scale=1.0, zero_point=0
      (activation_post_process): Identity()
    )
    >>> a = quantnn.make_per_tensor_quantized_tensor(np.array([3, 4], np.uint8), 1.0, 0)
    >>> q.add(a, a).int_repr()
    array([6, 8], dtype=uint8)
    """

    def __init__(self) -> None:
        super().__init__()
        self.scale = 1.0
        self.zero_point = 0
        self.activation_post_process = Identity()

    def forward(self, x: Any) -> NoReturn:
        """Raise an error: call one of the operations."""
        raise RuntimeError("Functional is not intended to use the 'forward'. Please use the underlying operation")

    def _observed(self, result: QTensor) -> Any:
        process: Any = self._modules["activation_post_process"]  # quicker than the attribute
        return process(result)

    def add(self, x: QTensor, y: QTensor) -> Any:
        """``x + y``, as `quantnn.ops.add`."""
        return self._observed(_binary.combined("add", x, y, self.scale, self.zero_point))

    def add_scalar(self, x: QTensor, y: float) -> QTensor:
        """``x + y`` of a QTensor and a number, as `quantnn.ops.add_scalar`; it chooses its own scale."""
        return _binary.add_scalar(x, y)

    def mul(self, x: QTensor, y: QTensor) -> Any:
        """``x * y``, as `quantnn.ops.mul`."""
        return self._observed(_binary.combined("mul", x, y, self.scale, self.zero_point))

    def mul_scalar(self, x: QTensor, y: float) -> QTensor:
        """``x * y`` of a QTensor and a number, as `quantnn.ops.mul_scalar`; it chooses its own scale."""
        return _binary.mul_scalar(x, y)

    def cat(self, x: Sequence[QTensor], dim: int = 0) -> Any:
        """Concatenate QTensors along dimension `dim`, as `quantnn.ops.cat`."""
        return self._observed(_binary.run_cat("cat", x, dim, self.scale, self.zero_point))

    def add_relu(self, x: QTensor, y: QTensor) -> Any:
        """``max(x + y, 0)``, as `quantnn.ops.add_relu`."""
        return self._observed(_binary.combined("add_relu", x, y, self.scale, self.zero_point))

    def matmul(self, x: QTensor, y: QTensor) -> QTensor:
        """The product of matrices, or of stacks of them, as `quantnn.ops.matmul`."""
        return matmul(x, y, self.scale, self.zero_point)

    def extra_repr(self) -> str:
        return f"scale={self.scale}, zero_point={self.zero_point}"

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> QFunctional:
        """Make the module from an observed ``FloatFunctional``.

        Parameters
        ----------
        mod : module
            torch's or quantnn's, with an observer as `activation_post_process`.
        use_precomputed_fake_quant : bool
            Accepted as in torch.

        Returns
        -------
        QFunctional
        """
        check_float_module("QFunctional.from_float", mod, "FloatFunctional")
        made = cls()
        made.scale, made.zero_point = post_process_qparams(mod, "QFunctional.from_float")
        return made


def _float(op: str, name: str, x: Any) -> np.ndarray:
    """`x` if it is a float32 array or scalar."""
    if isinstance(x, (np.ndarray, np.float32)) and x.dtype.type is np.float32:
        return np.asarray(x)
    fix = ". QFunctional takes QTensors" if isinstance(x, QTensor) else ""
    raise TypeError(f"{op}: {name} must be a float32 array; got {_checks.kind(x)}{fix}")


def _float_binary(op: str, function: Callable[..., Any], x: Any, y: Any) -> np.ndarray:
    x, y = _float(op, "x", x), _float(op, "y", y)
    try:
        with np.errstate(all="ignore"):
            return np.asarray(function(x, y))
    except ValueError as e:
        raise ValueError(f"{op}: x and y must have shapes that broadcast; got {x.shape} and {y.shape}") from e


def _float_scalar(op: str, function: Callable[..., Any], x: Any, y: Any) -> np.ndarray:
    x, y = _float(op, "x", x), _checks.number(op, "y", y)
    with np.errstate(all="ignore"):
        return np.asarray(function(x, np.float32(y)))

"""Pooling modules, with the names and arguments of torch.nn's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from ..ops import _pool
from .module import Module


class _MaxPool(Module):
    """The state of max pooling, for any number of dimensions."""

    _pool: ClassVar[Callable[..., Any]]

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def forward(self, input: Any) -> Any:
        """Pool a QTensor or a float32 array."""
        d = self.__dict__  # quicker than attributes
        return self._pool(
            input, d["kernel_size"], d["stride"], d["padding"], d["dilation"], d["ceil_mode"], d["return_indices"]
        )

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPool):
    """Take the maximum of each window of a sequence.

    Parameters
    ----------
    kernel_size, stride, padding, dilation : int or tuple of 1 int
        As for `MaxPool2d`.
    return_indices, ceil_mode : bool
        As for `MaxPool2d`.

    Notes
    -----
    torch's ``torch.nn.MaxPool1d``. Calling it is `quantnn.functional.max_pool1d`, which tells shapes and errors.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> x = quantnn.make_per_tensor_quantized_tensor(np.array([[1, 5, 3, 2, 4]], np.uint8), 0.5, 0)
    >>> quantnn.MaxPool1d(3, 2, 1)(x).int_repr()
    array([[5, 5, 4]], dtype=uint8)
    """

    _pool = staticmethod(_pool.max_pool1d)


class MaxPool2d(_MaxPool):
    """Take the maximum of each window of an image.

    Parameters
    ----------
    kernel_size : int or tuple of 2 ints
        Height and width of the window.
    stride : int or tuple of 2 ints, optional
        Steps of the window; `kernel_size` if None.
    padding : int or tuple of 2 ints
        Rows and columns added at every edge, at most half of `kernel_size`.
    dilation : int or tuple of 2 ints
        Steps between the elements of a window.
    return_indices : bool
        Must be false when the module is called.
    ceil_mode : bool
        Whether a last window that reaches past the edge counts.

    Attributes
    ----------
    kernel_size, stride, padding, dilation, return_indices, ceil_mode
        The arguments.

    Notes
    -----
    torch's ``torch.nn.MaxPool2d``. Calling it is `quantnn.functional.max_pool2d`, which tells shapes and errors;
    float32 arrays are accepted too.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> pool = quantnn.MaxPool2d(2)
    >>> pool
    MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)
    >>> x = quantnn.make_per_tensor_quantized_tensor(np.arange(16, dtype=np.uint8).reshape(1, 1, 4, 4), 0.5, 0)
    >>> pool(x).int_repr()
    array([[[[ 5,  7],
             [13, 15]]]], dtype=uint8)
    """

    _pool = staticmethod(_pool.max_pool2d)


class MaxPool3d(_MaxPool):
    """Take the maximum of each window of a volume.

    Parameters
    ----------
    kernel_size, stride, padding, dilation : int or tuple of 3 ints
        As for `MaxPool2d`.
    return_indices, ceil_mode : bool
        As for `MaxPool2d`.

    Notes
    -----
    torch's ``torch.nn.MaxPool3d``. Calling it is `quantnn.ops.max_pool3d`, which tells shapes and errors.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> x = quantnn.make_per_tensor_quantized_tensor(np.arange(8, dtype=np.uint8).reshape(1, 1, 2, 2, 2), 0.5, 0)
    >>> quantnn.MaxPool3d((1, 2, 2))(x).int_repr().ravel()
    array([3, 7], dtype=uint8)
    """

    _pool = staticmethod(_pool.max_pool3d)


class _AvgPool(Module):
    """The state of average pooling, for any number of dimensions."""

    _pool: ClassVar[Callable[..., Any]]

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def forward(self, input: Any) -> Any:
        """Pool a QTensor."""
        d = self.__dict__  # quicker than attributes
        return self._pool(
            input,
            d["kernel_size"],
            d["stride"],
            d["padding"],
            d["ceil_mode"],
            d["count_include_pad"],
            d["divisor_override"],
        )

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool2d(_AvgPool):
    """Take the average of each window of an image.

    Parameters
    ----------
    kernel_size : int or tuple of 2 ints
        Height and width of the window.
    stride : int or tuple of 2 ints, optional
        Steps of the window; `kernel_size` if None.
    padding : int or tuple of 2 ints
        Rows and columns of zeros added at every edge, at most half of `kernel_size`.
    ceil_mode : bool
        Whether a last window that reaches past the edge counts.
    count_include_pad : bool
        Whether the padding counts as elements of the window.
    divisor_override : int, optional
        What to divide a window's sum by, in place of the number of its elements.

    Attributes
    ----------
    kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
        The arguments.

    Notes
    -----
    torch's ``torch.nn.AvgPool2d``. Calling it is `quantnn.functional.avg_pool2d`, which tells shapes and errors.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> pool = quantnn.AvgPool2d(2)
    >>> pool
    AvgPool2d(kernel_size=2, stride=2, padding=0)
    >>> x = quantnn.make_per_tensor_quantized_tensor(np.arange(0, 32, 2, dtype=np.uint8).reshape(1, 1, 4, 4), 0.5, 0)
    >>> pool(x).int_repr()
    array([[[[ 5,  9],
             [21, 25]]]], dtype=uint8)
    """

    _pool = staticmethod(_pool.avg_pool2d)


class AvgPool3d(_AvgPool):
    """Take the average of each window of a volume.

    Parameters
    ----------
    kernel_size, stride, padding : int or tuple of 3 ints
        As for `AvgPool2d`.
    ceil_mode, count_include_pad : bool
        As for `AvgPool2d`.
    divisor_override : int, optional
        As for `AvgPool2d`.

    Notes
    -----
    torch's ``torch.nn.AvgPool3d``. Calling it is `quantnn.functional.avg_pool3d`, which tells shapes and errors.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> x = quantnn.make_per_tensor_quantized_tensor(np.arange(8, dtype=np.uint8).reshape(1, 1, 2, 2, 2), 0.5, 0)
    >>> quantnn.AvgPool3d((2, 1, 1))(x).int_repr().ravel()
    array([2, 3, 4, 5], dtype=uint8)
    """

    _pool = staticmethod(_pool.avg_pool3d)


class _AdaptiveAvgPool(Module):
    """The state of adaptive average pooling, for any number of dimensions."""

    _pool: ClassVar[Callable[..., Any]]

    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, input: Any) -> Any:
        """Pool a QTensor."""
        return self._pool(input, self.output_size)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """Take averages of windows such that the result has a given size.

    Parameters
    ----------
    output_size : int or tuple of 2 ints or None
        Height and width of the result; None in the tuple keeps that of the input.

    Attributes
    ----------
    output_size
        The argument.

    Notes
    -----
    torch's ``torch.nn.AdaptiveAvgPool2d``. Calling it is `quantnn.functional.adaptive_avg_pool2d`, which tells shapes
    and errors.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> pool = quantnn.AdaptiveAvgPool2d((1, 1))
    >>> pool
    AdaptiveAvgPool2d(output_size=(1, 1))
    >>> x = quantnn.make_per_tensor_quantized_tensor(np.array([[[[10, 20], [30, 40]]]], dtype=np.uint8), 0.5, 0)
    >>> pool(x).int_repr()
    array([[[[25]]]], dtype=uint8)
    """

    _pool = staticmethod(_pool.adaptive_avg_pool2d)


class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    """Take averages of windows such that the result has a given size.

    Parameters
    ----------
    output_size : int or tuple of 3 ints or None
        Depth, height and width of the result; None in the tuple keeps that of the input.

    Notes
    -----
    torch's ``torch.nn.AdaptiveAvgPool3d``. Calling it is `quantnn.functional.adaptive_avg_pool3d`, which tells shapes
    and errors.

    Examples
    --------
    >>> import numpy as np
    >>> import quantnn
    >>> x = quantnn.make_per_tensor_quantized_tensor(np.arange(8, dtype=np.uint8).reshape(1, 1, 2, 2, 2), 0.5, 0)
    >>> quantnn.AdaptiveAvgPool3d((1, None, 1))(x).int_repr().ravel()
    array([2, 4], dtype=uint8)
    """

    _pool = staticmethod(_pool.adaptive_avg_pool3d)

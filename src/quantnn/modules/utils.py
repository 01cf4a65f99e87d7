"""Reading torch's objects, and quantizing weights with an observer, without importing torch.

torch's tensors, dtypes and modules are read by their attributes only: whoever passes one has torch already.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from .. import _checks
from .. import tensor as _tensor
from .._checks import kind
from ..tensor import DType, QScheme, QTensor

DTYPES: dict[str, DType] = {
    dtype.name: dtype for dtype in (_tensor.quint8, _tensor.qint8, _tensor.qint32, _tensor.quint4x2, _tensor.quint2x4)
}
QSCHEMES: dict[str, QScheme] = {
    scheme.name: scheme
    for scheme in (
        _tensor.per_tensor_affine,
        _tensor.per_channel_affine,
        _tensor.per_tensor_symmetric,
        _tensor.per_channel_symmetric,
        _tensor.per_channel_affine_float_qparams,
    )
}


# torch's objects


def type_name(x: Any) -> str:
    """The full name of the type of `x`, for error messages."""
    cls = x if isinstance(x, type) else type(x)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def size_repr(shape: tuple[int, ...]) -> str:
    """A shape as torch prints it."""
    return f"torch.Size({[int(n) for n in shape]})"


def is_tensor(x: Any) -> bool:
    """Whether `x` is a torch tensor or parameter."""
    return not isinstance(x, (np.ndarray, QTensor, type)) and hasattr(x, "detach") and hasattr(x, "is_quantized")


def as_dtype(x: Any) -> DType | None:
    """The quantized dtype that `x` is: a DType, or torch's object of the same name; None for all else."""
    if isinstance(x, DType):
        return x
    return DTYPES.get(_torch_name(x))


def is_float16(x: Any) -> bool:
    """Whether `x` is NumPy's or torch's float16."""
    return x is np.float16 or (isinstance(x, np.dtype) and x == np.float16) or _torch_name(x) == "float16"


def as_qscheme(x: Any) -> QScheme | None:
    """The scheme that `x` is: a QScheme, or torch's object of the same name. None for anything else."""
    if isinstance(x, QScheme):
        return x
    return QSCHEMES.get(_torch_name(x))


def _torch_name(x: Any) -> str:
    """The name of torch's object `x`, empty if it is none."""
    if isinstance(x, (int, np.ndarray, QTensor)):  # whose repr takes time, or fails
        return ""
    name = repr(x)
    return name.removeprefix("torch.") if name.startswith("torch.") else ""


def to_numpy(x: Any) -> np.ndarray:
    """The array of a torch tensor, parameter, NumPy array or Python number; a QTensor is dequantized.

    Parameters
    ----------
    x : array_like
        What to read. Quantized torch tensors are dequantized too.

    Returns
    -------
    numpy.ndarray
        It shares memory with `x` where that is possible, also in channels-last order.
    """
    if isinstance(x, np.ndarray):
        return x
    if isinstance(x, QTensor):
        return x.dequantize()
    if is_tensor(x):
        try:
            x = x.detach().cpu()
            if x.is_quantized:
                x = x.dequantize()
            try:
                return np.asarray(x.numpy())
            except TypeError:  # bfloat16 and the like, which NumPy doesn't have
                return np.asarray(x.float().numpy())
        except (TypeError, RuntimeError) as e:  # sparse ones and those without data
            raise TypeError(f"to_numpy: x must be a dense tensor with data; got {kind(x)}: {e}") from e
    return _checks.array("to_numpy", "x", x)


def from_torch_qtensor(t: Any) -> QTensor:
    """A copy of a quantized torch tensor, with its memory order; a QTensor is returned as it is.

    Parameters
    ----------
    t : torch.Tensor or QTensor
        A quantized tensor, per tensor or per channel.

    Returns
    -------
    QTensor
        The same integers, scales, zero points, axis and shape.

    Raises
    ------
    TypeError
        `t` is neither, or a tensor that is not quantized.
    """
    if isinstance(t, QTensor):
        return t
    if not (is_tensor(t) and t.is_quantized):
        raise TypeError(f"from_torch_qtensor: t must be a quantized torch.Tensor; got {kind(t)}")
    dtype = as_dtype(t.dtype)
    qscheme = as_qscheme(t.qscheme())
    if dtype is None or qscheme is None:
        raise TypeError(f"from_torch_qtensor: t must have a dtype of quantnn; got {t.dtype}, {t.qscheme()}")
    t = t.detach().cpu()
    ints = np.array(t.int_repr().numpy(), dtype=dtype.numpy, order="K", copy=True)
    shape = tuple(int(n) for n in t.shape) if dtype.bits < 8 else None
    if qscheme is _tensor.per_tensor_affine:
        return QTensor(ints, dtype, float(t.q_scale()), int(t.q_zero_point()), shape=shape)
    floats = qscheme is _tensor.per_channel_affine_float_qparams
    scales = np.array(t.q_per_channel_scales().numpy(), dtype=np.float32 if floats else np.float64)
    zero_points = np.array(t.q_per_channel_zero_points().numpy(), dtype=np.float32 if floats else np.int64)
    return QTensor(ints, dtype, scales, zero_points, qscheme, int(t.q_per_channel_axis()), shape)


def from_torch(x: Any) -> Any:
    """A value of a torch state dict as quantnn's; whatever isn't torch's is returned as it is.

    Tensors become copies, quantized ones QTensors and others arrays; quantized dtypes become DTypes; tuples
    and lists are converted element by element.
    """
    if isinstance(x, (np.ndarray, QTensor, DType)):
        return x
    if is_tensor(x):
        return from_torch_qtensor(x) if x.is_quantized else np.array(to_numpy(x), order="K", copy=True)
    if type(x) in (tuple, list):
        return type(x)(from_torch(v) for v in x)
    if type(x).__name__ == "dtype":
        return as_dtype(x) or x
    return x


# Observers


def post_process_qparams(mod: Any, op: str | None = None) -> tuple[float, int]:
    """The output scale and zero point that the observer of a float module found.

    Parameters
    ----------
    mod : module
        A module with an ``activation_post_process``: an observer or a FakeQuantize, torch's or quantnn's.
    op : str, optional
        What error messages start with.

    Returns
    -------
    scale : float
        A float32 value.
    zero_point : int

    Raises
    ------
    TypeError
        There is no observer, or one that has no qparams.
    ValueError
        The observer is per channel, or saw NaN.
    """
    op = op or "from_float"
    observer = getattr(mod, "activation_post_process", None)
    if observer is None:
        raise TypeError(
            f"{op}: mod must have an observer as activation_post_process; got a {type(mod).__name__} "
            "without one. Call prepare on the model and run it on sample inputs first"
        )
    scale, zero_point = observer_qparams(observer, op)
    if scale.size != 1 or zero_point.size != 1:
        raise ValueError(f"{op}: mod's observer must observe per tensor; got {scale.size} scales")
    value, zp = np.float32(scale.reshape(())), zero_point.reshape(())
    if not np.isfinite(value) or not np.isfinite(zp) or value <= 0 or zp != np.trunc(zp):
        raise ValueError(
            f"{op}: mod's observer must have a finite, positive scale and a whole zero point; got {value}, {zp}"
        )
    return float(value), int(zp)


def observer_qparams(observer: Any, op: str = "from_float") -> tuple[np.ndarray, np.ndarray]:
    """What the `calculate_qparams` of an observer or FakeQuantize returns, as arrays."""
    calculate = getattr(observer, "calculate_qparams", None)
    if calculate is None:
        raise TypeError(f"{op}: the observer must have calculate_qparams; got a {type(observer).__name__}")
    try:
        result = calculate()
    except Exception as e:  # torch's observers without qparams raise a bare Exception
        name = type(observer).__name__
        raise TypeError(f"{op}: the observer must have qparams; a {name} has none: {e}") from e
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        raise TypeError(f"{op}: the observer's calculate_qparams must return scale and zero point; got {kind(result)}")
    scale, zero_point = map(to_numpy, result)
    if scale.dtype.kind not in "iuf" or zero_point.dtype.kind not in "iuf":
        raise TypeError(f"{op}: the observer's qparams must be numbers; got {kind(scale)} and {kind(zero_point)}")
    return scale, zero_point


def weight_observer(
    mod: Any, op: str = "from_float", use_precomputed_fake_quant: bool = False, weight: Any = None
) -> Any:
    """The observer for the weight of a float module, after it saw it.

    Parameters
    ----------
    mod : module
        A module with a ``weight`` and either a ``weight_fake_quant`` (after quantization-aware training) or a
        ``qconfig``, whose ``weight()`` makes an observer.
    op : str
        What error messages start with.
    use_precomputed_fake_quant : bool
        Leave the observer as it is: it saw the weight before.
    weight : array_like, optional
        Another weight of the module than ``mod.weight``.

    Returns
    -------
    observer
        For `quantize_weight`.
    """
    observer = getattr(mod, "weight_fake_quant", None)
    if observer is None:
        qconfig = getattr(mod, "qconfig", None)
        if qconfig is None or not callable(getattr(qconfig, "weight", None)):
            raise TypeError(
                f"{op}: mod must have a qconfig with an observer for the weight; got a {type(mod).__name__} "
                f"with qconfig {qconfig}. Set mod.qconfig and call prepare first"
            )
        observer = qconfig.weight()
    if not use_precomputed_fake_quant:
        weight = getattr(mod, "weight", None) if weight is None else weight
        if weight is None:
            raise TypeError(f"{op}: mod must have a weight; got a {type(mod).__name__}")
        if not callable(observer):
            raise TypeError(f"{op}: mod's qconfig must make an observer for the weight; got {kind(observer)}")
        observer(weight)
    return observer


def observer_dtype(observer: Any) -> DType | None:
    """The quantized dtype of an observer; None if it has another one, such as torch.float16."""
    return as_dtype(getattr(observer, "dtype", None))


def quantize_weight(float_weight: Any, observer: Any, op: str = "from_float") -> QTensor:
    """Quantize a float weight with the parameters that its observer found.

    Parameters
    ----------
    float_weight : numpy.ndarray or torch.Tensor
        The weight, of any float dtype.
    observer : observer or FakeQuantize
        torch's or quantnn's, after it saw the weight. Its dtype, qscheme, ch_axis, quant_min and quant_max
        count.
    op : str
        What error messages start with.

    Returns
    -------
    QTensor
        Per tensor or per channel, as the observer's qscheme says, with integers within its range.

    Raises
    ------
    TypeError
        The observer has no quantized dtype, no known qscheme or no qparams.
    ValueError
        The scales are not positive and finite.
    """
    weight = to_numpy(float_weight)
    if weight.dtype.kind != "f":
        raise TypeError(f"{op}: the weight must be a float array; got {kind(weight)}")
    weight = np.asarray(weight, dtype=np.float32)
    dtype = observer_dtype(observer)
    qscheme = as_qscheme(getattr(observer, "qscheme", None))
    if dtype is None or qscheme is None:
        raise TypeError(
            f"{op}: the weight observer must have a quantized dtype and a qscheme; got a "
            f"{type(observer).__name__} with {getattr(observer, 'dtype', None)} and "
            f"{getattr(observer, 'qscheme', None)}"
        )
    scale, zero_point = observer_qparams(observer, op)
    if not np.isfinite(zero_point).all():
        raise ValueError(f"{op}: the weight observer must have finite zero points; got {zero_point}")
    q: QTensor
    if qscheme in (_tensor.per_tensor_affine, _tensor.per_tensor_symmetric):
        if scale.size != 1 or zero_point.size != 1:
            raise ValueError(f"{op}: the weight observer must have one scale; got {scale.size}")
        q = _tensor.quantize_per_tensor(weight, float(scale.reshape(())), int(zero_point.reshape(())), dtype)
    else:
        floats = qscheme is _tensor.per_channel_affine_float_qparams
        q = _tensor.quantize_per_channel(
            weight,
            scale.astype(np.float32 if floats else np.float64),
            zero_point.astype(np.float32 if floats else np.int64),
            _checks.integer(op, "the weight observer's ch_axis", getattr(observer, "ch_axis", None)),
            dtype,
        )
    return _clamped(q, observer)


def _clamped(q: QTensor, observer: Any) -> QTensor:
    """`q` with its integers within the observer's quant_min and quant_max."""
    # a FakeQuantize keeps the range in the observer inside it
    inner = getattr(observer, "activation_post_process", observer)
    dtype = q.dtype
    low, high = (getattr(inner, name, None) for name in ("quant_min", "quant_max"))
    low = dtype.qmin if low is None else int(low)
    high = dtype.qmax if high is None else int(high)
    if dtype.bits < 8 or (low <= dtype.qmin and high >= dtype.qmax):
        return q
    ints = np.clip(q._ints, max(low, dtype.qmin), min(high, dtype.qmax))
    return QTensor(ints, dtype, q._scale, q._zero_point, q._qscheme, q._axis, q._shape)


def check_float_module(op: str, mod: Any, *names: str) -> str:
    """The class name of a float module, which must be one of `names`.

    torch compares the type exactly, so a subclass is refused, here by name: a class of the user's with the
    same name passes.

    Raises
    ------
    TypeError
        It is another class.
    """
    name = type(mod).__name__
    if name not in names:
        got = name if is_module(mod) else kind(mod)
        raise TypeError(f"{op}: mod must be a {' or '.join(names)}; got {got}")
    return name


def first_layer(op: str, mod: Any) -> Any:
    """The layer of a float module that is fused with what follows; other modules as they are.

    Fused modules are sequences of modules; after quantization-aware training they are layers themselves.
    """
    if not hasattr(mod, "__getitem__") or hasattr(mod, "weight_fake_quant"):
        return mod
    try:
        return mod[0]
    except (TypeError, IndexError, KeyError) as e:
        raise TypeError(f"{op}: mod must hold a layer; got {kind(mod)}") from e


def check_attributes(op: str, mod: Any, *names: str) -> None:
    """Refuse a float module without the attributes that are read of it."""
    for name in names:
        if not hasattr(mod, name):
            raise TypeError(f"{op}: the module must have {name}; got a {type(mod).__name__} without it")


def check_reference_module(op: str, mod: Any) -> None:
    """Refuse what is no reference quantized module of torch.

    Raises
    ------
    TypeError
        It has no ``get_quantized_weight``.
    """
    if not is_module(mod) or not hasattr(mod, "get_quantized_weight"):
        raise TypeError(f"{op}: the module must be a reference quantized one; got {kind(mod)}")
    check_attributes(op, mod, "bias")


def is_module(x: Any) -> bool:
    """Whether `x` looks like a module: torch's or quantnn's."""
    return hasattr(x, "named_children") and hasattr(x, "forward")


def format_float(value: float) -> str:
    """A float as torch prints the only element of a float tensor."""
    if not np.isfinite(value):
        return str(float(value))
    size = abs(value)
    if size and (size > 1e8 or size < 1e-4):
        return f"{value:.4e}"
    return f"{value:.0f}." if value == np.trunc(value) else f"{value:.4f}"


# What modules with weights share


def load_weight(key: str, weight: Any, shape: tuple[int, ...], take: Callable[[], None], error_msgs: list[str]) -> None:
    """Let a module `take` a weight of a state dict, whose shape must be the module's; note why if it can't be."""
    if isinstance(weight, (QTensor, np.ndarray)) and weight.shape != shape:
        error_msgs.append(
            f"size mismatch for {key}: copying a param with shape {size_repr(weight.shape)} from checkpoint, "
            f"the shape in current model is {size_repr(shape)}."
        )
        return
    try:
        take()
    except (TypeError, ValueError) as e:
        error_msgs.append(f"{key}: {e}")


def qint8_weight(op: str, mod: Any, use_precomputed_fake_quant: bool) -> tuple[QTensor, Any]:
    """The weight of a float linear layer or convolution, quantized by its observer, and its bias or None.

    After quantization-aware training with a batch norm, that is folded into both.

    Raises
    ------
    TypeError
        There is no observer, or its dtype is not qint8.
    """
    source = fold_batch_norm(mod) if hasattr(mod, "weight_fake_quant") and hasattr(mod, "bn") else mod
    observer = weight_observer(source, op, use_precomputed_fake_quant)
    if observer_dtype(observer) is not _tensor.qint8:
        raise TypeError(f"{op}: the weight observer must have dtype qint8; got {observer.dtype}")
    return quantize_weight(source.weight, observer, op), from_torch(source.bias)


def fold_batch_norm(mod: Any) -> Any:
    """The weight and bias of a convolution or linear layer trained together with its ``bn``, as one layer's.

    The arithmetic is that of `mod`'s own tensors, so torch's results are equal to the bit.
    """
    bn = mod.bn
    weight, bias = mod.weight.detach(), mod.bias
    mean, variance = bn.running_mean, bn.running_var
    gamma = 1.0 if bn.weight is None else bn.weight.detach()
    beta = 0.0 if bn.bias is None else bn.bias.detach()
    rsqrt = (variance + bn.eps).rsqrt()
    factor = gamma * rsqrt
    shift = (0.0 if bias is None else bias.detach()) - mean
    return SimpleNamespace(
        weight=weight * factor.reshape((-1,) + (1,) * (weight.ndim - 1)),
        bias=shift * rsqrt * gamma + beta,
        weight_fake_quant=mod.weight_fake_quant,
    )

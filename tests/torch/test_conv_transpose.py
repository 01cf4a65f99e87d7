"""conv_transpose1d, 2d and 3d against torch, without torch's wrong corners.

torch's engine fbgemm takes weights per tensor only. Without padding and dilation it is wrong where
    the kernel is 2 by at most 6, in 2-D, both channel counts are multiples of eight and there is one group, or
    kernel and stride are 1 and there is an output padding, whose memory it leaves as it is.
Those shapes are compared with the exact reference. Its engine onednn is wrong for nearly all shapes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import quantnn
from quantnn.tensor import QTensor, per_channel_affine, qint8
from tests.reference.conv_transpose import conv_transpose as reference

from . import weights

KINDS = ("dense", "dense", "many channels", "one tap", "grouped", "depthwise", "multiplier")


def _geometry(rng: np.random.Generator, ndim: int) -> dict[str, Any]:
    kind = str(rng.choice(KINDS))
    kernel = [int(v) for v in rng.integers(1, 6 if ndim < 3 else 4, ndim)]
    stride = [int(v) for v in rng.integers(1, 5, ndim)]
    dilation = [int(v) for v in (rng.integers(1, 4, ndim) if rng.random() < 0.3 else np.ones(ndim))]
    groups = 1
    c, k = int(rng.integers(1, 40)), int(rng.integers(1, 60))
    if kind == "many channels":
        c = int(rng.integers(60, 140))
    elif kind == "one tap":
        kernel = list(stride)
        dilation = [1] * ndim
    elif kind == "grouped":
        groups = int(rng.choice([2, 3, 4]))
        c, k = groups * int(rng.integers(2, 12)), groups * int(rng.integers(1, 20))
    elif kind == "depthwise":
        groups = c = k = int(rng.integers(2, 80))
    elif kind == "multiplier":
        groups = c = int(rng.integers(2, 20))
        k = c * int(rng.integers(2, 4))
    size = [int(v) for v in rng.integers(1, (40, 9, 5)[ndim - 1], ndim)]
    if rng.random() < 0.2:
        size[-1] += 30
    output_padding = [int(rng.integers(0, 2 * s)) if rng.random() < 0.5 else 0 for s in stride]
    room = [
        (i - 1) * s + d * (w - 1) + e
        for i, s, d, w, e in zip(size, stride, dilation, kernel, output_padding, strict=True)
    ]
    padding = [int(rng.integers(0, min(r // 2, 2 * w) + 1)) for r, w in zip(room, kernel, strict=True)]
    if rng.random() < 0.3:
        padding = [0] * ndim
    return {
        "shape": (int(rng.integers(1, 3)), c, *size),
        "weight": (c, k // groups, *kernel),
        "lists": (stride, padding, output_padding, dilation, groups),
    }


def _is_wrong(g: dict[str, Any]) -> bool:
    c, k, *kernel = g["weight"]
    stride, padding, output_padding, dilation, groups = g["lists"]
    direct = groups == 1 and len(kernel) == 2 and c % 8 == k % 8 == 0 and kernel[0] == 2 and kernel[1] <= 6
    pointwise = all(v == 1 for v in kernel + stride) and any(output_padding)
    return (direct or pointwise) and not any(padding) and all(d == 1 for d in dilation)


def _weight(rng: np.random.Generator, torch: Any, shape: tuple[int, ...]) -> weights.Pair:
    """A qint8 weight per tensor, sometimes with a zero point other than 0."""
    ints = rng.integers(-128, 128, shape).astype(np.int8)
    if rng.random() < 0.2:
        ints = rng.choice(np.array([-128, 127], np.int8), shape)
    scale, zero_point = weights.random_scale(rng), int(rng.integers(-128, 128)) if rng.random() < 0.3 else 0
    theirs = torch._make_per_tensor_quantized_tensor(torch.from_numpy(ints), scale, zero_point)
    return weights.Pair(theirs, QTensor(ints, qint8, scale, zero_point))


def _output(rng: np.random.Generator, torch: Any, x: QTensor, w: QTensor, groups: int) -> tuple[Any, float, int]:
    """A bias (or None) and output parameters, from a weight that looks like a convolution's."""
    flat = np.moveaxis(w._ints, 1, 0).reshape(w.shape[1], -1)
    return weights.output(rng, x, QTensor(np.tile(flat, (groups, 1)), qint8, w._scale, w._zero_point), torch)


def _reference(x: QTensor, w: QTensor, bias: Any, per_channel: bool, g: dict[str, Any], scale: Any, zero: int) -> Any:
    return reference(
        x._ints, x._scale, x._zero_point, w._ints, w._scale, w._zero_point, bias, per_channel, *g["lists"], scale, zero
    )


def _compared(want: np.ndarray, ours: QTensor) -> tuple[int, int]:
    got = ours.int_repr()
    return want.size, int((want != got).sum()) if want.shape == got.shape else want.size


def _case(rng: np.random.Generator, torch: Any, quantnn: Any, ndim: int, form: str) -> tuple[int, int]:
    g = _geometry(rng, ndim)
    c, k, *kernel = g["weight"]
    groups = g["lists"][-1]
    x = weights.activation(rng, torch, g["shape"])
    w = _weight(rng, torch, g["weight"])
    bias, scale, zero_point = _output(rng, torch, x.quantnn, w.quantnn, groups)
    name = f"conv_transpose{ndim}d"
    if form == "per channel":  # which torch has not
        scales = np.array([weights.random_scale(rng) for _ in range(k)])
        weight = QTensor(w.quantnn._ints, qint8, scales, np.full(k, w.quantnn._zero_point), per_channel_affine, 1)
        scale *= float(scales.mean() / w.quantnn._scale)
        packed = getattr(quantnn.ops, f"{name}_prepack")(weight, bias.quantnn, *g["lists"])
        ours = getattr(quantnn.ops, name)(x.quantnn, packed, scale, zero_point)
        return _compared(_reference(x.quantnn, weight, bias.quantnn, True, g, scale, zero_point), ours)
    if form == "op":
        packed = getattr(quantnn.ops, f"{name}_prepack")(w.quantnn, bias.quantnn, *g["lists"])
        ours = getattr(quantnn.ops, name)(x.quantnn, packed, scale, zero_point)
        if _is_wrong(g):
            return _compared(_reference(x.quantnn, w.quantnn, bias.quantnn, False, g, scale, zero_point), ours)
        packed = getattr(torch.ops.quantized, f"{name}_prepack")(w.torch, bias.torch, *g["lists"])
        return weights.compare(getattr(torch.ops.quantized, name)(x.torch, packed, scale, zero_point), ours)
    stride, padding, output_padding, dilation, _ = (tuple(v) if isinstance(v, list) else v for v in g["lists"])
    has_bias = bias.torch is not None
    arguments = (c, k * groups, tuple(kernel), stride, padding, output_padding, groups, has_bias, dilation)
    module = getattr(torch.ao.nn.quantized, f"ConvTranspose{ndim}d")(*arguments)
    module.set_weight_bias(w.torch, bias.torch)
    module.scale, module.zero_point = float(np.float32(scale)), zero_point
    mine = getattr(quantnn, f"ConvTranspose{ndim}d")(*arguments)
    mine.load_state_dict(module.state_dict())
    wrong = repr(mine) != repr(module)
    if _is_wrong(g):
        want = _reference(x.quantnn, mine.weight(), bias.quantnn, False, g, module.scale, zero_point)
        elements, mismatches = _compared(want, mine(x.quantnn))
    else:
        elements, mismatches = weights.compare(module(x.torch), mine(x.quantnn))
    return elements, mismatches + wrong


def _cases(ndim: int) -> dict[str, Any]:
    return {
        f"conv_transpose{ndim}d": lambda rng, torch, q: _case(rng, torch, q, ndim, "op"),
        f"conv_transpose{ndim}d_per_channel": lambda rng, torch, q: _case(rng, torch, q, ndim, "per channel"),
        f"ConvTranspose{ndim}d": lambda rng, torch, q: _case(rng, torch, q, ndim, "module"),
    }


CASES = _cases(1) | _cases(2) | _cases(3)


@pytest.mark.parametrize("name", CASES)
def test_equals_torch(name: str, level: str, torch: Any, rng: np.random.Generator, n_cases: int) -> None:
    weights.assert_no_mismatch(CASES[name], torch, rng, n_cases)


def _observed(torch: Any, mod: Any, weight: Any) -> Any:
    q = torch.ao.quantization
    mod.qconfig = q.QConfig(activation=q.HistogramObserver.with_args(reduce_range=True), weight=weight)
    mod.add_module("activation_post_process", mod.qconfig.activation())
    mod.activation_post_process(mod(torch.randn(2, mod.in_channels, *[7] * len(mod.kernel_size))))
    return mod


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_from_float(torch: Any, ndim: int, bias: bool) -> None:
    name = f"ConvTranspose{ndim}d"
    mod = getattr(torch.nn, name)(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2, dilation=2, bias=bias)
    mod = _observed(torch, mod, torch.ao.quantization.default_weight_observer)
    theirs = getattr(torch.ao.nn.quantized, name).from_float(mod)
    ours = getattr(quantnn, name).from_float(mod)
    assert repr(ours) == repr(theirs)
    np.testing.assert_array_equal(ours.weight().int_repr(), theirs.weight().int_repr().numpy())
    assert list(ours.weight().int_repr().strides) == list(theirs.weight().stride())
    if bias:
        np.testing.assert_array_equal(ours.bias(), theirs.bias().detach().numpy())
    assert dict(ours.state_dict()._metadata) == dict(theirs.state_dict()._metadata)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    del mod.activation_post_process
    assert repr(getattr(quantnn, name).from_float(mod)) == repr(getattr(torch.ao.nn.quantized, name).from_float(mod))


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_from_float_per_channel(torch: Any, ndim: int) -> None:
    q = torch.ao.quantization
    name = f"ConvTranspose{ndim}d"
    observer = q.PerChannelMinMaxObserver.with_args(dtype=torch.qint8, qscheme=torch.per_channel_symmetric, ch_axis=1)
    mod = _observed(torch, getattr(torch.nn, name)(4, 6, 3, stride=2, groups=2), observer)
    ours = getattr(quantnn, name).from_float(mod)
    observed = observer()
    observed(mod.weight)
    scales, zero_points = observed.calculate_qparams()
    want = torch.quantize_per_channel(mod.weight.detach(), scales, zero_points, 1, torch.qint8)
    np.testing.assert_array_equal(ours.weight().int_repr(), want.int_repr().numpy())
    np.testing.assert_array_equal(ours.weight().q_per_channel_scales(), scales.numpy())
    observer = observer.with_args(ch_axis=0)
    with pytest.raises(ValueError, match="along axis 1"):
        getattr(quantnn, name).from_float(_observed(torch, mod, observer))


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_from_reference(torch: Any, ndim: int) -> None:
    name = f"ConvTranspose{ndim}d"
    mod = getattr(torch.nn, name)(4, 6, 3, stride=2, output_padding=1)
    weight = {"qscheme": torch.per_tensor_affine, "dtype": torch.qint8, "scale": 0.01, "zero_point": 0}
    made = getattr(torch.ao.nn.quantized.reference, name).from_float(mod, weight)
    theirs = getattr(torch.ao.nn.quantized, name).from_reference(made, 0.25, 7)
    ours = getattr(quantnn, name).from_reference(made, 0.25, 7)
    assert repr(ours) == repr(theirs)
    x = weights.activation(np.random.default_rng(0), torch, (1, 4, *[5] * ndim))
    assert weights.compare(theirs(x.torch), ours(x.quantnn))[1] == 0


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_geometry(torch: Any, ndim: int, transposed: bool) -> None:
    """What packed convolutions say of themselves."""
    ints = np.ones((4, 2, *(3,) * ndim), np.int8)
    stride, padding, dilation = [2, 1, 2][:ndim], [1, 0, 1][:ndim], [1, 2, 1][:ndim]
    geometry = (stride, padding, *(([1, 0, 0][:ndim],) if transposed else ()), dilation, 2)
    name = f"conv{'_transpose' if transposed else ''}{ndim}d_prepack"
    ours = getattr(quantnn.ops, name)(quantnn.make_per_tensor_quantized_tensor(ints, 0.5, 0), None, *geometry)
    weight = torch._make_per_tensor_quantized_tensor(torch.from_numpy(ints), 0.5, 0)
    theirs = getattr(torch.ops.quantized, name)(weight, None, *geometry)
    shown = f"conv{'_transpose' if transposed else ''}{max(ndim, 2)}d_"
    for part in ("stride", "padding", "output_padding", "dilation", "groups", "transpose"):
        if hasattr(torch.ops.quantized, shown + part):
            assert getattr(quantnn.ops, shown + part)(ours) == getattr(torch.ops.quantized, shown + part)(theirs)
    if ndim < 3:
        assert quantnn.ops.conv2d_unpack_sizes(ours) == torch.ops.quantized.conv2d_unpack_sizes(theirs)

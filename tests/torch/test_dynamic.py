"""Dynamic linear layers and convolutions against torch, float for float."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import numpy as np
import pytest

import quantnn

from . import weights


def floats(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Floats of any size: of one sign, with many ties, all zero or so small that the scale is rescued."""
    x = (rng.standard_normal(shape) * 10.0 ** rng.uniform(-3, 3)).astype(np.float32)
    kind = rng.integers(8)
    if kind < 2:
        x = np.abs(x) * np.float32(kind * 2 - 1)
    elif kind == 2:
        x *= np.float32(1e-6)
    elif kind == 3:
        x[...] = 0
    elif kind == 4:
        x = (rng.integers(-255, 256, shape) / 2).astype(np.float32)
    return x


def compare(theirs: Any, ours: np.ndarray) -> tuple[int, int]:
    """Elements and mismatches; a wrong shape, dtype or memory order counts as a mismatch of all."""
    want = theirs.numpy()
    lies = tuple(s // 4 for n, s in zip(ours.shape, ours.strides, strict=True) if n != 1)
    if want.shape != ours.shape or want.dtype != ours.dtype:
        return max(want.size, 1), max(want.size, 1)
    if want.size and lies != tuple(s for n, s in zip(theirs.shape, theirs.stride(), strict=True) if n != 1):
        return want.size, want.size
    return want.size, int((want != ours).sum())


def _bias(rng: np.random.Generator, torch: Any, n: int, size: float) -> weights.Pair:
    if rng.random() < 0.3:
        return weights.Pair(None, None)
    bias = (rng.standard_normal(n) * size).astype(np.float32)
    return weights.Pair(torch.from_numpy(bias), bias)


def _linear(rng: np.random.Generator, torch: Any) -> tuple[np.ndarray, weights.Pair, weights.Pair]:
    k, n = int(rng.integers(1, 140)), int(rng.integers(1, 140))
    shape = tuple(int(v) for v in rng.integers(0 if rng.random() < 0.05 else 1, 9, rng.integers(1, 4)))
    x, w = floats(rng, (*shape, k)), weights.weight(rng, torch, (n, k))
    size = float(np.abs(x).max(initial=0)) * 50 * float(np.mean(w.quantnn._scale))
    return x, w, _bias(rng, torch, n, size)


def _case_linear(name: str, rng: np.random.Generator, torch: Any, quantnn: Any) -> tuple[int, int]:
    x, w, bias = _linear(rng, torch)
    reduce_range = bool(rng.integers(2))
    theirs = torch.ops.quantized.linear_prepack(w.torch, bias.torch)
    ours = quantnn.ops.linear_prepack(w.quantnn, bias.quantnn)
    want = getattr(torch.ops.quantized, name)(torch.from_numpy(x), theirs, reduce_range)
    return compare(want, getattr(quantnn.ops, name)(x, ours, reduce_range))


def case_linear_dynamic(rng: np.random.Generator, torch: Any, quantnn: Any) -> tuple[int, int]:
    return _case_linear("linear_dynamic", rng, torch, quantnn)


def case_linear_relu_dynamic(rng: np.random.Generator, torch: Any, quantnn: Any) -> tuple[int, int]:
    return _case_linear("linear_relu_dynamic", rng, torch, quantnn)


def case_given_qparams(rng: np.random.Generator, torch: Any, quantnn: Any) -> tuple[int, int]:
    """The two operators that take the activation's scale and zero point."""
    x, w, bias = _linear(rng, torch)
    relu = "relu_" if rng.random() < 0.5 else ""
    name = f"linear_with_input_q_dq_qweight_dq_{relu}output_fp32"
    scale, zero_point = weights.random_scale(rng), int(rng.integers(256))
    theirs = torch.ops.quantized.linear_prepack(w.torch, bias.torch)
    ours = quantnn.ops.linear_prepack(w.quantnn, bias.quantnn)
    want = getattr(torch.ops.quantized, name)(torch.from_numpy(x), scale, zero_point, theirs)
    return compare(want, getattr(quantnn.ops, name)(x, scale, zero_point, ours))


def _case_fp16(name: str, rng: np.random.Generator, torch: Any, quantnn: Any) -> tuple[int, int]:
    k, n = int(rng.integers(1, 1500) if rng.random() < 0.1 else rng.integers(1, 200)), int(rng.integers(1, 140))
    shape = tuple(int(v) for v in rng.integers(0 if rng.random() < 0.05 else 1, 5, rng.integers(1, 4)))
    x = rng.standard_normal((*shape, k)).astype(np.float32)
    w = (rng.standard_normal((n, k)) * 10.0 ** rng.uniform(-9, 5)).astype(np.float32)
    bias = _bias(rng, torch, n, 10)
    theirs = torch.ops.quantized.linear_prepack_fp16(torch.from_numpy(w.copy()), bias.torch)
    ours = quantnn.ops.linear_prepack_fp16(w, bias.quantnn)
    want = getattr(torch.ops.quantized, name)(torch.from_numpy(x), theirs)
    elements, mismatches = compare(want, getattr(quantnn.ops, name)(x, ours))
    unpacked = torch.ops.quantized.linear_unpack_fp16(theirs)[0].numpy()
    return elements, mismatches + int((unpacked != quantnn.ops.linear_unpack_fp16(ours)[0]).sum())


def case_linear_dynamic_fp16(rng: np.random.Generator, torch: Any, quantnn: Any) -> tuple[int, int]:
    return _case_fp16("linear_dynamic_fp16", rng, torch, quantnn)


def case_linear_relu_dynamic_fp16(rng: np.random.Generator, torch: Any, quantnn: Any) -> tuple[int, int]:
    return _case_fp16("linear_relu_dynamic_fp16", rng, torch, quantnn)


def case_module(rng: np.random.Generator, torch: Any, quantnn: Any) -> tuple[int, int]:
    """The module of either dtype, filled from torch's state dict, of this version or the one before."""
    half = rng.random() < 0.3
    x, w, bias = _linear(rng, torch)
    n, k = w.quantnn.shape
    theirs = torch.ao.nn.quantized.dynamic.Linear(k, n, dtype=torch.float16 if half else torch.qint8)
    theirs.set_weight_bias(w.torch.dequantize() if half else w.torch, bias.torch)
    state = theirs.state_dict()
    if rng.random() < 0.3:
        state._metadata[""]["version"] = 3  # when activations had eight bits
        theirs.load_state_dict(copy.copy(state))
    ours = quantnn.dynamic.Linear(k, n, dtype=np.float16 if half else quantnn.qint8)
    ours.load_state_dict(state)
    elements, mismatches = compare(theirs(torch.from_numpy(x)), ours(x))
    return elements, mismatches + (repr(ours) != repr(theirs))


def _conv_case(transposed: bool, rng: np.random.Generator, torch: Any, quantnn: Any) -> tuple[int, int]:
    n = int(rng.integers(1, 4))
    name = f"conv{'_transpose' if transposed else ''}{n}d"
    groups = int(rng.choice([1, 1, 2]))
    c, k = (groups * int(v) for v in rng.integers(1, 6, 2))
    kernel = tuple(int(v) for v in rng.integers(1, 4, n))
    while transposed and n == 2 and kernel[0] == 2:  # where torch's transposed convolution is wrong
        kernel = tuple(int(v) for v in rng.integers(1, 4, n))
    stride, padding = ([int(v) for v in rng.integers(low, 3, n)] for low in (1, 0))
    padding = [min(p, (f - 1) // 2) for p, f in zip(padding, kernel, strict=True)]
    size = tuple(f + int(v) for f, v in zip(kernel, rng.integers(0, 5, n), strict=True))
    x = floats(rng, (int(rng.integers(1, 3)), c, *size))
    if rng.random() < 0.5:
        x = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
    if transposed:
        ints, scale = rng.integers(-128, 128, (c, k // groups, *kernel)).astype(np.int8), weights.random_scale(rng)
        w = weights.Pair(
            torch._make_per_tensor_quantized_tensor(torch.from_numpy(ints), scale, 0),
            quantnn.make_per_tensor_quantized_tensor(ints, scale, 0),
        )
        geometry = (stride, padding, [0] * n, [1] * n, groups)
    else:
        w = weights.weight(rng, torch, (k, c // groups, *kernel))
        geometry = (stride, padding, [1] * n, groups)
    bias = _bias(rng, torch, k, float(np.abs(x).max()))
    reduce_range = bool(rng.integers(2))
    theirs = getattr(torch.ops.quantized, f"{name}_prepack")(w.torch, bias.torch, *geometry)
    ours = getattr(quantnn.ops, f"{name}_prepack")(w.quantnn, bias.quantnn, *geometry)
    want = getattr(torch.ops.quantized, f"{name}_dynamic")(torch.from_numpy(x), theirs, reduce_range)
    return compare(want, getattr(quantnn.ops, f"{name}_dynamic")(x, ours, reduce_range))


def case_conv_dynamic(rng: np.random.Generator, torch: Any, quantnn: Any) -> tuple[int, int]:
    return _conv_case(False, rng, torch, quantnn)


def case_conv_transpose_dynamic(rng: np.random.Generator, torch: Any, quantnn: Any) -> tuple[int, int]:
    return _conv_case(True, rng, torch, quantnn)


CASES = {
    "linear_dynamic": case_linear_dynamic,
    "linear_relu_dynamic": case_linear_relu_dynamic,
    "linear_with_input_q_dq_qweight_dq_output_fp32": case_given_qparams,
    "linear_dynamic_fp16": case_linear_dynamic_fp16,
    "linear_relu_dynamic_fp16": case_linear_relu_dynamic_fp16,
    "conv_dynamic": case_conv_dynamic,
    "conv_transpose_dynamic": case_conv_transpose_dynamic,
    "dynamic.Linear": case_module,
}


@pytest.mark.parametrize("name", CASES)
def test_equals_torch(name: str, level: str, torch: Any, rng: np.random.Generator, n_cases: int) -> None:
    if "fp16" in name and not torch.backends.cpu.get_cpu_capability().startswith("AVX512"):
        pytest.skip("torch sums in another order without AVX-512")
    weights.assert_no_mismatch(CASES[name], torch, rng, n_cases)


def test_choose_qparams(torch: Any, rng: np.random.Generator) -> None:
    from quantnn._dispatch import kernels

    for i in range(2000):
        x = (rng.standard_normal(int(rng.integers(1, 80))) * 10.0 ** rng.uniform(-9, 6)).astype(np.float32)
        x = (x, np.abs(x), -np.abs(x), x * 0, x * np.float32(1e-6))[i % 5]
        for reduce_range in (False, True):
            want = torch._choose_qparams_per_tensor(torch.from_numpy(x), reduce_range)
            assert kernels.dynamic.qparams(x, reduce_range) == want


@pytest.mark.parametrize(
    "qconfig", ["default_dynamic_qconfig", "per_channel_dynamic_qconfig", "float16_dynamic_qconfig"]
)
def test_from_float(torch: Any, rng: np.random.Generator, qconfig: str) -> None:
    x = rng.standard_normal((6, 13)).astype(np.float32)
    for mod in (torch.nn.Linear(13, 40), torch.ao.nn.intrinsic.LinearReLU(torch.nn.Linear(13, 40), torch.nn.ReLU())):
        mod.qconfig = getattr(torch.ao.quantization, qconfig)
        if len(list(mod.children())):
            mod[0].qconfig = mod.qconfig
            theirs = torch.ao.nn.intrinsic.quantized.dynamic.LinearReLU.from_float(mod)
            ours = quantnn.intrinsic.dynamic.LinearReLU.from_float(mod)
        else:
            theirs = torch.ao.nn.quantized.dynamic.Linear.from_float(mod)
            ours = quantnn.dynamic.Linear.from_float(mod)
        assert repr(ours) == repr(theirs)
        np.testing.assert_array_equal(ours(x), theirs(torch.from_numpy(x)).detach().numpy())
        state = theirs.state_dict()
        assert list(ours.state_dict()) == list(state)
        assert dict(ours.state_dict()._metadata) == dict(state._metadata)


def test_from_reference(torch: Any, rng: np.random.Generator) -> None:
    x = rng.standard_normal((6, 13)).astype(np.float32)
    mod = torch.nn.Linear(13, 7)
    observer = torch.ao.quantization.default_weight_observer()
    observer(mod.weight)
    scale, zero_point = observer.calculate_qparams()
    given = {"qscheme": torch.per_tensor_affine, "dtype": torch.qint8, "scale": scale, "zero_point": zero_point}
    reference = torch.ao.nn.quantized.reference.Linear.from_float(mod, given)
    theirs = torch.ao.nn.quantized.dynamic.Linear.from_reference(reference)
    ours = quantnn.dynamic.Linear.from_reference(reference)
    np.testing.assert_array_equal(ours(x), theirs(torch.from_numpy(x)).detach().numpy())


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_convolution_modules(torch: Any, rng: np.random.Generator, n: int, transposed: bool) -> None:
    name = f"Conv{'Transpose' if transposed else ''}{n}d"
    for padding_mode in ("zeros",) if transposed or n == 3 else ("zeros", "reflect"):
        mod = getattr(torch.nn, name)(4, 6, 3, stride=2, padding=1, groups=2, padding_mode=padding_mode)
        mod.qconfig = torch.ao.quantization.default_dynamic_qconfig
        x = rng.standard_normal((2, 4, *(7,) * n)).astype(np.float32) * 9
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = getattr(torch.ao.nn.quantized.dynamic, name).from_float(mod)
            ours = getattr(quantnn.dynamic, name).from_float(mod)
        assert repr(ours) == repr(theirs)
        for reduce_range in (True, False):
            want = theirs(torch.from_numpy(x), reduce_range).detach().numpy()
            np.testing.assert_array_equal(ours(x, reduce_range), want)
        assert list(ours.state_dict()) == list(theirs.state_dict())
        with pytest.warns(UserWarning, match="accuracy"):
            again = getattr(quantnn.dynamic, name)(4, 6, 3, stride=2, padding=1, groups=2, padding_mode=padding_mode)
        again.load_state_dict(theirs.state_dict())
        np.testing.assert_array_equal(again(x), ours(x))

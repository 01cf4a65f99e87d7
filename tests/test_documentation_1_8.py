"""Every name, signature and example of the documentation page of torch.nn.quantized in PyTorch 1.8.

An example is a function of the libraries it runs on, so that its text is the page's: `nnq` is quantnn or
torch.ao.nn.quantized, `qF` their functional, `torch` is either, and float tensors come from outside.
Where torch is installed each example runs on both and must give the same integers.

Examples with weights return the modules they make and their input: in torch a new module's weight is whatever
lay in memory, so the same random weight is given to both before integers are compared.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import quantnn
from quantnn import functional

# ---- signatures: parameters of 1.8 in their order, with their defaults

CONV = "in_channels out_channels kernel_size stride=1 padding=0 dilation=1 groups=1 bias=True padding_mode='zeros'"
BATCH_NORM = "num_features eps=1e-05 momentum=0.1"
INSTANCE_NORM = (
    "num_features weight bias scale zero_point eps=1e-05 momentum=0.1 affine=False track_running_stats=False"
)
MODULES = {
    "ReLU6": "inplace=False",
    "ELU": "scale zero_point alpha=1.0",
    "Hardswish": "scale zero_point",
    "Conv1d": CONV,
    "Conv2d": CONV,
    "Conv3d": CONV,
    "FloatFunctional": "",
    "QFunctional": "",
    "Quantize": "scale zero_point dtype",
    "DeQuantize": "",
    "Linear": "in_features out_features bias_=True dtype=torch.qint8",
    "BatchNorm2d": BATCH_NORM,
    "BatchNorm3d": BATCH_NORM,
    "LayerNorm": "normalized_shape weight bias scale zero_point eps=1e-05 elementwise_affine=True",
    "GroupNorm": "num_groups num_channels weight bias scale zero_point eps=1e-05 affine=True",
    "InstanceNorm1d": INSTANCE_NORM,
    "InstanceNorm2d": INSTANCE_NORM,
    "InstanceNorm3d": INSTANCE_NORM,
    "Embedding": "num_embeddings embedding_dim padding_idx=None max_norm=None norm_type=2.0 "
    "scale_grad_by_freq=False sparse=False _weight=None dtype=torch.quint8",
    "EmbeddingBag": "num_embeddings embedding_dim max_norm=None norm_type=2.0 scale_grad_by_freq=False "
    "mode='sum' sparse=False _weight=None include_last_offset=False dtype=torch.quint8",
}

CONV_FUNCTION = (
    "input weight bias stride=1 padding=0 dilation=1 groups=1 padding_mode='zeros' scale=1.0 zero_point=0 "
    "dtype=torch.quint8"
)
FUNCTIONS = {
    "linear": "input weight bias=None scale=None zero_point=None",
    "conv1d": CONV_FUNCTION,
    "conv2d": CONV_FUNCTION,
    "conv3d": CONV_FUNCTION,
    "max_pool2d": "input kernel_size stride=None padding=0 dilation=1 ceil_mode=False return_indices=False",
    "adaptive_avg_pool2d": "input output_size",
    "avg_pool2d": "input kernel_size stride=None padding=0 ceil_mode=False count_include_pad=True "
    "divisor_override=None",
    "interpolate": "input size=None scale_factor=None mode='nearest' align_corners=None",
    "hardswish": "input scale zero_point",
    "upsample": "input size=None scale_factor=None mode='nearest' align_corners=None",
    "upsample_bilinear": "input size=None scale_factor=None",
    "upsample_nearest": "input size=None scale_factor=None",
}

FUNCTIONAL_METHODS = {
    "add": "x y",
    "add_scalar": "x y",
    "mul": "x y",
    "mul_scalar": "x y",
    "cat": "x dim=0",
    "add_relu": "x y",
}


def check_signature(function: Callable[..., Any], documented: str) -> None:
    """The parameters of `function` begin with the documented ones; those behind have defaults."""
    wanted = documented.split()
    parameters = list(inspect.signature(function).parameters.values())
    found = [p.name if p.default is p.empty else f"{p.name}={p.default!r}" for p in parameters]
    assert found[: len(wanted)] == wanted
    for p in parameters[len(wanted) :]:
        assert p.default is not p.empty or p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD)


@pytest.mark.parametrize("name", MODULES)
def test_module_signature(name: str) -> None:
    module = getattr(quantnn, name)
    assert issubclass(module, quantnn.Module)
    check_signature(module, MODULES[name])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_signature(name: str) -> None:
    check_signature(getattr(functional, name), FUNCTIONS[name])


@pytest.mark.parametrize("name", FUNCTIONAL_METHODS)
@pytest.mark.parametrize("module", ["FloatFunctional", "QFunctional"])
def test_functional_module_method(module: str, name: str) -> None:
    check_signature(getattr(getattr(quantnn, module)(), name), FUNCTIONAL_METHODS[name])


@pytest.mark.parametrize("name", ["weight", "bias", "set_weight_bias", "from_float"])
@pytest.mark.parametrize("module", ["Conv1d", "Conv2d", "Conv3d", "Linear"])
def test_weight_accessors(module: str, name: str) -> None:
    documented = {"weight": "", "bias": "", "set_weight_bias": "w b", "from_float": "mod"}[name]
    m = getattr(quantnn, module)(4, 8) if module == "Linear" else getattr(quantnn, module)(4, 8, 3)
    check_signature(getattr(m, name), documented)


# ---- examples

randn = np.random.default_rng(1_8).standard_normal
array = np.array


def random(*shape: int) -> np.ndarray:
    """torch.randn, as a NumPy array."""
    return randn(shape, dtype=np.float32)


QUANTNN = SimpleNamespace(nnq=quantnn, qF=functional, torch=quantnn, tensor=lambda a: a, numpy=lambda t: t)


@pytest.fixture(scope="module")
def real() -> SimpleNamespace:
    """torch itself."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    nnq = pytest.importorskip("torch.ao.nn.quantized", reason="this torch has no quantized modules")
    if not torch.__version__.startswith("2.13."):
        pytest.skip(f"integers are those of torch 2.13; this is {torch.__version__}")
    torch.backends.quantized.engine = "fbgemm"
    torch.set_num_threads(1)
    return SimpleNamespace(nnq=nnq, qF=nnq.functional, torch=torch, tensor=torch.from_numpy, numpy=lambda t: t.numpy())


def relu6(nnq: Any, qF: Any, torch: Any, input: Any) -> Any:
    m = nnq.ReLU6()
    input = torch.quantize_per_tensor(input, 1.0, 0, dtype=torch.qint32)
    return m(input)


def quantize(nnq: Any, qF: Any, torch: Any, t: Any) -> Any:
    scale, zero_point, dtype = 1.0, 2, torch.qint8
    qm = nnq.Quantize(scale, zero_point, dtype)
    return qm(t)


def dequantize(nnq: Any, qF: Any, torch: Any, input: Any) -> Any:
    scale, zero_point, dtype = 1.0, 2, torch.qint8
    qm = nnq.Quantize(scale, zero_point, dtype)
    quantized_input = qm(input)
    dqm = nnq.DeQuantize()
    return dqm(quantized_input)


def float_functional(nnq: Any, qF: Any, torch: Any, a: Any, b: Any) -> Any:
    f_add = nnq.FloatFunctional()
    return f_add.add(a, b)


def qfunctional(nnq: Any, qF: Any, torch: Any, a: Any, b: Any) -> Any:
    q_add = nnq.QFunctional()
    a = torch.quantize_per_tensor(a, 1.0, 0, torch.qint32)
    b = torch.quantize_per_tensor(b, 1.0, 0, torch.qint32)
    return q_add.add(a, b)


def function_conv(name: str) -> Callable[..., Any]:
    def example(nnq: Any, qF: Any, torch: Any, filters: Any, inputs: Any, bias: Any) -> Any:
        scale, zero_point = 1.0, 0
        dtype_inputs = torch.quint8
        dtype_filters = torch.qint8

        q_filters = torch.quantize_per_tensor(filters, scale, zero_point, dtype_filters)
        q_inputs = torch.quantize_per_tensor(inputs, scale, zero_point, dtype_inputs)
        conv = getattr(qF, name)
        return conv(q_inputs, q_filters, bias, padding=1, scale=scale, zero_point=zero_point)

    return example


T = array([[1.0, -1.0], [1.0, -1.0]], np.float32)
THREE, FOUR = array(3.0, np.float32), array(4.0, np.float32)

# name: (example, its float inputs, shape of the result, dtype of the result)
STATELESS: dict[str, tuple[Callable[..., Any], tuple[np.ndarray, ...], tuple[int, ...], Any]] = {
    "ReLU6": (relu6, (random(2),), (2,), quantnn.qint32),
    "Quantize": (quantize, (T,), (2, 2), quantnn.qint8),
    "DeQuantize": (dequantize, (T,), (2, 2), np.float32),
    "FloatFunctional": (float_functional, (THREE, FOUR), (), np.float32),
    "QFunctional": (qfunctional, (THREE, FOUR), (), quantnn.qint32),
    "functional.conv1d": (
        function_conv("conv1d"),
        (random(33, 16, 3), random(20, 16, 50), random(33)),
        (20, 33, 50),
        quantnn.quint8,
    ),
    "functional.conv2d": (
        function_conv("conv2d"),
        (random(8, 4, 3, 3), random(1, 4, 5, 5), random(8)),
        (1, 8, 5, 5),
        quantnn.quint8,
    ),
    "functional.conv3d": (
        function_conv("conv3d"),
        (random(8, 4, 3, 3, 3), random(1, 4, 5, 5, 5), random(8)),
        (1, 8, 5, 5, 5),
        quantnn.quint8,
    ),
}


def run(example: Callable[..., Any], library: SimpleNamespace, *inputs: np.ndarray) -> Any:
    """Run an example on a library with its kind of float tensors."""
    return example(library.nnq, library.qF, library.torch, *map(library.tensor, inputs))


def assert_same(ours: Any, theirs: Any) -> None:
    """A result of quantnn equals torch's."""
    assert tuple(ours.shape) == tuple(theirs.shape)
    assert str(ours.dtype).removeprefix("torch.") == str(theirs.dtype).removeprefix("torch.")
    if isinstance(ours, quantnn.QTensor):
        assert (ours.q_scale(), ours.q_zero_point()) == (theirs.q_scale(), theirs.q_zero_point())
        np.testing.assert_array_equal(ours.int_repr(), theirs.int_repr().numpy())
    else:
        np.testing.assert_array_equal(ours, theirs.detach().numpy())


@pytest.mark.parametrize("name", STATELESS)
def test_example(name: str) -> None:
    example, inputs, shape, dtype = STATELESS[name]
    output = run(example, QUANTNN, *inputs)
    assert output.shape == shape
    assert output.dtype == dtype


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", STATELESS)
def test_example_equals_torch(real: SimpleNamespace, name: str) -> None:
    example, inputs, _, _ = STATELESS[name]
    assert_same(run(example, QUANTNN, *inputs), run(example, real, *inputs))


def test_results_that_the_page_shows() -> None:
    qt = run(quantize, QUANTNN, T)
    assert qt.int_repr().tolist() == [[3, 1], [3, 1]]
    assert (qt.dtype, qt.q_scale(), qt.q_zero_point()) == (quantnn.qint8, 1.0, 2)
    assert repr(qt).startswith("tensor([[ 1., -1.],\n        [ 1., -1.]], size=(2, 2), dtype=torch.qint8")
    assert repr(qt).endswith("scale=1.0, zero_point=2)")
    assert run(dequantize, QUANTNN, T).tolist() == T.tolist()
    assert run(float_functional, QUANTNN, THREE, FOUR) == 7
    assert run(qfunctional, QUANTNN, THREE, FOUR).dequantize() == 7


def conv1d(nnq: Any, torch: Any, input: Any) -> Any:
    m = nnq.Conv1d(16, 33, 3, stride=2)
    q_input = torch.quantize_per_tensor(input, scale=1.0, zero_point=0, dtype=torch.quint8)
    return [m], q_input


def conv2d(nnq: Any, torch: Any, input: Any) -> Any:
    # With square kernels and equal stride
    m1 = nnq.Conv2d(16, 33, 3, stride=2)
    # non-square kernels and unequal stride and with padding
    m2 = nnq.Conv2d(16, 33, (3, 5), stride=(2, 1), padding=(4, 2))
    # non-square kernels and unequal stride and with padding and dilation
    m3 = nnq.Conv2d(16, 33, (3, 5), stride=(2, 1), padding=(4, 2), dilation=(3, 1))
    q_input = torch.quantize_per_tensor(input, scale=1.0, zero_point=0, dtype=torch.quint8)
    return [m1, m2, m3], q_input


def conv3d(nnq: Any, torch: Any, input: Any) -> Any:
    # With square kernels and equal stride
    m1 = nnq.Conv3d(16, 33, 3, stride=2)
    # non-square kernels and unequal stride and with padding
    m2 = nnq.Conv3d(16, 33, (3, 5, 5), stride=(1, 2, 2), padding=(1, 2, 2))
    # non-square kernels and unequal stride and with padding and dilation
    m3 = nnq.Conv3d(16, 33, (3, 5, 5), stride=(1, 2, 2), padding=(1, 2, 2), dilation=(1, 2, 2))
    q_input = torch.quantize_per_tensor(input, scale=1.0, zero_point=0, dtype=torch.quint8)
    return [m1, m2, m3], q_input


def linear(nnq: Any, torch: Any, input: Any) -> Any:
    m = nnq.Linear(20, 30)
    input = torch.quantize_per_tensor(input, 1.0, 0, torch.quint8)
    return [m], input


# name: (example, shape of its input, shapes of the results of its modules)
WITH_WEIGHTS: dict[str, tuple[Callable[..., Any], tuple[int, ...], list[tuple[int, ...]]]] = {
    "Conv1d": (conv1d, (20, 16, 100), [(20, 33, 49)]),
    "Conv2d": (conv2d, (20, 16, 50, 100), [(20, 33, 24, 49), (20, 33, 28, 100), (20, 33, 26, 100)]),
    # the page has 20 images; test_conv3d_as_on_the_page runs them
    "Conv3d": (
        conv3d,
        (1, 16, 56, 56, 56),
        [(1, 33, 27, 27, 27), (1, 33, 56, 28, 28), (1, 33, 56, 26, 26)],
    ),
    "Linear": (linear, (128, 20), [(128, 30)]),
}


@pytest.mark.parametrize("name", WITH_WEIGHTS)
def test_example_with_weights(name: str) -> None:
    example, size, shapes = WITH_WEIGHTS[name]
    modules, q_input = example(quantnn, quantnn, random(*size))
    for m, shape in zip(modules, shapes, strict=True):
        output = m(q_input)
        assert output.size() == output.shape == shape
        assert (output.dtype, output.q_scale(), output.q_zero_point()) == (quantnn.quint8, 1.0, 0)


@pytest.mark.slow
def test_conv3d_as_on_the_page() -> None:
    modules, q_input = conv3d(quantnn, quantnn, random(20, 16, 56, 56, 56))
    assert modules[-1](q_input).shape == (20, 33, 56, 26, 26)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", WITH_WEIGHTS)
def test_example_with_weights_equals_torch(real: SimpleNamespace, name: str) -> None:
    example, size, _ = WITH_WEIGHTS[name]
    x = random(*size)
    ours, q_input = example(quantnn, quantnn, x)
    theirs, torch_input = example(real.nnq, real.torch, real.torch.from_numpy(x))
    assert_same(q_input, torch_input)
    for mine, torchs in zip(ours, theirs, strict=True):
        w, b = random(*mine.weight().shape), random(*mine.weight().shape[:1])
        mine.set_weight_bias(quantnn.quantize_per_tensor(w, 0.03, 0, quantnn.qint8), b)
        torch = real.torch
        torchs.set_weight_bias(
            torch.quantize_per_tensor(torch.from_numpy(w), 0.03, 0, torch.qint8), torch.from_numpy(b)
        )
        for m in (mine, torchs):
            m.scale, m.zero_point = 0.25, 100
        assert_same(mine(q_input), torchs(torch_input))


INDICES = [9, 6, 5, 7, 8, 8, 9, 2, 8]
BAG_INDICES = [9, 6, 5, 7, 8, 8, 9, 2, 8, 6, 6, 9, 1, 6, 8, 8, 3, 2, 3, 6, 3, 6, 5, 7, 0, 8, 4, 6, 5, 8, 2, 3]
BAG_OFFSETS = [0, 19, 20, 28, 28, 32]


def embedding(nnq: Any, tensor: Callable[[Any], Any]) -> Any:
    m = nnq.Embedding(num_embeddings=10, embedding_dim=12)
    indices = tensor(INDICES)
    return m, (indices,)


def embedding_bag(nnq: Any, tensor: Callable[[Any], Any]) -> Any:
    m = nnq.EmbeddingBag(num_embeddings=10, embedding_dim=12, include_last_offset=True, mode="sum")
    indices = tensor(BAG_INDICES)
    offsets = tensor(BAG_OFFSETS)
    return m, (indices, offsets)


@pytest.mark.parametrize(("example", "shape"), [(embedding, (9, 12)), (embedding_bag, (5, 12))])
def test_embedding_example(example: Callable[..., Any], shape: tuple[int, ...]) -> None:
    m, inputs = example(quantnn, np.array)
    output = m(*inputs)
    assert output.shape == shape
    assert output.dtype == np.float32


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("example", [embedding, embedding_bag])
def test_embedding_example_equals_torch(real: SimpleNamespace, example: Callable[..., Any]) -> None:
    torch = real.torch
    ours, our_inputs = example(quantnn, np.array)
    theirs, torch_inputs = example(real.nnq, torch.tensor)
    w = random(10, 12)
    scales = np.abs(w).max(1).astype(np.float64) / 100
    zeros = np.linspace(110, 140, 10)
    ours.set_weight(
        quantnn.quantize_per_channel(w, scales.astype(np.float32), zeros.astype(np.float32), 0, quantnn.quint8)
    )
    theirs.set_weight(
        torch.quantize_per_channel(
            torch.from_numpy(w),
            torch.from_numpy(scales.astype(np.float32)),
            torch.from_numpy(zeros.astype(np.float32)),
            0,
            torch.quint8,
        )
    )
    np.testing.assert_array_equal(ours(*our_inputs), theirs(*torch_inputs).numpy())

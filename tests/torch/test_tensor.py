"""QTensor's methods against those of torch's quantized tensors."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import quantnn
from quantnn import tensor as qt

from .test_quantize import draw_scale, draw_shape, draw_zero_point, same

DTYPES = ("quint8", "qint8", "qint32")


def draw_ints(rng: np.random.Generator, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    d = getattr(qt, dtype)
    lo, hi = (d.qmin, d.qmax) if rng.random() < 0.7 else (max(d.qmin, -2), min(d.qmax, 3))
    return np.asarray(rng.integers(lo, hi + 1, shape), d.numpy)


def pair(
    rng: np.random.Generator, torch: Any, shape: tuple[int, ...] | None = None, dtypes: Any = DTYPES
) -> tuple[qt.QTensor, Any]:
    """The same quantized tensor on both sides: contiguous, channels-last, permuted or a slice."""
    dtype = str(rng.choice(dtypes))
    ints = draw_ints(rng, dtype, draw_shape(rng) if shape is None else shape)
    s, z = draw_scale(rng), draw_zero_point(rng, dtype)
    a = qt.make_per_tensor_quantized_tensor(ints, s, z)
    b = torch._make_per_tensor_quantized_tensor(torch.from_numpy(ints), s, z)
    kind = rng.integers(0, 5)
    if kind == 0 and a.ndim in (4, 5):
        name = "channels_last" if a.ndim == 4 else "channels_last_3d"
        a = a.contiguous(memory_format=getattr(qt, name))
        b = b.contiguous(memory_format=getattr(torch, name))
    elif kind == 1:
        order = [int(i) for i in rng.permutation(a.ndim)]
        a, b = a.permute(order), b.permute(order)
    elif kind == 2 and a.ndim:
        index = tuple(slice(int(rng.integers(0, 3)), None, int(rng.integers(1, 3))) for _ in range(a.ndim))
        a, b = a[index], b[index]
    return a, b


def channel_pair(rng: np.random.Generator, torch: Any) -> tuple[qt.QTensor, Any]:
    dtype = str(rng.choice(DTYPES))
    shape = tuple(int(n) for n in rng.integers(2, 6, rng.integers(1, 5)))
    axis = int(rng.integers(len(shape)))
    s = np.array([draw_scale(rng) for _ in range(shape[axis])])
    z = np.array([draw_zero_point(rng, dtype) for _ in range(shape[axis])])
    ints = draw_ints(rng, dtype, shape)
    want = torch._make_per_channel_quantized_tensor(*map(torch.from_numpy, (ints, s, z)), axis)
    return qt.make_per_channel_quantized_tensor(ints, s, z, axis), want


def draw_factors(rng: np.random.Generator, n: int) -> tuple[int, ...]:
    """A random shape of n elements."""
    shape = []
    while n > 1:
        divisors = [d for d in range(2, n + 1) if n % d == 0]
        d = int(rng.choice(divisors))
        shape.append(d)
        n //= d
    return tuple(shape) or (1,)


def attempt(f: Callable[[], Any]) -> Any:
    """The result, or None where it is refused."""
    try:
        return f()
    except (ValueError, IndexError, TypeError, RuntimeError, NotImplementedError):
        return None


def both(got: Any, want: Any) -> int:
    """Mismatches; refused on one side only counts as one."""
    if got is None or want is None:
        return int((got is None) != (want is None))
    if isinstance(got, (tuple, list)):
        return sum(map(both, got, want)) + (len(got) != len(want))
    if isinstance(got, (bool, int, float)):
        return int(got != want)
    return same(got, want)


def views(rng: np.random.Generator, torch: Any, qn: Any) -> tuple[int, int]:
    a, b = pair(rng, torch)
    n = a.ndim
    d, e = (int(i) for i in rng.integers(-n - 1, n + 2, 2))
    shape = draw_factors(rng, a.numel()) if a.numel() else (0, 3)
    guess = tuple(-1 if i == 0 and rng.random() < 0.3 else k for i, k in enumerate(shape))
    lead = tuple(int(k) for k in rng.integers(0, 3, rng.integers(0, 2)))
    operations: list[Callable[[Any], Any]] = [
        lambda x: x.view(guess),
        lambda x: x.reshape(*guess),
        lambda x: x.flatten(d, e),
        lambda x: x.flatten(),
        lambda x: x.ravel(),
        lambda x: x.transpose(d, e),
        lambda x: x.movedim(d, e),
        lambda x: x.t(),
        lambda x: x.squeeze(),
        lambda x: x.squeeze(d),
        lambda x: x.unsqueeze(d),
        lambda x: x[:1].expand(*lead, 3, *x.shape[1:]),
        lambda x: x.unflatten(d, (2, -1)),
        lambda x: x.chunk(abs(e), d),
        lambda x: x.split(abs(e), d),
        lambda x: x.unbind(d),
        lambda x: x.select(d, e),
        lambda x: x.narrow(d, 0, abs(e)),
        lambda x: x.detach(),
        lambda x: list(x),
        lambda x: (len(x), x.dim(), x.numel(), x.size(d), x.element_size()),
        lambda x: x.is_contiguous(),
        lambda x: x.clone(),
        lambda x: x.contiguous(),
        lambda x: copy.copy(x),
    ]
    bad = 0
    for f in operations:
        bad += both(attempt(lambda f=f: f(a)), attempt(lambda f=f: f(b)))
    for name in ("contiguous_format", "channels_last", "channels_last_3d", "preserve_format"):
        mine, theirs = getattr(qt, name), getattr(torch, name)
        if 0 not in a.shape:
            bad += a.is_contiguous(memory_format=mine) != b.is_contiguous(memory_format=theirs)
        bad += both(
            attempt(lambda m=mine: a.clone(memory_format=m)), attempt(lambda m=theirs: b.clone(memory_format=m))
        )
        if name != "preserve_format":
            bad += both(
                attempt(lambda m=mine: a.contiguous(memory_format=m)),
                attempt(lambda m=theirs: b.contiguous(memory_format=m)),
            )
    if a.int_repr().flags.c_contiguous or a.is_contiguous(memory_format=qt.channels_last):
        bad += both(copy.deepcopy(a), copy.deepcopy(b)) + both(pickle.loads(pickle.dumps(a)), b)
    bad += same(a.dequantize(), b.dequantize())
    return a.numel(), bad


def draw_index(rng: np.random.Generator, shape: tuple[int, ...], arrays: bool) -> tuple[Any, ...]:
    items: list[Any] = []
    for n in shape[: rng.integers(0, len(shape) + 1)]:
        kind = rng.integers(0, 6)
        if kind == 0:
            items.append(int(rng.integers(-n, max(n, 1))))
        elif kind == 1:
            items.append(None)
            items.append(slice(None))
        elif kind == 2 and arrays and n:
            items.append(rng.integers(-n, n, (3,) if rng.random() < 0.7 else (1,)).tolist())
        elif kind == 3 and arrays:
            # as many as the index arrays have elements, or one
            mask = np.zeros(n, bool)
            mask[: 3 if n >= 3 else 1] = True
            items.append(rng.permutation(mask))
        else:
            bounds = rng.integers(-n - 1, n + 2, 2)
            items.append(slice(int(bounds[0]), int(bounds[1]) if kind == 4 else None, int(rng.integers(1, 3))))
    if rng.random() < 0.3:
        at = int(rng.integers(0, len(items) + 1))
        if at == len(items):
            items.append(Ellipsis)
    return tuple(items)


def to_torch_index(torch: Any, index: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(torch.from_numpy(i) if isinstance(i, np.ndarray) else i for i in index)


def indexing(rng: np.random.Generator, torch: Any, qn: Any) -> tuple[int, int]:
    # torch takes index arrays to floats and back, which loses bits of qint32
    a, b = pair(rng, torch, dtypes=("quint8", "qint8"))
    index = draw_index(rng, a.shape, bool(rng.integers(2)))
    bad = both(attempt(lambda: a[index]), attempt(lambda: b[to_torch_index(torch, index)]))
    if a.ndim:
        chosen = rng.integers(0, max(a.shape[0], 1), 4)
        mine = attempt(lambda: a.index_select(0, chosen))
        bad += both(mine, attempt(lambda: b.index_select(0, torch.from_numpy(chosen))))
        mask = a.dequantize() > 0
        bad += both(attempt(lambda: a[mask]), attempt(lambda: b[torch.from_numpy(np.ascontiguousarray(mask))]))
    return a.numel(), bad


def channel_views(rng: np.random.Generator, torch: Any, qn: Any) -> tuple[int, int]:
    a, b = channel_pair(rng, torch)
    axis, n = a.q_per_channel_axis(), a.ndim
    d, e = (int(i) for i in rng.integers(-n - 1, n + 2, 2))
    index = draw_index(rng, a.shape, False)
    # torch loses the axis where an int comes before or after it
    index = tuple(slice(None) if isinstance(i, int) and k != axis else i for k, i in enumerate(index) if i is not None)
    operations: list[Callable[[Any], Any]] = [
        lambda x: x[index] if 0 not in np.empty(a.shape)[index].shape else None,
        lambda x: x.unsqueeze(d),
        lambda x: x.unsqueeze(d).squeeze(d) if -n - 1 <= d <= n else None,
        lambda x: x.transpose(d, e) if (d - e) % n else None,
        lambda x: x.t() if n != 1 else None,
        lambda x: x.flatten(axis + 1),
        lambda x: x.clone(),
        lambda x: x.contiguous(),
        lambda x: x.detach(),
        lambda x: copy.deepcopy(x),
        lambda x: x.chunk(2, d),
        lambda x: x.unbind(axis),
        lambda x: x.expand(2, *x.shape),
        lambda x: x.flip(0),
        lambda x: x[[0]],
        lambda x: x.max(),
        lambda x: x.sort(),
        lambda x: x.mean(),
        lambda x: x.clone().fill_(0.75),
    ]
    bad = sum(both(attempt(lambda f=f: f(a)), attempt(lambda f=f: f(b))) for f in operations)
    x = rng.standard_normal(a.shape).astype(np.float32)
    bad += both(a.clone().copy_(x), b.clone().copy_(torch.from_numpy(x)))
    bad += both(a.clone().copy_(a), b.clone().copy_(b)) + same(a.dequantize(), b.dequantize())
    bad += both(pickle.loads(pickle.dumps(a)), b)
    return a.numel(), bad


def writes(rng: np.random.Generator, torch: Any, qn: Any) -> tuple[int, int]:
    a, b = pair(rng, torch)
    a, b = a.clone(), b.clone()
    value = float(rng.normal() * 50 * a.q_scale())
    index = draw_index(rng, a.shape, bool(rng.integers(2)))
    where = to_torch_index(torch, index)

    def put(x: Any, i: Any, v: Any) -> Any:
        x = x.clone()
        x[i] = v
        return x

    want = attempt(lambda: put(b, where, value))
    # torch refuses to write into views that are not contiguous
    bad = 0 if want is None else both(put(a, index, value), want)
    target = attempt(lambda: b[where].is_contiguous() and a[index])
    if isinstance(target, qt.QTensor) and target.numel():
        floats = np.asarray(rng.standard_normal(target.shape) * 50 * a.q_scale(), np.float32)
        if floats.ndim and not (index and any(isinstance(i, (list, np.ndarray)) for i in index)):
            bad += both(put(a, index, floats), put(b, where, torch.from_numpy(floats)))
    bad += both(a.clone().fill_(value), b.clone().fill_(value))
    mask = np.asarray(rng.random(a.shape) < 0.5)
    bad += both(a.masked_fill(mask, value), b.masked_fill(torch.from_numpy(mask), value))
    floats = np.asarray(rng.standard_normal(a.shape) * 50 * a.q_scale(), np.float32)
    if a.is_contiguous():  # torch refuses to copy floats elsewhere
        bad += both(a.clone().copy_(floats), b.clone().copy_(torch.from_numpy(floats)))
    other = draw_ints(rng, a.dtype.name, a.shape)
    a2 = a.clone().copy_(qt.make_per_tensor_quantized_tensor(other, 0.5, 3))
    b2 = b.clone().copy_(torch._make_per_tensor_quantized_tensor(torch.from_numpy(other), 0.5, 3))
    bad += both(a2, b2)
    return a.numel(), bad


def moves(rng: np.random.Generator, torch: Any, qn: Any) -> tuple[int, int]:
    a, b = pair(rng, torch)
    n = a.ndim
    axes = [int(i) for i in rng.permutation(n)[: rng.integers(0, n + 1)]]
    times = [int(i) for i in rng.integers(0, 3, rng.integers(n, n + 2))]
    operations: list[Callable[[Any], Any]] = [
        lambda x: x.flip(axes),
        lambda x: x.repeat(*times) if times else None,
    ]
    return a.numel(), sum(both(attempt(lambda f=f: f(a)), attempt(lambda f=f: f(b))) for f in operations)


def comparisons(rng: np.random.Generator, torch: Any, qn: Any) -> tuple[int, int]:
    a, b = pair(rng, torch)
    other = draw_ints(rng, "quint8", a.shape)
    a2 = qt.make_per_tensor_quantized_tensor(other, a.q_scale(), 3)
    b2 = torch._make_per_tensor_quantized_tensor(torch.from_numpy(other), b.q_scale(), 3)
    value = float(rng.choice(a.dequantize().reshape(-1))) if a.numel() else 0.5
    floats = np.asarray(a.dequantize() + rng.integers(-1, 2, a.shape), np.float32)
    bad = 0
    for x, y in ((a2, b2), (value, value), (floats, torch.from_numpy(floats))):
        for name in ("__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__"):
            got, want = getattr(a, name)(x), getattr(b, name)(y)
            bad += int((got != want.numpy()).sum())
    bad += a.equal(a.clone()) != torch.equal(b, b.clone())
    bad += a.equal(a2) != torch.equal(b, b2)
    if a.numel() == 1:
        bad += a.item() != b.item()
    return a.numel() * 18, bad


def order(rng: np.random.Generator, torch: Any, qn: Any) -> tuple[int, int]:
    a, b = pair(rng, torch)
    d = int(rng.integers(-a.ndim - 1, a.ndim + 1))
    keep, down = bool(rng.integers(2)), bool(rng.integers(2))
    k = int(rng.integers(0 if a.ndim else 1, 4))
    bad = 0
    for name in ("max", "min"):
        bad += both(attempt(getattr(a, name)), attempt(getattr(b, name)))
        got = attempt(lambda name=name: getattr(a, name)(d, keepdim=keep))
        bad += both(got, attempt(lambda name=name: getattr(b, name)(d, keepdim=keep)))
    bad += both(attempt(lambda: a.sort(d, down)), attempt(lambda: b.sort(stable=True, dim=d, descending=down)))
    # which of equal elements topk names is not defined
    got, want = attempt(lambda: a.topk(k, d, down)), attempt(lambda: b.topk(k, d, down))
    bad += both(got and got.values, want and want.values)
    return a.numel(), bad


def reductions(rng: np.random.Generator, torch: Any, qn: Any) -> tuple[int, int]:
    """Over the innermost axes of contiguous tensors: in integers."""
    dtype = str(rng.choice(DTYPES))
    shape = tuple(n + (n == 0) for n in draw_shape(rng))
    ints = draw_ints(rng, dtype, shape)
    s, z = draw_scale(rng), draw_zero_point(rng, dtype)
    a = qt.make_per_tensor_quantized_tensor(ints, s, z)
    b = torch._make_per_tensor_quantized_tensor(torch.from_numpy(ints), s, z)
    dims = tuple(range(int(rng.integers(0, a.ndim + 1)), a.ndim))
    keep = bool(rng.integers(2))
    bad = both(a.mean(dims, keepdim=keep), b.mean(dims, keepdim=keep)) + both(a.mean(), b.mean())
    n = int(np.prod([shape[i] for i in dims])) if dims else a.numel()
    if n > 2 and dtype != "qint32":
        c = int(rng.integers(0, 3))
        bad += both(a.std(dims, keepdim=keep, correction=c), b.std(dims, keepdim=keep, correction=c))
    return a.numel(), bad


def float_reductions(rng: np.random.Generator, torch: Any, qn: Any) -> tuple[int, int]:
    """Over other axes or of other memory orders: in float32."""
    a, b = pair(rng, torch, dtypes=("quint8", "qint8"))
    dims = tuple(int(i) for i in rng.permutation(a.ndim)[: rng.integers(0, a.ndim + 1)])
    keep = bool(rng.integers(2))
    n = int(np.prod([a.shape[i] for i in dims])) if dims else a.numel()
    if n == 0:  # the mean of nothing
        return 0, 0
    want = attempt(lambda: b.mean(dims, keepdim=keep))
    bad = 0
    if want is not None:  # torch refuses (N, C, 1, 1) over some axes
        bad += both(a.mean(dims, keepdim=keep), want)
    if n > 1:
        want = attempt(lambda: b.std(dims, keepdim=keep))
        bad += 0 if want is None else both(a.std(dims, keepdim=keep), want)
    return a.numel(), bad


def texts(rng: np.random.Generator, torch: Any, qn: Any) -> tuple[int, int]:
    if rng.random() < 0.25:
        a, b = channel_pair(rng, torch)
    elif rng.random() < 0.1:
        shape = tuple(int(n) for n in rng.integers(2, 12, 4))
        a, b = pair(rng, torch, shape)
    else:
        a, b = pair(rng, torch)
    return a.numel(), int(repr(a) != repr(b))


def in_order(f: Callable[[], Any]) -> Any:
    """`attempt`, made contiguous: the memory order of images with one channel and the like is not torch's."""
    result = attempt(f)
    return result if result is None else result.contiguous()


def joins(rng: np.random.Generator, torch: Any, qn: Any) -> tuple[int, int]:
    a, b = pair(rng, torch)
    pairs = [(a, b)]
    for _ in range(int(rng.integers(0, 3))):
        other = pair(rng, torch, a.shape, (a.dtype.name,))
        pairs.append(other if other[0].shape == a.shape or rng.random() < 0.2 else (a, b))
    ours, theirs = map(list, zip(*pairs, strict=True))
    n = a.ndim
    d = int(rng.integers(-n - 1, n + 2))
    bad = both(in_order(lambda: qn.cat(ours, d)), in_order(lambda: torch.cat(theirs, d)))
    bad += both(in_order(lambda: qn.stack(ours, d)), in_order(lambda: torch.stack(theirs, d)))
    return a.numel(), bad


def pads(rng: np.random.Generator, torch: Any, qn: Any) -> tuple[int, int]:
    a, b = pair(rng, torch)
    f = torch.nn.functional.pad
    amounts = [int(i) for i in rng.integers(-1 if rng.random() < 0.2 else 0, 4, 2 * rng.integers(0, a.ndim + 1))]
    value = None if rng.random() < 0.5 else float(rng.normal())
    want = in_order(lambda: f(b, amounts, value=value))  # torch refuses images with three dimensions, channels-last
    bad = 0 if want is None else both(in_order(lambda: qn.ops.pad(a, amounts, "constant", value)), want)
    if a.numel() and a.ndim > 1:
        amounts = [int(i) for i in rng.integers(0, 4, 2 if a.ndim == 2 or rng.random() < 0.5 else 4)]
        bad += both(attempt(lambda: qn.ops.pad(a, amounts, "reflect")), attempt(lambda: f(b, amounts, "reflect")))
    return a.numel(), bad


def shuffles(rng: np.random.Generator, torch: Any, qn: Any) -> tuple[int, int]:
    r, g = int(rng.integers(1, 4)), int(rng.integers(1, 4))
    n, c, h, w = (int(i) for i in rng.integers(1, 5, 4))
    a, b = pair(rng, torch, (n, c * r * r * g, h * r, w * r))
    bad = 0
    if a.dtype is qt.quint8 and a.numel():
        bad += both(in_order(lambda: qn.channel_shuffle(a, g)), in_order(lambda: torch.channel_shuffle(b, g)))
    bad += both(attempt(lambda: qn.pixel_shuffle(a, r)), attempt(lambda: torch.pixel_shuffle(b, r)))
    bad += both(attempt(lambda: qn.pixel_unshuffle(a, r)), attempt(lambda: torch.pixel_unshuffle(b, r)))
    return a.numel(), bad


def functions(rng: np.random.Generator, torch: Any, qn: Any) -> tuple[int, int]:
    a, b = pair(rng, torch)
    n = max(a.ndim, 1)
    d = int(rng.integers(-n, n))
    operations: list[Callable[[Any, Any], Any]] = [
        lambda lib, x: lib.flatten(x, d),
        lambda lib, x: lib.chunk(x, 2, d),
        lambda lib, x: lib.split(x, 2, d),
        lambda lib, x: lib.unbind(x, d),
        lambda lib, x: lib.transpose(x, d, 0),
        lambda lib, x: lib.permute(x, tuple(range(x.ndim))[::-1]),
        lambda lib, x: lib.movedim(x, 0, d),
        lambda lib, x: lib.squeeze(x, d),
        lambda lib, x: lib.unsqueeze(x, dim=d),
        lambda lib, x: lib.reshape(x, (-1,)),
        lambda lib, x: lib.flip(x, (d,)),
        lambda lib, x: lib.narrow(x, d, 0, 1),
        lambda lib, x: lib.select(x, d, -1),
        lambda lib, x: lib.max(x),
        lambda lib, x: lib.min(x),
        lambda lib, x: lib.max(x, d, keepdim=True)[0],
        lambda lib, x: lib.sort(x, dim=d, descending=True, stable=True)[1],
        lambda lib, x: lib.topk(x, 1, d)[0],
        lambda lib, x: x.argsort(dim=d, stable=True),
        lambda lib, x: x.relu(),
        lambda lib, x: x.clamp(-0.5, 0.75),
        lambda lib, x: x.clip(min=0.0),
    ]
    if a.dtype is not qt.qint32:
        operations += [lambda lib, x: x.contiguous().sigmoid(), lambda lib, x: x.contiguous().tanh()]
    bad = 0
    for f in operations:
        bad += both(attempt(lambda f=f: f(qn, a)), attempt(lambda f=f: f(torch, b)))
    return a.numel(), bad


CASES = {
    "views": views,
    "cat, stack": joins,
    "pad": pads,
    "channel_shuffle, pixel_shuffle": shuffles,
    "functions of tensors": functions,
    "indexing": indexing,
    "per-channel views": channel_views,
    "setitem, copy_, fill_, masked_fill": writes,
    "flip, repeat": moves,
    "comparisons, equal, item": comparisons,
    "max, min, sort, topk": order,
    "mean, std": reductions,
    "mean, std (through floats)": float_reductions,
    "repr": texts,
}


@pytest.mark.parametrize("name", CASES)
def test_equals_torch(name: str, level: str, rng: np.random.Generator, torch: Any, n_cases: int) -> None:
    for _ in range(n_cases):
        elements, mismatches = CASES[name](rng, torch, quantnn)
        assert mismatches == 0, f"{name}: {mismatches} of {elements} elements differ"

"""The dot-product kernels read nothing behind their input: it ends where the next page of memory can't be read.

Sanitizers do not see what tile registers and assembly read; the processor does.
"""

from __future__ import annotations

import ctypes
import math
import mmap
import sys

import numpy as np
import pytest

import quantnn
from quantnn import _dispatch
from tests.kernels import test_conv_transpose as transposed
from tests.kernels.test_conv import GEOMETRIES

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="protects memory through Linux's C library")

PROT_NONE = 0


@pytest.fixture
def at_the_end():
    """A function that copies an array to where a page without access follows."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]

    def place(a: np.ndarray) -> np.ndarray:
        size = -(-a.nbytes // mmap.PAGESIZE) * mmap.PAGESIZE
        block = mmap.mmap(-1, size + mmap.PAGESIZE)
        whole = np.frombuffer(block, np.uint8)
        end = whole.ctypes.data + size
        assert libc.mprotect(end, mmap.PAGESIZE, PROT_NONE) == 0
        placed = whole[size - a.nbytes : size].view(a.dtype).reshape(a.shape)
        placed[...] = a
        return placed

    return place


@pytest.mark.parametrize("name", GEOMETRIES)
def test_conv(name, level, rng, at_the_end):
    (n, c, *size), (k, *kernel), stride, padding, dilation, groups = GEOMETRIES[name]
    ndim = len(size)
    w = rng.integers(-128, 128, (k, c // groups, *kernel)).astype(np.int8)
    prepack = getattr(quantnn.ops, f"conv{ndim}d_prepack")
    geometry = [[v] * ndim if isinstance(v, int) else list(v) for v in (stride, padding, dilation)]
    packed = prepack(quantnn.make_per_tensor_quantized_tensor(w, 0.01, 0), None, *geometry, groups)
    shape = (n, *(1,) * (3 - ndim), *size, c)
    size = [(i + 2 * p - d * (f - 1) - 1) // s + 1 for i, f, s, p, d in zip(size, kernel, *geometry, strict=True)]
    out_shape = (n, *(1,) * (3 - ndim), *size, k)
    x = rng.integers(0, 256, math.prod(shape)).astype(np.uint8)
    for threads in (1, 2):
        plain = np.zeros(math.prod(out_shape), np.uint8)
        out = at_the_end(plain)
        packed._run(packed._kernel, x, plain, shape, out_shape, 0.1, 3, 0.5, 7, False, threads)
        packed._run(packed._kernel, at_the_end(x), out, shape, out_shape, 0.1, 3, 0.5, 7, False, threads)
        assert np.array_equal(out, plain)


@pytest.mark.parametrize("name", transposed.GEOMETRIES)
def test_conv_transpose(name, level, rng, at_the_end):
    (n, c, *size), (k, *kernel), *_, groups = transposed.GEOMETRIES[name]
    ndim = len(size)
    w = rng.integers(-128, 128, (c, k // groups, *kernel)).astype(np.int8)
    x = rng.integers(0, 256, (n, c, *size)).astype(np.uint8)
    for zero_point in (0, 5):
        qw = quantnn.make_per_tensor_quantized_tensor(w, 0.01, zero_point)
        packed = getattr(quantnn.ops, f"conv_transpose{ndim}d_prepack")(qw, None, *transposed.geometry_of(name))
        run = getattr(quantnn.ops, f"conv_transpose{ndim}d")
        want = run(quantnn.make_per_tensor_quantized_tensor(x, 0.1, 3), packed, 0.5, 7).int_repr()
        lead = (1,) * (3 - ndim)
        shapes = (n, *lead, *size, c), (n, *lead, *want.shape[2:], k)
        plain, last = np.moveaxis(want, 1, -1).ravel(), at_the_end(np.moveaxis(x, 1, -1).ravel())
        for threads in (1, 2):
            out = at_the_end(np.zeros(plain.shape, np.uint8))
            packed._run(packed._kernel, last, out, *shapes, 0.1, 3, 0.5, 7, threads)
            assert np.array_equal(out, plain)


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 1000, 10), (5, 72, 40), (33, 64, 33), (50, 200, 65), (7, 3, 5)])
def test_linear(shape, level, rng, at_the_end):
    m, k, n = shape
    w = rng.integers(-128, 128, (n, k)).astype(np.int8)
    packed = quantnn.ops.linear_prepack(quantnn.make_per_tensor_quantized_tensor(w, 0.01, 0), None)
    x = rng.integers(0, 256, (m, k)).astype(np.uint8)
    for threads in (1, 2):
        plain, out = np.empty((m, n), np.uint8), at_the_end(np.zeros((m, n), np.uint8))
        packed._run(packed._kernel, x, plain, 0.1, 3, 0.5, 7, False, threads)
        packed._run(packed._kernel, at_the_end(x), out, 0.1, 3, 0.5, 7, False, threads)
        assert np.array_equal(out, plain)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 1000, 10), (5, 72, 40), (33, 64, 33), (50, 200, 65), (7, 3, 5)])
def test_linear_dynamic(shape, half, level, rng, at_the_end):
    m, k, n = shape
    x, w = rng.standard_normal((m, k)).astype(np.float32), rng.integers(-128, 128, (n, k)).astype(np.int8)
    if half:
        packed = quantnn.ops.linear_prepack_fp16(w.astype(np.float32), np.ones(n, np.float32))
    else:
        packed = quantnn.ops.linear_prepack(quantnn.make_per_tensor_quantized_tensor(w, 0.01, 0), None)
    run = _dispatch.kernels.dynamic.linear
    for threads in (1, 2):
        plain, out = np.empty((m, n), np.float32), at_the_end(np.zeros((m, n), np.float32))
        run(packed._kernel, half, x, plain, False, True, threads)
        run(packed._kernel, half, at_the_end(x), out, False, True, threads)
        assert np.array_equal(out, plain)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize(("kind", "gates"), [(0, 4), (1, 3), (2, 1), (3, 1)])
def test_recurrent(kind, gates, half, level, rng, at_the_end):
    """Steps of fewer and fewer rows, with room for the products of two of them."""
    for k, n, sizes in ((5, 7, (3, 3, 2, 1)), (64, 16, (9, 9, 9)), (1, 33, (1, 1))):
        packed = []
        for inputs in (k, n):
            w = rng.integers(-128, 128, (gates * n, inputs)).astype(np.int8)
            q = quantnn.make_per_tensor_quantized_tensor(w, 0.01, 0)
            prepack = quantnn.ops.linear_prepack_fp16 if half else quantnn.ops.linear_prepack
            packed.append(prepack(q.dequantize() if half else q, None)._kernel)
        x = rng.standard_normal((sum(sizes), k)).astype(np.float32)
        states = rng.uniform(-1, 1, (2, sizes[0], n)).astype(np.float32)
        for reverse in (False, True):
            results = []
            for place in (np.array, at_the_end):
                h, c = place(states[0]), place(states[1])
                out = place(np.zeros((sum(sizes), n), np.float32))
                ih = place(np.zeros((2 * sizes[0], gates * n), np.float32))
                steps = place(np.array(sizes, np.int64))
                run = _dispatch.kernels.rnn.layer
                assert run(kind, *packed, half, place(x), steps, ih, h, c, out, 0, reverse, True, 1, 1)
                results.append((h, c, out))
            for a, b in zip(*results, strict=True):
                assert np.array_equal(a, b)

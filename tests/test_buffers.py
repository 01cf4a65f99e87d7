"""The memory of outputs: aligned, used again, never while something shows it."""

import gc
import os
import threading

import numpy as np
import pytest

from quantnn import _buffers

LEAST, MOST, LIMIT = 1 << 15, 1 << 25, 1 << 26


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int32, np.int64, np.float32, np.dtype(np.uint8)])
@pytest.mark.parametrize("shape", [(), (0,), (0, 1 << 40), (3,), (1, 64, 56, 56), [7, 1 << 13]])
def test_is_numpys_empty(shape, dtype):
    a = _buffers.empty(shape, dtype)
    expected = np.empty(shape, dtype)
    assert type(a) is np.ndarray
    assert (a.shape, a.dtype, a.strides) == (expected.shape, expected.dtype, expected.strides)
    assert a.flags.writeable
    assert a.flags.c_contiguous


@pytest.mark.parametrize("size", [LEAST, LEAST + 1, 200704, (1 << 16) + 1, 1 << 24, MOST - 1, MOST])
def test_every_byte_is_there_and_aligned(size):
    a, b = _buffers.empty((size,), np.uint8), _buffers.empty((size,), np.uint8)
    assert a.ctypes.data % 64 == b.ctypes.data % 64 == 0
    a[:] = 1
    b[:] = 2
    assert (a == 1).all()
    assert (b == 2).all()


def test_freed_memory_is_used_again_but_not_while_a_view_lives():
    a = _buffers.empty((1000, 1000), np.uint8)
    place = a.ctypes.data
    view = a[5:].T
    view[...] = 7
    del a
    gc.collect()
    other = _buffers.empty((1000, 1000), np.uint8)
    other[...] = 8
    assert other.ctypes.data != place
    assert (view == 7).all()
    del view
    gc.collect()
    assert _buffers.empty((1000, 999), np.uint8).ctypes.data == place


def test_what_waits_is_bounded():
    arrays = [_buffers.empty((n,), np.uint8) for n in range(LEAST, 1 << 22, 65521)]
    del arrays
    gc.collect()
    assert 0 < _buffers.cached() <= LIMIT
    arrays = [_buffers.empty((1 << 24,), np.uint8) for _ in range(6)]
    del arrays
    gc.collect()
    assert _buffers.cached() <= LIMIT


def test_sizes_beyond_the_cache_are_numpys():
    assert _buffers.empty((LEAST - 1,), np.uint8).flags.owndata
    assert _buffers.empty((MOST + 1,), np.uint8).flags.owndata
    with pytest.raises((ValueError, MemoryError)):
        _buffers.empty((1 << 40, 1 << 40), np.uint8)


def test_threads_never_share_a_block():
    bad = []

    def work(number):
        for size in list(range(LEAST, 300_000, 20_011)) * 5:
            arrays = [_buffers.empty((size,), np.uint8) for _ in range(3)]
            for k, a in enumerate(arrays):
                a[:] = number * 3 + k
            bad.extend(a for k, a in enumerate(arrays) if not (a == number * 3 + k).all())

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not bad


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_has_its_own():
    a = _buffers.empty((100_000,), np.uint8)
    a[:] = 3
    pid = os.fork()
    if pid == 0:
        b = _buffers.empty((100_000,), np.uint8)
        b[:] = 4
        os._exit(int(not (a == 3).all()))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert (a == 3).all()

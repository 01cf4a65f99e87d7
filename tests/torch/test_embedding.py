"""Embedding lookups and bags against torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import quantnn
from quantnn import tensor
from quantnn.modules import embedding_ops
from quantnn.ops import _embedding as ops

pytest.importorskip("torch", reason="torch is not installed: nothing to compare with")


def table(rng: np.random.Generator, torch: Any, bits: int) -> tuple[Any, Any, int, int]:
    """The same random packed table in torch and in quantnn; its rows and columns."""
    rows, dim = int(rng.integers(1, 30)), int(rng.integers(1, 100))
    dim = 2 * dim if bits == 4 or rng.random() < 0.5 else dim
    exponents = rng.uniform(-9, 3, rows) if rng.random() < 0.3 else rng.uniform(-3, 1, rows)
    scales = (10.0**exponents).astype(np.float32)
    if rng.random() < 0.2:
        scales = np.exp2(rng.integers(-20, 4, rows)).astype(np.float32)
    zero_points = (rng.uniform(-0.5, 1.5, rows) * (2**bits - 1)).astype(np.float32)
    dtype = torch.quint8 if bits == 8 else torch.quint4x2
    ints = rng.integers(0, 2**bits, (rows, dim))
    floats = (ints - zero_points[:, None]) * scales[:, None]
    weight = torch.quantize_per_channel(
        torch.from_numpy(floats.astype(np.float32)), torch.from_numpy(scales), torch.from_numpy(zero_points), 0, dtype
    )
    ours = tensor.QTensor(
        weight.int_repr().numpy().copy(),
        tensor.quint8 if bits == 8 else tensor.quint4x2,
        scales,
        zero_points,
        tensor.per_channel_affine_float_qparams,
        0,
        None if bits == 8 else (rows, dim),
    )
    return torch.ops.quantized.embedding_bag_prepack(weight), ops.embedding_bag_prepack(ours), rows, dim


def compare(want: Any, got: np.ndarray) -> tuple[int, int]:
    want = want.numpy()
    assert want.shape == got.shape
    assert got.dtype == np.float32
    return got.size, int((want.view(np.int32) != got.view(np.int32)).sum() - (np.isnan(want) & np.isnan(got)).sum())


def integers(rng: np.random.Generator, low: int, high: int, shape: Any) -> np.ndarray:
    return rng.integers(low, high, shape).astype(rng.choice([np.int32, np.int64]))


def embedding(name: str, bits: int) -> Any:
    def case(rng: np.random.Generator, torch: Any, quantnn: Any) -> tuple[int, int]:
        theirs, ours, rows, _ = table(rng, torch, bits)
        shape = tuple(int(rng.integers(0, 12)) for _ in range(int(rng.integers(1, 3))))
        indices = integers(rng, 0, rows, shape)
        want = getattr(torch.ops.quantized, name)(theirs, torch.from_numpy(indices))
        return compare(want, getattr(ops, name)(ours, indices))

    return case


def embedding_bag(name: str, draw: Any) -> Any:
    def case(rng: np.random.Generator, torch: Any, quantnn: Any) -> tuple[int, int]:
        theirs, ours, rows = draw(rng, torch)
        pruned = rng.random() < 0.25
        mapping, size = None, rows
        if pruned:
            size = rows + int(rng.integers(1, 10))
            mapping = np.full(size, -1, np.int32)
            mapping[rng.permutation(size)[:rows]] = np.arange(rows)
        last = bool(rng.random() < 0.5)
        if rng.random() < 0.3:
            last = False  # torch may refuse the indices that are left over
            indices, offsets = integers(rng, 0, size, (int(rng.integers(1, 8)), int(rng.integers(1, 8)))), None
        else:
            n, bags = int(rng.integers(0, 40)), int(rng.integers(1, 9))
            indices = integers(rng, 0, size, n)
            offsets = np.sort(integers(rng, 0, n + 1, bags))
            offsets[0] = 0
            if last:
                offsets = np.append(offsets, offsets.dtype.type(n))
        weights = rng.standard_normal(indices.shape).astype(np.float32) if rng.random() < 0.5 else None
        theirs_of = [None if a is None else torch.from_numpy(a) for a in (indices, offsets, weights, mapping)]
        want = getattr(torch.ops.quantized, name)(
            theirs, theirs_of[0], theirs_of[1], False, 0, pruned, theirs_of[2], theirs_of[3], last
        )
        got = getattr(ops, name)(ours, indices, offsets, False, 0, pruned, weights, mapping, last)
        return compare(want, got)

    return case


def unpack(rng: np.random.Generator, torch: Any, quantnn: Any) -> tuple[int, int]:
    theirs, ours, *_ = table(rng, torch, int(rng.choice([4, 8])))
    want, got = torch.ops.quantized.embedding_bag_unpack(theirs), ops.embedding_bag_unpack(ours)
    assert (want.q_per_channel_scales().numpy() == got._scale).all()
    assert (want.q_per_channel_zero_points().numpy() == got._zero_point).all()
    assert tuple(want.shape) == tuple(got.shape)
    a, b = want.int_repr().numpy().reshape(-1), got._ints.reshape(-1)
    assert a.shape == b.shape
    return b.size, int((a != b).sum())


ROWS = {"byte": 8, "4bit": 4, "2bit": 2}


def float_table(rng: np.random.Generator, name: str) -> np.ndarray:
    per = 8 // ROWS[name]
    rows, dim = int(rng.integers(1, 8)), per * int(rng.integers(1, 24))
    w = rng.standard_normal((rows, dim)) * 10.0 ** rng.uniform(-4 if rng.random() < 0.8 else -9, 3)
    if rng.random() < 0.3:
        w = np.round(w)  # ties
    if rng.random() < 0.2:
        w[0] = w[0, 0]
    w = w.astype(rng.choice([np.float32, np.float16]))
    return w + w.dtype.type(0)  # which of 0 and -0 is the least depends on torch's instruction set


def prepack(name: str, limits: bool) -> Any:
    def case(rng: np.random.Generator, torch: Any, quantnn: Any) -> tuple[int, int]:
        w = float_table(rng, name)
        args: list[Any] = [w]
        full = f"embedding_bag_{name}_prepack" + ("_with_rowwise_min_max" if limits else "")
        if limits:
            width = rng.uniform(0 if name == "byte" else -0.5, 1, (2, len(w)))  # torch's 8-bit integers wrap
            args = [w.astype(np.float32)]
            args.append(np.stack([w.min(1) - width[0], w.max(1) + width[1]], 1).astype(np.float32))
        options: list[Any] = []
        if name != "byte" and rng.random() < 0.3:
            options = [True, int(rng.integers(1, 60)), float(rng.uniform(0, 1))]
            if rng.random() < 0.5:  # where roundings decide how many steps there are
                options[1:] = int(rng.integers(1, 7)) * 10, float(rng.integers(0, 11)) / 10
        want = getattr(torch.ops.quantized, full)(*map(torch.from_numpy, args), *options).numpy()
        got = getattr(ops, full)(*args, *options)
        assert want.shape == got.shape
        return got.size, int((want != got).sum())

    return case


def unpack_rows(name: str) -> Any:
    def case(rng: np.random.Generator, torch: Any, quantnn: Any) -> tuple[int, int]:
        rows = getattr(ops, f"embedding_bag_{name}_prepack")(float_table(rng, name))
        want = getattr(torch.ops.quantized, f"embedding_bag_{name}_unpack")(torch.from_numpy(rows))
        return compare(want, getattr(ops, f"embedding_bag_{name}_unpack")(rows))

    return case


def rowwise_offsets(name: str) -> Any:
    def draw(rng: np.random.Generator, torch: Any) -> tuple[Any, Any, int]:
        rows = getattr(ops, f"embedding_bag_{name}_prepack")(float_table(rng, name))
        return torch.from_numpy(rows), rows, len(rows)

    return embedding_bag(f"embedding_bag_{name}_rowwise_offsets", draw)


#: Each draws one random case, runs both and returns (elements, mismatches).
CASES = {
    "embedding_byte": embedding("embedding_byte", 8),
    "embedding_4bit": embedding("embedding_4bit", 4),
    "embedding_bag_byte": embedding_bag("embedding_bag_byte", lambda rng, torch: table(rng, torch, 8)[:3]),
    "embedding_bag_4bit": embedding_bag("embedding_bag_4bit", lambda rng, torch: table(rng, torch, 4)[:3]),
    "embedding_bag_prepack": unpack,
    **{f"embedding_bag_{name}_prepack": prepack(name, False) for name in ROWS},
    **{f"embedding_bag_{name}_prepack_with_rowwise_min_max": prepack(name, True) for name in ROWS},
    **{f"embedding_bag_{name}_unpack": unpack_rows(name) for name in ROWS},
    **{f"embedding_bag_{name}_rowwise_offsets": rowwise_offsets(name) for name in ROWS},
}


@pytest.mark.parametrize("name", CASES)
def test_same_as_torch(name: str, level: str, torch: Any, rng: np.random.Generator, n_cases: int) -> None:
    for _ in range(n_cases):
        _, wrong = CASES[name](rng, torch, quantnn)
        assert wrong == 0


@pytest.mark.parametrize("bits", [8, 4, None])
@pytest.mark.parametrize("name", ["Embedding", "EmbeddingBag"])
def test_from_float(name: str, bits: int | None, torch: Any, rng: np.random.Generator) -> None:
    is_bag = name == "EmbeddingBag"
    options: dict[str, Any] = {"mode": "sum", "include_last_offset": True} if is_bag else {}
    floats = getattr(torch.nn, name)(10, 12, **options)
    quantization = torch.ao.quantization
    floats.qconfig = {
        8: quantization.float_qparams_weight_only_qconfig,
        4: quantization.float_qparams_weight_only_qconfig_4bit,
        None: None,  # torch's default
    }[bits]
    ours = getattr(embedding_ops, name).from_float(floats)
    theirs = getattr(torch.ao.nn.quantized, name).from_float(floats)
    args = [rng.integers(0, 10, 20)]
    if is_bag:
        args.append(np.array([0, 3, 3, 20]))
    if bits == 4 and not is_bag:
        # torch's module keeps dtype quint8 and then reads its rows as 8-bit ones
        packed = torch.ops.quantized.embedding_bag_prepack(theirs.weight())
        want = torch.ops.quantized.embedding_4bit(packed, torch.from_numpy(args[0])).numpy()
    else:
        assert repr(ours) == repr(theirs)
        want = theirs(*map(torch.from_numpy, args)).numpy()
        state = theirs.state_dict()
        assert list(ours.state_dict()) == list(state)
        assert dict(ours.state_dict()._metadata) == dict(state._metadata)
        loaded = getattr(embedding_ops, name)(10, 12, **({"include_last_offset": True} if is_bag else {}))
        loaded.load_state_dict(state)
        np.testing.assert_array_equal(loaded(*args), want)
    np.testing.assert_array_equal(ours(*args), want)

"""Write checkpoints/: state dicts that torch 2.13 saved, and what is in them.

    python -m tests.data.make_checkpoints

Needs torch 2.13.0. `modules.pth` has a module of every kind (checkpoint_modules.py), `legacy.pth` the same in
the format before torch 1.6, `tensors.pth` tensors of all dtypes and strides. The .npz beside them have their values,
read with torch: of a quantized tensor the integers, scales, zero points and axis.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .checkpoint_modules import NORMS, layers

FOLDER = Path(__file__).parent / "checkpoints"
NAMESPACES = {
    "": torch.ao.nn.quantized,
    "dynamic": torch.ao.nn.quantized.dynamic,
    "intrinsic": torch.ao.nn.intrinsic.quantized,
    "intrinsic.dynamic": torch.ao.nn.intrinsic.quantized.dynamic,
}


def values(key: str, x: Any) -> dict[str, np.ndarray]:
    """The arrays of a value of a state dict, by name."""
    if type(x).__name__ == "ScriptObject":
        return values(key, x.__getstate__()[0])
    if isinstance(x, (tuple, list)):
        return {k: v for i, part in enumerate(x) for k, v in values(f"{key}/{i}", part).items()}
    if isinstance(x, dict):
        return {k: v for name, part in x.items() for k, v in values(f"{key}/{name}" if key else name, part).items()}
    if not isinstance(x, torch.Tensor):
        return {key: np.array(str(x) if isinstance(x, torch.dtype) else x if x is not None else "None")}
    x = x.detach()
    if not x.is_quantized:
        return {key: (x.float() if x.dtype == torch.bfloat16 else x).numpy()}
    if x.qscheme() in (torch.per_tensor_affine, torch.per_tensor_symmetric):
        scale: Any = x.q_scale()
        zero_point: Any = x.q_zero_point()
        axis = -1
    else:
        scale, zero_point = x.q_per_channel_scales().numpy(), x.q_per_channel_zero_points().numpy()
        axis = x.q_per_channel_axis()
    return {
        f"{key}.ints": x.int_repr().numpy(),
        f"{key}.scale": np.asarray(scale),
        f"{key}.zero_point": np.asarray(zero_point),
        f"{key}.axis": np.asarray(axis),
    }


def weight(shape: tuple[int, ...], axis: int, per_channel: bool) -> Any:
    ints = torch.randint(-128, 128, shape, dtype=torch.int8)
    if not per_channel:
        return torch._make_per_tensor_quantized_tensor(ints, 0.01, 0)
    n = shape[axis]
    return torch._make_per_channel_quantized_tensor(
        ints, torch.rand(n, dtype=torch.float64) + 0.1, torch.zeros(n, dtype=torch.int64), axis
    )


def filled(module: Any, per_channel: bool) -> Any:
    """The module with random weights, scales and statistics."""
    if hasattr(module, "set_weight_bias") and not hasattr(module, "get_weight"):
        w, b = module._weight_bias()
        if w.is_quantized:
            axis = 1 if "Transpose" in type(module).__name__ else 0
            w = weight(tuple(w.shape), axis, per_channel and axis == 0)
        else:
            w = torch.randn(w.shape)
        module.set_weight_bias(w, None if b is None else torch.randn(b.shape))
    if hasattr(module, "set_weight"):
        packed, dtype = module.weight(), module._packed_params.dtype
        module.set_weight(
            torch.quantize_per_channel(
                torch.randn(packed.shape), torch.rand(len(packed)) + 0.1, torch.rand(len(packed)) * 9, 0, dtype
            )
        )
    for name, buffer in module.named_buffers():
        if buffer.is_floating_point():
            buffer.copy_(torch.rand(buffer.shape) + 0.1)
        elif name == "zero_point":
            buffer.copy_(torch.randint(0, 128, buffer.shape))
    if isinstance(getattr(module, "scale", None), float):
        module.scale, module.zero_point = float(torch.rand(()) + 0.1), int(torch.randint(0, 128, ()))
    return module


def modules() -> Any:
    net = torch.nn.Module()
    table = layers(torch.qint8, torch.float16, torch.quint8, torch.quint4x2)
    for i, (name, (space, cls, arguments, options)) in enumerate(table.items()):
        net.add_module(name, filled(getattr(NAMESPACES[space], cls)(*arguments, **options), i % 2 == 0))
    for name, (cls, arguments) in NORMS.items():
        parameters = [torch.nn.Parameter(torch.randn(4)) for _ in range(2)]
        net.add_module(name, getattr(torch.ao.nn.quantized, cls)(*arguments, *parameters, 0.3, 7))
    return net


def tensors() -> dict[str, Any]:
    """Of all dtypes and strides; some share a storage."""
    found: dict[str, Any] = {}
    for dtype in (
        "float64",
        "float32",
        "float16",
        "bfloat16",
        "int64",
        "int32",
        "int16",
        "int8",
        "uint8",
        "uint16",
        "bool",
    ):
        found[dtype] = torch.randint(0, 2 if dtype == "bool" else 99, (3, 2)).to(getattr(torch, dtype))
    found["complex64"] = torch.randn(3, dtype=torch.complex64)
    base = torch.randn(4, 6)
    found |= {"base": base, "row": base[1], "columns": base[:, 1::2], "transposed": base.T, "same": base}
    found["expanded"] = torch.randn(1, 3).expand(5, 3)
    found["scalar"], found["empty"] = torch.tensor(1.5), torch.zeros(0, 3)
    found["parameter"] = torch.nn.Parameter(torch.randn(3))
    q = torch.quantize_per_tensor(torch.randn(2, 3, 4, 5), 0.05, 30, torch.quint8)
    found |= {"quint8": q, "channels_last": q.contiguous(memory_format=torch.channels_last), "slice": q[1, :, 1:3]}
    found["qint8"] = weight((4, 3), 0, True)
    found["axis1"] = weight((4, 3, 2), 1, True)
    found["qint32"] = torch.quantize_per_tensor(torch.randn(5), 1e-6, 0, torch.qint32)
    for dtype in (torch.quint8, torch.quint4x2, torch.quint2x4):
        name = str(dtype).removeprefix("torch.")
        if dtype != torch.quint2x4:
            found[f"{name}_rows"] = torch.quantize_per_channel(
                torch.randn(3, 6), torch.rand(3) + 0.1, torch.rand(3), 0, dtype
            )
    found["nested"] = {"list": [torch.ones(2), 3, 1.5, "text", None, True], "dtype": torch.qint8}
    return found


def main() -> None:
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    torch.backends.quantized.engine = "fbgemm"
    FOLDER.mkdir(exist_ok=True)
    net = modules()  # kept: torch's embeddings share their scales with their state
    state = net.state_dict()
    torch.save(state, FOLDER / "modules.pth")
    torch.save(state, FOLDER / "legacy.pth", _use_new_zipfile_serialization=False)
    np.savez_compressed(FOLDER / "modules.npz", **values("", state))
    kinds = tensors()
    torch.save(kinds, FOLDER / "tensors.pth")
    np.savez_compressed(FOLDER / "tensors.npz", **values("", kinds))


if __name__ == "__main__":
    main()

"""torch.nn.quantized without torch: the same names, the same int8 results, NumPy only."""

from typing import TYPE_CHECKING

from . import functional as functional
from . import intrinsic as intrinsic
from . import ops as ops
from ._config import show_config as show_config
from ._threads import get_num_threads as get_num_threads
from ._threads import num_threads as num_threads
from ._threads import set_num_threads as set_num_threads
from .modules.activation import CELU as CELU
from .modules.activation import ELU as ELU
from .modules.activation import GELU as GELU
from .modules.activation import Hardsigmoid as Hardsigmoid
from .modules.activation import Hardswish as Hardswish
from .modules.activation import Hardtanh as Hardtanh
from .modules.activation import LeakyReLU as LeakyReLU
from .modules.activation import Mish as Mish
from .modules.activation import PReLU as PReLU
from .modules.activation import ReLU6 as ReLU6
from .modules.activation import Sigmoid as Sigmoid
from .modules.activation import SiLU as SiLU
from .modules.activation import Softmax as Softmax
from .modules.activation import Softplus as Softplus
from .modules.activation import Tanh as Tanh
from .modules.activation import Threshold as Threshold
from .modules.activation import Unary as Unary
from .modules.attention import MultiheadAttention as MultiheadAttention
from .modules.batchnorm import BatchNorm2d as BatchNorm2d
from .modules.batchnorm import BatchNorm3d as BatchNorm3d
from .modules.container import ModuleDict as ModuleDict
from .modules.container import ModuleList as ModuleList
from .modules.container import Sequential as Sequential
from .modules.conv import Conv1d as Conv1d
from .modules.conv import Conv2d as Conv2d
from .modules.conv import Conv3d as Conv3d
from .modules.conv_transpose import ConvTranspose1d as ConvTranspose1d
from .modules.conv_transpose import ConvTranspose2d as ConvTranspose2d
from .modules.conv_transpose import ConvTranspose3d as ConvTranspose3d
from .modules.embedding_ops import Embedding as Embedding
from .modules.embedding_ops import EmbeddingBag as EmbeddingBag
from .modules.functional_modules import FloatFunctional as FloatFunctional
from .modules.functional_modules import FXFloatFunctional as FXFloatFunctional
from .modules.functional_modules import QFunctional as QFunctional
from .modules.linear import Linear as Linear
from .modules.module import Module as Module
from .modules.normalization import GroupNorm as GroupNorm
from .modules.normalization import InstanceNorm1d as InstanceNorm1d
from .modules.normalization import InstanceNorm2d as InstanceNorm2d
from .modules.normalization import InstanceNorm3d as InstanceNorm3d
from .modules.normalization import LayerNorm as LayerNorm
from .modules.pooling import AdaptiveAvgPool2d as AdaptiveAvgPool2d
from .modules.pooling import AdaptiveAvgPool3d as AdaptiveAvgPool3d
from .modules.pooling import AvgPool2d as AvgPool2d
from .modules.pooling import AvgPool3d as AvgPool3d
from .modules.pooling import MaxPool1d as MaxPool1d
from .modules.pooling import MaxPool2d as MaxPool2d
from .modules.pooling import MaxPool3d as MaxPool3d
from .modules.quantize import DeQuantize as DeQuantize
from .modules.quantize import Quantize as Quantize
from .modules.rnn import LSTM as LSTM
from .modules.simple import Dropout as Dropout
from .modules.simple import Flatten as Flatten
from .modules.simple import Identity as Identity
from .modules.simple import ReLU as ReLU
from .ops._tensor import cat as cat
from .ops._tensor import channel_shuffle as channel_shuffle
from .ops._tensor import chunk as chunk
from .ops._tensor import flatten as flatten
from .ops._tensor import flip as flip
from .ops._tensor import index_select as index_select
from .ops._tensor import masked_fill as masked_fill
from .ops._tensor import max as max
from .ops._tensor import mean as mean
from .ops._tensor import min as min
from .ops._tensor import movedim as movedim
from .ops._tensor import narrow as narrow
from .ops._tensor import permute as permute
from .ops._tensor import pixel_shuffle as pixel_shuffle
from .ops._tensor import pixel_unshuffle as pixel_unshuffle
from .ops._tensor import reshape as reshape
from .ops._tensor import select as select
from .ops._tensor import sort as sort
from .ops._tensor import split as split
from .ops._tensor import squeeze as squeeze
from .ops._tensor import stack as stack
from .ops._tensor import std as std
from .ops._tensor import topk as topk
from .ops._tensor import transpose as transpose
from .ops._tensor import unbind as unbind
from .ops._tensor import unflatten as unflatten
from .ops._tensor import unsqueeze as unsqueeze
from .tensor import QTensor as QTensor
from .tensor import channels_last as channels_last
from .tensor import channels_last_3d as channels_last_3d
from .tensor import contiguous_format as contiguous_format
from .tensor import dequantize as dequantize
from .tensor import make_per_channel_quantized_tensor as make_per_channel_quantized_tensor
from .tensor import make_per_tensor_quantized_tensor as make_per_tensor_quantized_tensor
from .tensor import per_channel_affine as per_channel_affine
from .tensor import per_channel_affine_float_qparams as per_channel_affine_float_qparams
from .tensor import per_channel_symmetric as per_channel_symmetric
from .tensor import per_tensor_affine as per_tensor_affine
from .tensor import per_tensor_symmetric as per_tensor_symmetric
from .tensor import preserve_format as preserve_format
from .tensor import qint8 as qint8
from .tensor import qint32 as qint32
from .tensor import quantize_per_channel as quantize_per_channel
from .tensor import quantize_per_tensor as quantize_per_tensor
from .tensor import quantize_per_tensor_dynamic as quantize_per_tensor_dynamic
from .tensor import quint2x4 as quint2x4
from .tensor import quint4x2 as quint4x2
from .tensor import quint8 as quint8

if TYPE_CHECKING:
    from . import jit as jit
    from .io._errors import FileError as FileError
    from .io.checkpoint import load_state_dict as load_state_dict
    from .io.from_torch import from_torch as from_torch
    from .io.own import load as load
    from .io.own import save as save

# What reads and writes files is imported when it is first used.
_LATER = {
    "FileError": "io._errors",
    "from_torch": "io.from_torch",
    "load": "io.own",
    "load_state_dict": "io.checkpoint",
    "save": "io.own",
}


def __getattr__(name: str) -> object:
    if name not in _LATER and name != "jit":
        raise AttributeError(f"module 'quantnn' has no attribute '{name}'")
    from importlib import import_module

    if name == "jit":
        return import_module("quantnn.jit")
    return getattr(import_module(f"quantnn.{_LATER[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER, "jit"})

"""Layers fused with what follows them: torch.ao.nn.intrinsic.quantized."""

from . import dynamic as dynamic
from .batchnorm import BNReLU2d as BNReLU2d
from .batchnorm import BNReLU3d as BNReLU3d
from .conv import ConvAdd2d as ConvAdd2d
from .conv import ConvAddReLU2d as ConvAddReLU2d
from .conv import ConvReLU1d as ConvReLU1d
from .conv import ConvReLU2d as ConvReLU2d
from .conv import ConvReLU3d as ConvReLU3d
from .linear import LinearLeakyReLU as LinearLeakyReLU
from .linear import LinearReLU as LinearReLU
from .linear import LinearTanh as LinearTanh

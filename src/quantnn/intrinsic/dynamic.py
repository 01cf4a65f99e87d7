"""Fused layers on float arrays: torch.ao.nn.intrinsic.quantized.dynamic."""

from ..dynamic.linear import LinearReLU as LinearReLU

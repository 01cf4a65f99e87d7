"""The operators: torch.ops.quantized. Modules and functions call these."""

from ._binary import add as add
from ._binary import add_relu as add_relu
from ._binary import add_scalar as add_scalar
from ._binary import add_scalar_relu as add_scalar_relu
from ._binary import cat as cat
from ._binary import cat_relu as cat_relu
from ._binary import mul as mul
from ._binary import mul_relu as mul_relu
from ._binary import mul_scalar as mul_scalar
from ._binary import mul_scalar_relu as mul_scalar_relu
from ._binary import prelu as prelu
from ._conv import PackedConv as PackedConv
from ._conv import conv1d as conv1d
from ._conv import conv1d_prepack as conv1d_prepack
from ._conv import conv1d_relu as conv1d_relu
from ._conv import conv2d as conv2d
from ._conv import conv2d_prepack as conv2d_prepack
from ._conv import conv2d_relu as conv2d_relu
from ._conv import conv3d as conv3d
from ._conv import conv3d_prepack as conv3d_prepack
from ._conv import conv3d_relu as conv3d_relu
from ._conv import conv_unpack as conv_unpack
from ._conv_transpose import PackedConvTranspose as PackedConvTranspose
from ._conv_transpose import conv_transpose1d as conv_transpose1d
from ._conv_transpose import conv_transpose1d_prepack as conv_transpose1d_prepack
from ._conv_transpose import conv_transpose2d as conv_transpose2d
from ._conv_transpose import conv_transpose2d_prepack as conv_transpose2d_prepack
from ._conv_transpose import conv_transpose3d as conv_transpose3d
from ._conv_transpose import conv_transpose3d_prepack as conv_transpose3d_prepack
from ._conv_transpose import conv_transpose_unpack as conv_transpose_unpack
from ._dynamic import PackedLinearFp16 as PackedLinearFp16
from ._dynamic import conv1d_dynamic as conv1d_dynamic
from ._dynamic import conv2d_dynamic as conv2d_dynamic
from ._dynamic import conv3d_dynamic as conv3d_dynamic
from ._dynamic import conv_transpose1d_dynamic as conv_transpose1d_dynamic
from ._dynamic import conv_transpose2d_dynamic as conv_transpose2d_dynamic
from ._dynamic import conv_transpose3d_dynamic as conv_transpose3d_dynamic
from ._dynamic import linear_dynamic as linear_dynamic
from ._dynamic import linear_dynamic_fp16 as linear_dynamic_fp16
from ._dynamic import linear_dynamic_fp16_unpacked_weight as linear_dynamic_fp16_unpacked_weight
from ._dynamic import linear_prepack_fp16 as linear_prepack_fp16
from ._dynamic import linear_relu_dynamic as linear_relu_dynamic
from ._dynamic import linear_relu_dynamic_fp16 as linear_relu_dynamic_fp16
from ._dynamic import linear_unpack_fp16 as linear_unpack_fp16
from ._dynamic import linear_with_input_q_dq_qweight_dq_output_fp32 as linear_with_input_q_dq_qweight_dq_output_fp32
from ._dynamic import (
    linear_with_input_q_dq_qweight_dq_relu_output_fp32 as linear_with_input_q_dq_qweight_dq_relu_output_fp32,
)
from ._embedding import embedding_4bit as embedding_4bit
from ._embedding import embedding_bag_2bit_prepack as embedding_bag_2bit_prepack
from ._embedding import (
    embedding_bag_2bit_prepack_with_rowwise_min_max as embedding_bag_2bit_prepack_with_rowwise_min_max,
)
from ._embedding import embedding_bag_2bit_rowwise_offsets as embedding_bag_2bit_rowwise_offsets
from ._embedding import embedding_bag_2bit_unpack as embedding_bag_2bit_unpack
from ._embedding import embedding_bag_4bit as embedding_bag_4bit
from ._embedding import embedding_bag_4bit_prepack as embedding_bag_4bit_prepack
from ._embedding import (
    embedding_bag_4bit_prepack_with_rowwise_min_max as embedding_bag_4bit_prepack_with_rowwise_min_max,
)
from ._embedding import embedding_bag_4bit_rowwise_offsets as embedding_bag_4bit_rowwise_offsets
from ._embedding import embedding_bag_4bit_unpack as embedding_bag_4bit_unpack
from ._embedding import embedding_bag_byte as embedding_bag_byte
from ._embedding import embedding_bag_byte_prepack as embedding_bag_byte_prepack
from ._embedding import (
    embedding_bag_byte_prepack_with_rowwise_min_max as embedding_bag_byte_prepack_with_rowwise_min_max,
)
from ._embedding import embedding_bag_byte_rowwise_offsets as embedding_bag_byte_rowwise_offsets
from ._embedding import embedding_bag_byte_unpack as embedding_bag_byte_unpack
from ._embedding import embedding_bag_prepack as embedding_bag_prepack
from ._embedding import embedding_bag_unpack as embedding_bag_unpack
from ._embedding import embedding_byte as embedding_byte
from ._fused import conv2d_add as conv2d_add
from ._fused import conv2d_add_relu as conv2d_add_relu
from ._fused import linear_leaky_relu as linear_leaky_relu
from ._fused import linear_tanh as linear_tanh
from ._geometry import conv_dilation as conv_dilation
from ._geometry import conv_groups as conv_groups
from ._geometry import conv_output_padding as conv_output_padding
from ._geometry import conv_padding as conv_padding
from ._geometry import conv_stride as conv_stride
from ._geometry import conv_transpose as conv_transpose
from ._geometry import conv_unpack_sizes as conv_unpack_sizes
from ._linear import PackedLinear as PackedLinear
from ._linear import linear as linear
from ._linear import linear_prepack as linear_prepack
from ._linear import linear_relu as linear_relu
from ._linear import linear_unpack as linear_unpack
from ._matmul import matmul as matmul
from ._normalization import batch_norm as batch_norm
from ._normalization import batch_norm1d as batch_norm1d
from ._normalization import batch_norm1d_relu as batch_norm1d_relu
from ._normalization import batch_norm2d as batch_norm2d
from ._normalization import batch_norm2d_relu as batch_norm2d_relu
from ._normalization import batch_norm3d as batch_norm3d
from ._normalization import batch_norm3d_relu as batch_norm3d_relu
from ._normalization import batch_norm_relu as batch_norm_relu
from ._normalization import group_norm as group_norm
from ._normalization import instance_norm as instance_norm
from ._normalization import layer_norm as layer_norm
from ._out import add_out as add_out
from ._out import add_relu_out as add_relu_out
from ._out import add_scalar_out as add_scalar_out
from ._out import add_scalar_relu_out as add_scalar_relu_out
from ._out import cat_out as cat_out
from ._out import cat_relu_out as cat_relu_out
from ._out import mul_out as mul_out
from ._out import mul_relu_out as mul_relu_out
from ._out import mul_scalar_out as mul_scalar_out
from ._out import mul_scalar_relu_out as mul_scalar_relu_out
from ._pool import max_pool1d as max_pool1d
from ._pool import max_pool2d as max_pool2d
from ._pool import max_pool3d as max_pool3d
from ._rnn import CellParams as CellParams
from ._rnn import make_quantized_cell_params as make_quantized_cell_params
from ._rnn import make_quantized_cell_params_dynamic as make_quantized_cell_params_dynamic
from ._rnn import make_quantized_cell_params_fp16 as make_quantized_cell_params_fp16
from ._rnn import quantized_gru as quantized_gru
from ._rnn import quantized_gru_cell_dynamic as quantized_gru_cell_dynamic
from ._rnn import quantized_lstm as quantized_lstm
from ._rnn import quantized_lstm_cell_dynamic as quantized_lstm_cell_dynamic
from ._rnn import quantized_rnn_relu_cell_dynamic as quantized_rnn_relu_cell_dynamic
from ._rnn import quantized_rnn_tanh_cell_dynamic as quantized_rnn_tanh_cell_dynamic
from ._softmax import softmax as softmax
from ._tensor import channel_shuffle as channel_shuffle
from ._tensor import chunk as chunk
from ._tensor import flatten as flatten
from ._tensor import flip as flip
from ._tensor import index_select as index_select
from ._tensor import masked_fill as masked_fill
from ._tensor import max as max
from ._tensor import mean as mean
from ._tensor import min as min
from ._tensor import movedim as movedim
from ._tensor import narrow as narrow
from ._tensor import pad as pad
from ._tensor import permute as permute
from ._tensor import pixel_shuffle as pixel_shuffle
from ._tensor import pixel_unshuffle as pixel_unshuffle
from ._tensor import reshape as reshape
from ._tensor import select as select
from ._tensor import sort as sort
from ._tensor import split as split
from ._tensor import squeeze as squeeze
from ._tensor import stack as stack
from ._tensor import std as std
from ._tensor import topk as topk
from ._tensor import transpose as transpose
from ._tensor import unbind as unbind
from ._tensor import unflatten as unflatten
from ._tensor import unsqueeze as unsqueeze
from ._unary import celu as celu
from ._unary import clamp as clamp
from ._unary import dropout as dropout
from ._unary import elu as elu
from ._unary import hardsigmoid as hardsigmoid
from ._unary import hardswish as hardswish
from ._unary import hardtanh as hardtanh
from ._unary import leaky_relu as leaky_relu
from ._unary import relu as relu
from ._unary import relu6 as relu6
from ._unary import sigmoid as sigmoid
from ._unary import tanh as tanh
from ._unary import threshold as threshold

conv1d_unpack = conv2d_unpack = conv3d_unpack = conv_unpack
conv_transpose1d_unpack = conv_transpose2d_unpack = conv_transpose3d_unpack = conv_transpose_unpack
conv_prepack = conv2d_prepack
conv2d_unpack_sizes = conv_unpack_sizes
conv2d_stride = conv3d_stride = conv_transpose2d_stride = conv_transpose3d_stride = conv_stride
conv2d_padding = conv3d_padding = conv_transpose2d_padding = conv_transpose3d_padding = conv_padding
conv2d_output_padding = conv3d_output_padding = conv_transpose2d_output_padding = conv_transpose3d_output_padding = (
    conv_output_padding
)
conv2d_dilation = conv3d_dilation = conv_transpose2d_dilation = conv_transpose3d_dilation = conv_dilation
conv2d_groups = conv3d_groups = conv_transpose2d_groups = conv_transpose3d_groups = conv_groups
conv2d_transpose = conv3d_transpose = conv_transpose2d_transpose = conv_transpose3d_transpose = conv_transpose

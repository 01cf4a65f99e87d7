"""The networks that tests of whole models quantize with torch: those of jit_networks.py and two more, random weights.

``quantized(name, mode)`` is a network quantized in eager mode, FX graph mode or dynamically, and inputs for it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.ao.quantization as tq
from torch import nn
from torch.ao.quantization.quantize_fx import convert_fx, fuse_fx, prepare_fx

from .jit_networks import Face, FileType, MobileNetV2, ResNet18, Speaker

MODES = ("eager", "fx", "dynamic")


class MnistCnn(nn.Module):
    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.quant, self.dequant = tq.QuantStub(), tq.DeQuantStub()
        sizes = (1, width, 2 * width, 2 * width)
        for i in (1, 2, 3):
            conv = nn.Conv2d(sizes[i - 1], sizes[i], 3, stride=2 if i == 3 else 1, padding=1, bias=False)
            setattr(self, f"conv{i}", conv)
            setattr(self, f"bn{i}", nn.BatchNorm2d(sizes[i]))
            setattr(self, f"relu{i}", nn.ReLU())
        self.pool1, self.pool2 = nn.MaxPool2d(2), nn.MaxPool2d(2)
        self.drop = nn.Dropout(0.3)
        self.fc1, self.relu4 = nn.Linear(32 * width, 64), nn.ReLU()
        self.fc2 = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.quant(x)
        x = self.pool1(self.relu1(self.bn1(self.conv1(x))))
        x = self.pool2(self.relu2(self.bn2(self.conv2(x))))
        x = self.relu3(self.bn3(self.conv3(x)))
        x = torch.flatten(x, 1)
        x = self.relu4(self.fc1(self.drop(x)))
        return self.dequant(self.fc2(x))


class Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.head = heads, width // heads
        self.quant, self.dequant = tq.QuantStub(), tq.DeQuantStub()
        self.q, self.k, self.v = nn.Linear(width, width), nn.Linear(width, width), nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        self.quant_out = tq.QuantStub()

    def split(self, x: torch.Tensor) -> torch.Tensor:
        return x.reshape(x.size(0), x.size(1), self.heads, self.head).transpose(1, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (self.dequant(t) for t in (self.q(x), self.k(x), self.v(x)))
        q, k, v = self.split(q), self.split(k), self.split(v)
        scores = torch.softmax(torch.matmul(q, k.transpose(-2, -1)) * self.head**-0.5, dim=-1)
        mixed = torch.matmul(scores, v).transpose(1, 2).reshape(x.size(0), x.size(1), self.heads * self.head)
        return self.out(self.quant_out(mixed))


class Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.up, self.relu, self.down = nn.Linear(width, 4 * width), nn.ReLU(), nn.Linear(4 * width, width)
        self.add1, self.add2 = nn.quantized.FloatFunctional(), nn.quantized.FloatFunctional()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.add1.add(x, self.attention(self.ln1(x)))
        return self.add2.add(x, self.down(self.relu(self.up(self.ln2(x)))))


class Transformer(nn.Module):
    def __init__(self, width: int = 16, heads: int = 2, vocabulary: int = 50, length: int = 12) -> None:
        super().__init__()
        self.emb = nn.Embedding(vocabulary, width)
        self.pos = nn.Parameter(torch.randn(length, width))
        self.quant, self.dequant = tq.QuantStub(), tq.DeQuantStub()
        self.blocks = nn.Sequential(Block(width, heads), Block(width, heads))
        self.head = nn.Linear(width, vocabulary)

    def forward(self, t: torch.Tensor) -> torch.Tensor:
        x = self.quant(self.emb(t) + self.pos[: t.size(1)])
        return self.dequant(self.head(self.blocks(x)))


class Network(NamedTuple):
    """How a network is made and called."""

    make: Callable[[], nn.Module]
    inputs: Callable[[int], torch.Tensor]  # of a batch
    modes: tuple[str, ...] = MODES


def _images(*shape: int) -> Callable[[int], torch.Tensor]:
    return lambda n: torch.randn(n, *shape)


NETWORKS = {
    "mnist_cnn": Network(MnistCnn, _images(1, 28, 28)),
    "face_tiny": Network(Face, _images(3, 33, 31)),
    "filetype_bytes": Network(FileType, lambda n: torch.randint(0, 257, (n, 128))),
    "speaker_lstm": Network(Speaker, _images(7, 5), ("dynamic",)),
    "resnet18": Network(ResNet18, _images(3, 32, 32)),
    "mobilenet_v2": Network(MobileNetV2, _images(3, 32, 32)),
    "transformer": Network(Transformer, lambda n: torch.randint(0, 50, (n, 12))),
}


def _trained(name: str) -> nn.Module:
    """The float network, its batch norms with statistics."""
    net = NETWORKS[name].make()
    net.train()
    with torch.no_grad():
        for _ in range(2):
            net(NETWORKS[name].inputs(8))
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.uniform_(-0.3, 0.3)
    return net.eval()


def _fuse_all(net: nn.Module) -> None:
    """Fuse convolutions, batch norms, linear layers and relus that follow each other among a module's children."""
    for module in list(net.modules()):
        names = list(module._modules)
        kinds = [type(m).__name__ for m in module._modules.values()]
        at, groups = 0, []
        while at < len(names):
            for pattern in (("Conv2d", "BatchNorm2d", "ReLU"), ("Conv2d", "BatchNorm2d"), ("Linear", "ReLU")):
                if tuple(kinds[at : at + len(pattern)]) == pattern:
                    groups.append(names[at : at + len(pattern)])
                    at += len(pattern) - 1
                    break
            at += 1
        if groups:
            tq.fuse_modules(module, groups, inplace=True)


def _qconfigs(net: nn.Module) -> None:
    net.qconfig = tq.get_default_qconfig("fbgemm")
    for module in net.modules():
        if isinstance(module, nn.Embedding):
            module.qconfig = tq.float_qparams_weight_only_qconfig


def quantized(name: str, mode: str, seed: int = 0) -> tuple[nn.Module, torch.Tensor]:
    """A network quantized by torch, and a batch of inputs."""
    torch.manual_seed(seed)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        net, inputs = _trained(name), NETWORKS[name].inputs
        if mode == "dynamic":
            kinds = {nn.LSTM, nn.Linear}
            if name == "speaker_lstm":
                return tq.quantize_dynamic(net, {"lstm", "linear"}), inputs(3)
            return tq.quantize_dynamic(net, kinds), inputs(3)
        if mode == "eager":
            _fuse_all(net)
            _qconfigs(net)
            if name == "filetype_bytes":
                net.ln0.qconfig = net.ln1.qconfig = None
            tq.prepare(net, inplace=True)
            net(inputs(8))
            return tq.convert(net), inputs(3)
        net = fuse_fx(net)
        mapping = tq.get_default_qconfig_mapping("fbgemm")
        prepared = prepare_fx(net, mapping, (inputs(2),))
        prepared(inputs(8))
        return convert_fx(prepared), inputs(3)

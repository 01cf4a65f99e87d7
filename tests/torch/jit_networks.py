"""Networks whose TorchScript files the tests read: torch makes them, in eager mode, FX graph mode and dynamically."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import torch
import torch.ao.quantization as tq
import torch.nn.functional as F
from torch import nn
from torch.ao.nn.quantized import FloatFunctional
from torch.ao.quantization import quantize_fx


class Digits(nn.Module):
    """The layers of the mnist_cnn of shared models, narrower."""

    fused = (("conv1", "bn1", "relu1"), ("conv2", "bn2", "relu2"), ("fc1", "relu3"))

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.quant, self.dequant = tq.QuantStub(), tq.DeQuantStub()
        self.conv1 = nn.Conv2d(1, width, 3, padding=1, bias=False)
        self.bn1, self.relu1, self.pool1 = nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(width, width, 3, stride=2, padding=1, bias=False)
        self.bn2, self.relu2, self.drop = nn.BatchNorm2d(width), nn.ReLU(), nn.Dropout(0.3)
        self.fc1, self.relu3, self.fc2 = nn.Linear(49 * width, 8), nn.ReLU(), nn.Linear(8, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.quant(x)
        x = self.pool1(self.relu1(self.bn1(self.conv1(x))))
        x = self.relu2(self.bn2(self.conv2(x)))
        x = self.relu3(self.fc1(self.drop(torch.flatten(x, 1))))
        return self.dequant(self.fc2(x))


class Separable(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.dw = nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False)
        self.pw, self.act = nn.Conv2d(inputs, outputs, 1), nn.LeakyReLU(0.1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.pw(self.dw(x)))


class Face(nn.Module):
    """Of face_tiny: depthwise layers, leaky ReLU, pools with ceil_mode and padding, slices."""

    fused = ()

    def __init__(self) -> None:
        super().__init__()
        self.quant, self.dequant = tq.QuantStub(), tq.DeQuantStub()
        self.conv0, self.act0 = nn.Conv2d(3, 4, 3), nn.LeakyReLU(0.1)
        self.conv1, self.conv2, self.conv3 = Separable(4, 8), Separable(8, 8), nn.Conv2d(8, 5, 1)
        self.pool = nn.MaxPool2d(2, 2, ceil_mode=True)
        self.pool1 = nn.MaxPool2d(2, 1, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(self.act0(self.conv0(self.quant(x))))
        x = self.pool1(self.conv2(self.pool(self.conv1(x))))[:, :, 1:, 1:]
        return self.dequant(self.conv3(x))


class FileType(nn.Module):
    """Of filetype_bytes: quantized embedding, float norms and GELU between quantized layers."""

    fused = ()

    def __init__(self) -> None:
        super().__init__()
        self.emb, self.ln0 = nn.Embedding(257, 8), nn.LayerNorm(16, eps=1e-6)
        self.quant, self.conv, self.dequant = tq.QuantStub(), nn.Conv1d(8, 16, 5), tq.DeQuantStub()
        self.ln1 = nn.LayerNorm(16, eps=1e-6)
        self.quant1, self.fc, self.dequant1 = tq.QuantStub(), nn.Linear(16, 7), tq.DeQuantStub()

    def forward(self, t: torch.Tensor) -> torch.Tensor:
        x = F.gelu(self.emb(t), approximate="tanh").reshape(-1, 16, 8)
        x = self.ln0(x.transpose(1, 2))
        x = F.gelu(self.dequant(self.conv(self.quant(x.contiguous()))), approximate="tanh")
        return self.dequant1(self.fc(self.quant1(self.ln1(x.amax(2)))))


class Speaker(nn.Module):
    """Of speaker_lstm: a float LSTM, then dynamically quantized layers."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm0, self.lstm = nn.LSTM(5, 8, 1, batch_first=True), nn.LSTM(8, 8, 2, batch_first=True)
        self.linear, self.relu = nn.Linear(8, 8), nn.ReLU()

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        x, _ = self.lstm0(x)
        o, (h, _) = self.lstm(x)
        e = self.relu(self.linear(h[-1]))
        return e / torch.norm(e, dim=1, keepdim=True), o, h


class Residual(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1, self.relu = nn.BatchNorm2d(outputs), nn.ReLU()
        self.conv2, self.bn2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        self.add_relu = FloatFunctional()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        if self.downsample is not None:
            x = self.downsample(x)
        return self.add_relu.add_relu(y, x)


class ResNet18(nn.Module):
    def __init__(self, width: int = 2) -> None:
        super().__init__()
        self.quant, self.dequant = tq.QuantStub(), tq.DeQuantStub()
        self.conv1, self.bn1, self.relu = nn.Conv2d(3, width, 7, 2, 3, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        inputs = width
        for k in range(4):
            outputs = width << k
            blocks = Residual(inputs, outputs, 1 if k == 0 else 2), Residual(outputs, outputs, 1)
            setattr(self, f"layer{k + 1}", nn.Sequential(*blocks))
            inputs = outputs
        self.avgpool, self.fc = nn.AdaptiveAvgPool2d((1, 1)), nn.Linear(inputs, 10)

    def fused(self) -> list[tuple[str, ...]]:
        found: list[tuple[str, ...]] = [("conv1", "bn1", "relu")]
        for name, module in self.named_modules():
            if isinstance(module, Residual):
                found += [(f"{name}.conv1", f"{name}.bn1", f"{name}.relu"), (f"{name}.conv2", f"{name}.bn2")]
                if module.downsample is not None:
                    found.append((f"{name}.downsample.0", f"{name}.downsample.1"))
        return found

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(self.quant(x)))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.dequant(self.fc(torch.flatten(self.avgpool(x), 1)))


class Inverted(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int, expand: int) -> None:
        super().__init__()
        hidden = inputs * expand
        self.skips = stride == 1 and inputs == outputs
        layers: list[nn.Module] = []
        if expand != 1:
            layers += [nn.Conv2d(inputs, hidden, 1, bias=False), nn.BatchNorm2d(hidden), nn.ReLU6()]
        layers += [nn.Conv2d(hidden, hidden, 3, stride, 1, groups=hidden, bias=False), nn.BatchNorm2d(hidden)]
        layers += [nn.ReLU6(), nn.Conv2d(hidden, outputs, 1, bias=False), nn.BatchNorm2d(outputs)]
        self.conv, self.skip_add = nn.Sequential(*layers), FloatFunctional()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.skip_add.add(x, self.conv(x)) if self.skips else self.conv(x)


class MobileNetV2(nn.Module):
    rows = ((1, 2, 1, 1), (6, 3, 2, 2), (6, 4, 3, 2), (6, 6, 4, 2), (6, 8, 3, 1), (6, 10, 3, 2), (6, 20, 1, 1))

    def __init__(self) -> None:
        super().__init__()
        self.quant, self.dequant = tq.QuantStub(), tq.DeQuantStub()
        layers: list[nn.Module] = [nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1, bias=False), nn.BatchNorm2d(4), nn.ReLU6())]
        inputs = 4
        for expand, outputs, repeats, stride in self.rows:
            for k in range(repeats):
                layers.append(Inverted(inputs, outputs, stride if k == 0 else 1, expand))
                inputs = outputs
        layers.append(nn.Sequential(nn.Conv2d(inputs, 32, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU6()))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(32, 10))

    def fused(self) -> list[tuple[str, ...]]:
        return [
            (f"{name}.{i}", f"{name}.{i + 1}")
            for name, module in self.named_modules()
            if isinstance(module, nn.Sequential)
            for i, layer in enumerate(module)
            if isinstance(layer, nn.Conv2d)
        ]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.adaptive_avg_pool2d(self.features(self.quant(x)), (1, 1))
        return self.dequant(self.classifier(torch.flatten(x, 1)))


class Attention(nn.Module):
    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.o = (nn.Linear(size, size) for _ in range(4))
        self.scores, self.scaled, self.mixed = FloatFunctional(), FloatFunctional(), FloatFunctional()
        self.dequant, self.softmax, self.quant = tq.DeQuantStub(), nn.Softmax(dim=-1), tq.QuantStub()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, t, d = x.shape
        q = self.q(x).reshape(n, t, self.heads, d // self.heads).transpose(1, 2)
        k = self.k(x).reshape(n, t, self.heads, d // self.heads).transpose(1, 2)
        v = self.v(x).reshape(n, t, self.heads, d // self.heads).transpose(1, 2)
        scores = self.dequant(self.scaled.mul_scalar(self.scores.matmul(q, k.transpose(-2, -1)), 0.35))
        y = self.mixed.matmul(self.quant(self.softmax(scores)), v)
        return self.o(y.transpose(1, 2).reshape(n, t, d))


class Block(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.attention = Attention(size, 2)
        self.norm1, self.norm2 = nn.LayerNorm(size), nn.LayerNorm(size)
        self.fc1, self.relu, self.fc2 = nn.Linear(size, 2 * size), nn.ReLU(), nn.Linear(2 * size, size)
        self.add1, self.add2 = FloatFunctional(), FloatFunctional()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm1(self.add1.add(x, self.attention(x)))
        return self.norm2(self.add2.add(x, self.fc2(self.relu(self.fc1(x)))))


class Transformer(nn.Module):
    fused = ()

    def __init__(self, size: int = 16) -> None:
        super().__init__()
        self.quant, self.dequant = tq.QuantStub(), tq.DeQuantStub()
        self.embedding, self.position = nn.Embedding(50, size), nn.Parameter(torch.randn(8, size) * 0.1)
        self.block1, self.block2, self.head = Block(size), Block(size), nn.Linear(size, 10)

    def forward(self, t: torch.Tensor) -> torch.Tensor:
        x = self.quant(self.embedding(t) + self.position[: t.shape[1]])
        return self.dequant(self.head(self.block2(self.block1(x))))


class Branches(nn.Module):
    """Control flow, lists, dicts, named tuples and an exported method around two quantized layers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.ao.nn.quantized.Conv2d(2, 2, 3, padding=1)
        self.linear = torch.ao.nn.quantized.Linear(4, 4)
        self.names = {"a": 1, "b": 2}

    def forward(self, x: torch.Tensor, times: int = 2, name: str = "a") -> tuple[torch.Tensor, list[int]]:
        sizes: list[int] = []
        if x.dim() == 4:
            for i in range(times):
                x = self.conv(x)
                sizes.append(i * x.size(2))
        else:
            count = 0
            while count < times and name in self.names:
                x = self.linear(x)
                count += self.names[name]
            sizes.append(count)
        if len(sizes) > 3:
            raise ValueError(f"too many: {len(sizes)}")
        return x, sizes

    @torch.jit.export
    def twice(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(self.linear(x))


def settle(net: nn.Module) -> nn.Module:
    """Give batch norms the statistics of a trained network, more or less."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 1.5)
            module.weight.data.uniform_(0.7, 1.3)
            module.bias.data.normal_(0, 0.2)
    return net.eval()


def eager(net: Any, x: torch.Tensor) -> nn.Module:
    """Quantize in eager mode. Float norms that have no quantized inputs, softmaxes and embeddings are special."""
    net = settle(net)
    fused = net.fused() if callable(net.fused) else net.fused
    if fused:
        tq.fuse_modules(net, [list(names) for names in fused], inplace=True)
    net.qconfig = tq.get_default_qconfig("fbgemm")
    for module in net.modules():
        if isinstance(module, nn.Embedding):
            module.qconfig = tq.float_qparams_weight_only_qconfig
        elif isinstance(module, nn.Softmax) or (isinstance(module, nn.LayerNorm) and isinstance(net, FileType)):
            module.qconfig = None
    return _converted(tq.prepare(net), x, tq.convert)


def _untyped(net: Any) -> None:
    """Leave types out of a graph: torch.jit reads them, but not those of modules with postponed annotations."""
    for node in net.graph.nodes:
        node.type = None
    net.recompile()


def graph(net: nn.Module, x: torch.Tensor) -> nn.Module:
    """Quantize in FX graph mode."""
    mapping = tq.get_default_qconfig_mapping("fbgemm")
    found = _converted(quantize_fx.prepare_fx(settle(net), mapping, (x,)), x, quantize_fx.convert_fx)
    _untyped(found)
    return found


def _converted(prepared: nn.Module, x: torch.Tensor, convert: Callable[..., Any]) -> nn.Module:
    with torch.no_grad():
        prepared(x)
    found: nn.Module = convert(prepared)
    return found.eval()


def dynamic(net: nn.Module) -> nn.Module:
    """Quantize dynamically."""
    layers = dict.fromkeys(("lstm", "linear"), tq.default_dynamic_qconfig)
    return tq.quantize_dynamic(copy.deepcopy(net).eval(), layers, dtype=torch.qint8)


def networks() -> dict[str, tuple[nn.Module, torch.Tensor]]:
    """All networks and an input of each."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the end of torch's quantized tensors
        return _networks()


def _networks() -> dict[str, tuple[nn.Module, torch.Tensor]]:
    torch.manual_seed(6)
    digits, image = torch.randn(2, 1, 28, 28), torch.randn(1, 3, 32, 32)
    bytes_, words, sound = torch.randint(0, 257, (2, 128)), torch.randint(0, 50, (2, 8)), torch.randn(2, 6, 5)
    return {
        "digits": (eager(Digits(), digits), digits),
        "face": (eager(Face(), image), image),
        "filetype": (eager(FileType(), bytes_), bytes_),
        "speaker": (dynamic(Speaker()), sound),
        "resnet18": (eager(ResNet18(), image), image),
        "mobilenet_v2": (eager(MobileNetV2(), image), image),
        "transformer": (eager(Transformer(), words), words),
        "fx_digits": (graph(Digits(), digits), digits),
        "fx_resnet18": (graph(ResNet18(), image), image),
        "fx_mobilenet_v2": (graph(MobileNetV2(), image), image),
    }


def script(net: nn.Module, x: Any, way: str) -> Any:
    """A network as TorchScript: ``script``, ``trace``, and frozen."""
    inputs = x if isinstance(x, tuple) else (x,)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numbers that a trace keeps
        made = torch.jit.trace(net, inputs, check_trace=False) if "trace" in way else torch.jit.script(net)
        return torch.jit.freeze(made.eval()) if "freeze" in way else made

"""Speed beside torch, ONNX Runtime, OpenVINO and LiteRT: ``python -m benchmarks --help``."""

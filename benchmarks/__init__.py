"""Speed beside torch, ONNX Runtime and OpenVINO: ``python -m benchmarks --help``."""

"""Slow, readable NumPy forms of every operator: what the kernels must compute, bit by bit."""

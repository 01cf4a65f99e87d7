"""The demo: an int8 network that reads handwritten digits, with its weights and 200 digits of MNIST.

network.py is the network, written as a user would; show.py is what ``python -m quantnn demo`` prints;
digits.txt tells where the digits come from.
"""

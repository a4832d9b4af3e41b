"""The peers of `benchmarks/peers.py`: their environments, models and adapters, and what is reported about them."""

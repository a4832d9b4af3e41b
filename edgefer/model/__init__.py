"""The network in torch: architecture, checkpoints, and the exact rewrites for a fixed input size."""

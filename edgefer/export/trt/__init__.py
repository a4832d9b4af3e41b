"""How engines are built, for TensorRT and TensorRT-RTX alike: one room, given the module."""

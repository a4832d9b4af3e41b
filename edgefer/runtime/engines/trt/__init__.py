"""What the engines of TensorRT and TensorRT-RTX share: one room, given the module."""

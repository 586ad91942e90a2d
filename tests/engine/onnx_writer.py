"""Writes ONNX files small enough to reason about: protobuf's wire format, nothing left out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def varint(number: int) -> bytes:
    head = b""
    while number > 127:
        head, number = head + bytes([number & 127 | 128]), number >> 7
    return head + bytes([number])


def field(number: int, value: int | bytes | str) -> bytes:
    """A varint, or bytes after their length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def tensor(name: str, values: np.ndarray) -> bytes:
    """A float32 TensorProto with raw_data."""
    dims = b"".join(field(1, size) for size in values.shape)
    return dims + field(2, 1) + field(8, name) + field(9, values.astype("<f4").tobytes())


def node(operation: str, *inputs: str) -> bytes:
    return b"".join(field(1, name) for name in inputs) + field(2, "out") + field(4, operation)


def model(nodes: Sequence[bytes], tensors: Sequence[bytes]) -> bytes:
    """A ModelProto with its graph at the end, so that every cut goes through it."""
    graph = b"".join(field(1, one) for one in nodes) + b"".join(field(5, one) for one in tensors)
    return field(1, 7) + field(2, "a test") + field(7, graph)

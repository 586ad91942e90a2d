"""Reader of ONNX files: a model's nodes and float32 weights, from its bytes.

The fields' numbers are those of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto, the wire format
is https://protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

GRAPH = 7  # of ModelProto
NODE, INITIALIZER = 1, 5  # of GraphProto
INPUT, OP_TYPE = 1, 4  # of NodeProto
DIMS, DATA_TYPE, FLOAT_DATA, NAME, RAW_DATA = 1, 2, 4, 8, 9  # of TensorProto
FLOAT = 1  # of TensorProto.DataType
VARINT, DELIMITED, FIXED_BYTES = 0, 2, {1: 8, 5: 4}  # wire types


def read(data: bytes) -> tuple[list[tuple[str, list[str]]], dict[str, NDArray[np.float32]]]:
    """Return each node's operation and inputs, in graph order, and the float32 initializers by name.

    Raises:
        ValueError: the file is cut off, or not ONNX.
    """
    nodes, tensors = [], {}
    for graph in map(_parse_fields, _parse_fields(memoryview(data))[GRAPH]):
        for node in map(_parse_fields, graph[NODE]):
            nodes.append((_decode_text(node[OP_TYPE]), [_decode_text([name]) for name in node[INPUT]]))
        for tensor in map(_parse_fields, graph[INITIALIZER]):
            if _read_numbers(tensor[DATA_TYPE]) == [FLOAT]:
                shape, name = _read_numbers(tensor[DIMS]), _decode_text(tensor[NAME])
                values = np.frombuffer(b"".join(tensor[RAW_DATA] or tensor[FLOAT_DATA]), "<f4")
                if math.prod(shape) != values.size:
                    raise ValueError(f"{name} has {values.size} values for the shape {shape}")
                tensors[name] = values.reshape(shape)
    return nodes, tensors


def _parse_fields(message: memoryview) -> defaultdict[int, list[memoryview]]:
    """Split a message into its values by field number, as the bytes that encode them."""
    found, at = defaultdict[int, list[memoryview]](list), 0
    while at < len(message):
        key, at = _read_varint(message, at)
        if key & 7 == DELIMITED:
            length, at = _read_varint(message, at)
        else:
            length = (
                _read_varint(message, at)[1] - at if key & 7 == VARINT else FIXED_BYTES.get(key & 7, -1)
            )
        left = len(message) - at
        if not 0 <= length <= left:
            raise ValueError(f"cut off, or not ONNX: field {key >> 3} has {length} bytes of {left}")
        found[key >> 3].append(message[at : at + length])
        at += length
    return found


def _read_varint(message: memoryview, at: int) -> tuple[int, int]:
    """Read the number that begins at a byte; return it and the offset of its end."""
    number = 0
    for place, byte in enumerate(message[at : at + 10]):
        number |= (byte & 127) << 7 * place
        if byte < 128:
            return number, at + place + 1
    raise ValueError(f"cut off, or not ONNX: byte {at} of {len(message)} begins no number")


def _read_numbers(parts: Iterable[memoryview]) -> list[int]:
    found, at, packed = [], 0, memoryview(b"".join(parts))
    while at < len(packed):
        number, at = _read_varint(packed, at)
        found.append(number)
    return found


def _decode_text(parts: Iterable[memoryview]) -> str:
    return b"".join(parts).decode()

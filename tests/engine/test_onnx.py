"""The reader of ONNX files."""

from __future__ import annotations

import contextlib
import random
import struct

import numpy as np
import pytest

from farm.engine import onnx
from tests.engine.onnx_writer import field, model, node, tensor, varint

KERNEL = np.arange(12, dtype=np.float32).reshape(2, 3, 2, 1)
SMALL = model([node("Conv", "x", "kernel"), node("Relu", "y")], [tensor("kernel", KERNEL)])
GRAPH_AT = len(model([], [])) - 2  # byte


def test_nodes_come_in_graph_order_and_weights_by_name() -> None:
    nodes, tensors = onnx.read(SMALL)
    assert nodes == [("Conv", ["x", "kernel"]), ("Relu", ["y"])]
    assert list(tensors) == ["kernel"]
    np.testing.assert_array_equal(tensors["kernel"], KERNEL)


@pytest.mark.parametrize("dims", [field(1, 2) + field(1, 300), field(1, varint(2) + varint(300))])
@pytest.mark.parametrize("packed", [True, False])
def test_every_way_to_write_numbers_is_read(dims: bytes, packed: bool) -> None:
    values = np.linspace(-1, 1, 600, dtype=np.float32).reshape(2, 300)
    each = [struct.pack("<f", x) for x in values.flat]
    data = field(4, b"".join(each)) if packed else b"".join(varint(4 << 3 | 5) + one for one in each)
    _, tensors = onnx.read(model([], [dims + field(2, 1) + data + field(8, "w")]))
    np.testing.assert_array_equal(tensors["w"], values)


def test_other_types_and_unknown_fields_are_skipped() -> None:
    whole_numbers = field(1, 1) + field(2, 7) + field(8, "shape") + field(9, b"\1" + b"\0" * 7)
    strange = varint(99 << 3 | 1) + b"8 bytes." + varint(98 << 3 | 5) + b"four" + field(97, 2**63)
    _, tensors = onnx.read(strange + model([], [whole_numbers, tensor("kernel", KERNEL) + strange]))
    assert list(tensors) == ["kernel"]


@pytest.mark.parametrize("cut", range(GRAPH_AT + 1, len(SMALL)))
def test_a_file_cut_anywhere_in_its_graph_is_refused(cut: int) -> None:
    with pytest.raises(ValueError, match="cut off, or not ONNX"):
        onnx.read(SMALL[:cut])


def test_values_that_do_not_fill_their_shape_are_refused() -> None:
    short = field(1, 4) + field(2, 1) + field(8, "w") + field(9, b"\0" * 12)
    with pytest.raises(ValueError, match=r"w has 3 values for the shape \[4\]"):
        onnx.read(model([], [short]))


def test_noise_is_read_or_refused_but_never_worse() -> None:
    dice = random.Random(0)
    for _ in range(3000):
        data = bytearray(SMALL)
        for _ in range(dice.randint(1, 4)):
            data[dice.randrange(len(data))] = dice.randrange(256)
        with contextlib.suppress(ValueError):
            onnx.read(bytes(data))

"""The network of a student as an ONNX model, made by torch.export.

The item table is an input, so that one model serves whatever items there are. In an export's folder
it has a default, the numbers of `items.npy`, which the model refers to and does not repeat: other
programs give `sequences` and `lengths` alone.
"""

from __future__ import annotations

import copy
import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dllm2rec.errors import ConfigError
from dllm2rec.exports.files import ITEM_TABLE, LENGTHS, SEQUENCES, USERS

if TYPE_CHECKING:
    from dllm2rec.students import Student

NEEDED = ("onnx", "onnxscript", "onnxruntime")


def onnx_of_student(student: Student) -> Any:  # noqa: ANN401 - onnx has no types
    """Export a folded student's network: windows and an item table in, users out.

    Any number of rows and of items; the windows are as wide as the student's.
    """
    import torch
    import torch.nn.functional as F
    from torch import Tensor, nn

    from dllm2rec.students.window_offset import keep_real, newest_last

    class Network(nn.Module):
        """`Student.encode`, without what fixes the number of items."""

        def __init__(self, encoder: nn.Module, bridge: nn.Module | None) -> None:
            super().__init__()
            self.encoder = encoder
            self.bridge = bridge

        def forward(self, sequences: Tensor, lengths: Tensor, table: Tensor) -> Tensor:
            place = newest_last if self.encoder.reads_newest_last else keep_real
            windows = place(sequences, lengths, table.shape[0] - 1)
            users: Tensor = self.encoder(F.embedding(windows, table), lengths)
            return users if self.bridge is None else self.bridge(users)

    network = copy.deepcopy(Network(student.encoder, student.bridge)).cpu().eval()
    length, width = student.max_length, student.embedding.ids.weight.shape[1]
    # Sizes that nothing else has: those that may change are found by their names.
    example = (
        torch.zeros(3, length, dtype=torch.int64),
        torch.tensor([1, 1, length]),
        torch.zeros(length + 7, width),
    )
    rows, items = torch.export.Dim("rows"), torch.export.Dim("items")
    with _quietly():
        program = torch.onnx.export(
            network,
            example,
            dynamo=True,
            dynamic_shapes=({0: rows}, {0: rows}, {0: items}),
            input_names=[SEQUENCES, LENGTHS, ITEM_TABLE],
            output_names=[USERS],
            verbose=False,
        )
    if program is None:  # as its types allow
        raise ConfigError("torch.onnx.export gave no model, expected one; install torch anew")
    return _without_notes(program.model_proto)


def _without_notes(message: Any) -> Any:  # noqa: ANN401 - any message of a model
    """Take away what the exporter notes of its own calls: the paths of the machine's packages."""
    for field, value in message.ListFields():
        if field.name in ("metadata_props", "doc_string"):
            message.ClearField(field.name)
        elif field.message_type is not None:
            for part in value if _is_repeated(value) else [value]:
                _without_notes(part)
    return message


def _is_repeated(value: object) -> bool:
    return hasattr(value, "__len__") and not hasattr(value, "ListFields")


def with_table(model: Any, file: str, shape: tuple[int, int], offset: int) -> bytes:  # noqa: ANN401
    """A model whose item table is by default the float32 numbers that a file beside it holds.

    Args:
        model: what `onnx_of_student` or `read_model` gave; it is left as it was.
        file: the name of the file.
        shape: of the table, (N + 1, D).
        offset: where its numbers begin in the file, in bytes.
    """
    import onnx

    found = copy.deepcopy(model)
    default = onnx.TensorProto(
        name=ITEM_TABLE,
        data_type=onnx.TensorProto.FLOAT,
        dims=shape,
        data_location=onnx.TensorProto.EXTERNAL,
    )
    places = {"location": file, "offset": offset, "length": 4 * int(np.prod(shape))}
    for key, value in places.items():
        default.external_data.add(key=key, value=str(value))
    found.graph.initializer.append(default)
    serialized: bytes = found.SerializeToString()
    return serialized


def read_model(content: bytes) -> Any:  # noqa: ANN401 - onnx has no types
    """Read a model and take the default of its item table away."""
    import onnx

    model = onnx.load_from_string(content)
    kept = [one for one in model.graph.initializer if one.name != ITEM_TABLE]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    return model


def in_int8(model: Any) -> Any:  # noqa: ANN401 - onnx has no types
    """The same network with the weights of its matrix products in eight bits.

    What else a network has, such as the recurrence of GRU4Rec, stays as it is.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory(prefix="dllm2rec-") as scratch, _quietly():
        place = Path(scratch) / "model.onnx"
        quantize_dynamic(
            copy.deepcopy(model),
            place,
            op_types_to_quantize=["MatMul", "Gemm"],
            weight_type=QuantType.QInt8,
            per_channel=True,
        )
        return onnx.load(place)


@contextmanager
def _quietly() -> Iterator[None]:
    """Without what the exporters say of their own insides, on stderr and as warnings."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)

"""The network of an export, run by onnxruntime."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from dllm2rec.errors import ArtifactError
from dllm2rec.exports.files import USERS
from dllm2rec.exports.network_inputs import network_inputs
from dllm2rec.serve.encoder import FloatMatrix, ItemVectors, ListedItems, Lists, Windows, host_top_n
from dllm2rec.students.memory.pair_memory import ItemBonuses

_ERRORS_ALONE = 3


@dataclass(frozen=True, eq=False)
class OnnxEncoder:
    """A session of onnxruntime, and the items that its windows are read with.

    Attributes:
        session: may be asked by several threads at once.
        items: given to it at each call, without a copy.
        max_length: L.
        model: the file that it was read from, or its content.
    """

    session: onnxruntime.InferenceSession
    items: ItemVectors
    max_length: int
    model: Path | bytes

    @classmethod
    def of(
        cls, model: Path | bytes, items: ItemVectors, max_length: int, threads: int | None = None
    ) -> OnnxEncoder:
        """Open a model.

        Args:
            model: its file or its content.
            items: their vectors.
            max_length: L.
            threads: of one answer; None leaves it to onnxruntime.

        Raises:
            ArtifactError: onnxruntime cannot read it.
        """
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _ERRORS_ALONE
        options.inter_op_num_threads = 1
        if threads is not None:
            options.intra_op_num_threads = threads
        where = "the model" if isinstance(model, bytes) else f"{model}"
        source = model if isinstance(model, bytes) else str(model)
        try:
            session = onnxruntime.InferenceSession(
                source, options, providers=["CPUExecutionProvider"]
            )
        except Exception as err:
            reason = str(err).partition("\n")[0][:300]
            raise ArtifactError(
                f"{where}: {reason}, expected a model that onnxruntime can run; install a newer one"
            ) from err
        return cls(session, items, max_length, model)

    @property
    def place(self) -> str:
        """What a representation says of where it computes."""
        return "onnxruntime"

    def over(self, items: ItemVectors) -> OnnxEncoder:
        """The same network over other items."""
        return replace(self, items=items)

    def users(self, windows: Windows) -> FloatMatrix:
        """Encode windows, (B, D')."""
        users: FloatMatrix = self.session.run([USERS], network_inputs(windows, self.items))[0]
        return users

    def top_n(
        self,
        users: FloatMatrix,
        k: int,
        bias: npt.NDArray[np.float32] | None,
        window: tuple[ListedItems, float],
        bonuses: ItemBonuses | None,
    ) -> Lists:
        """List the best items."""
        codes = self.items.codes_for(len(users))
        return host_top_n(users, self.items.matrix, k, bias, window, bonuses, codes)

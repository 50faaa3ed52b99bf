"""The network of an export, run by OpenVINO."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino

from dllm2rec.errors import ArtifactError
from dllm2rec.exports.files import ITEM_TABLE
from dllm2rec.exports.network_inputs import network_inputs
from dllm2rec.serve.encoder import FloatMatrix, ItemVectors, ListedItems, Lists, Windows, host_top_n
from dllm2rec.students.memory.pair_memory import ItemBonuses


@dataclass(frozen=True, eq=False)
class OpenVinoEncoder:
    """A compiled model of OpenVINO, and the items that its windows are read with.

    Attributes:
        compiled: each thread asks it by a request of its own.
        items: given to it at each call, without a copy.
        max_length: L.
        model: the file that it was read from.
    """

    compiled: Any
    items: ItemVectors
    max_length: int
    model: Path
    _requests: threading.local = field(default_factory=threading.local)

    @classmethod
    def of(
        cls, model: Path, items: ItemVectors, max_length: int, threads: int | None = None
    ) -> OpenVinoEncoder:
        """Open a model; the arguments are those of `OnnxEncoder.of`.

        Raises:
            ArtifactError: OpenVINO cannot read it.
        """
        # Full precision: some processors would be given less.
        settings: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": "f32",
            "PERFORMANCE_HINT": "LATENCY",
        }
        if threads is not None:
            settings["INFERENCE_NUM_THREADS"] = threads
        try:
            core = openvino.Core()
            found = _asking_for_the_table(core.read_model(str(model)))
            compiled = core.compile_model(found, "CPU", settings)
        except RuntimeError as err:
            reason = str(err).strip().splitlines()[-1][:300]
            raise ArtifactError(
                f"{model}: {reason}, expected a model that OpenVINO can run; install a newer one"
            ) from err
        return cls(compiled, items, max_length, model)

    @property
    def place(self) -> str:
        """What a representation says of where it computes."""
        return "openvino"

    def over(self, items: ItemVectors) -> OpenVinoEncoder:
        """The same network over other items."""
        return replace(self, items=items)

    def users(self, windows: Windows) -> FloatMatrix:
        """Encode windows, (B, D')."""
        if not hasattr(self._requests, "own"):
            self._requests.own = self.compiled.create_infer_request()
        fed = network_inputs(windows, self.items)
        results = self._requests.own.infer(fed, share_inputs=True)
        users: FloatMatrix = np.array(results[0])
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


def _asking_for_the_table(model: Any) -> Any:  # noqa: ANN401 - OpenVINO's own types
    """A model whose item table is an input: OpenVINO makes a constant of an input's default."""
    tables = [op for op in model.get_ops() if op.get_friendly_name() == ITEM_TABLE]
    if tables and tables[0].get_type_name() == "Constant":
        shape = openvino.PartialShape([-1, tables[0].get_output_shape(0)[1]])
        asked = openvino.op.Parameter(openvino.Type.f32, shape)
        asked.set_friendly_name(ITEM_TABLE)
        asked.output(0).get_tensor().set_names({ITEM_TABLE})
        tables[0].output(0).replace(asked.output(0))
        model.add_parameters([asked])
    return model

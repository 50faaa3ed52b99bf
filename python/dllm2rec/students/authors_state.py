"""Weights of the authors' models, loaded into ours."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from dllm2rec.errors import ArtifactError
from dllm2rec.students.student import Student

SHARED = {
    "item_embeddings": "embedding.ids",
    "s_fc": "output",
    "fc_4096_64": "embedding.projector",
}
ENCODERS = {
    "gru4rec": {"gru": "encoder.layers.0"},
    "caser": {"horizontal_cnn": "encoder.horizontal", "vertical_cnn": "encoder.vertical"},
    "sasrec": {
        "positional_embeddings": "encoder.positions",
        "ln_1": "encoder.attention_norm",
        "ln_2": "encoder.feed_norm",
        "ln_3": "encoder.norm",
        "mh_attn.linear_q": "encoder.query",
        "mh_attn.linear_k": "encoder.key",
        "mh_attn.linear_v": "encoder.value",
        "feed_forward.w_1": "encoder.feed_in",
        "feed_forward.w_2": "encoder.feed_out",
        "feed_forward.layer_norm": "encoder.feed_out_norm",
    },
}


def load_authors_state(student: Student, arrays: Mapping[str, object]) -> None:
    """Load a state dict of the authors' code into a student of `variant="authors"`.

    Convolution weights are the same numbers as our matrices' and are reshaped. Their projector
    (`fc_4096_64`) exists whether it is used or not: a student without a teacher leaves it out.

    Args:
        student: built with the sizes of the arrays.
        arrays: parameter name of the authors -> array or tensor.

    Raises:
        ArtifactError: an array is missing, unknown, or of another size than the student's.
    """
    names = SHARED | ENCODERS[student.config.name]
    fresh = student.state_dict()
    loaded: dict[str, Tensor] = {}
    for theirs, array in arrays.items():
        ours = _our_name(theirs, names)
        if ours.startswith("embedding.projector") and student.embedding.projector is None:
            continue
        loaded[ours] = _fitting(torch.as_tensor(array), fresh, theirs, ours)
    missing = sorted(fresh.keys() - loaded.keys())
    if missing:
        raise ArtifactError(f"authors' weights: nothing for {', '.join(missing)}")
    student.load_state_dict(loaded)


def _our_name(theirs: str, names: Mapping[str, str]) -> str:
    # Names end in a dot, so that no prefix matches half a word.
    for prefix, ours in names.items():
        if theirs.startswith(prefix + "."):
            return ours + theirs.removeprefix(prefix)
    raise ArtifactError(f"authors' weights: unknown {theirs}, expected one of {', '.join(names)}")


def _fitting(array: Tensor, fresh: Mapping[str, Tensor], theirs: str, ours: str) -> Tensor:
    if ours not in fresh:
        raise ArtifactError(f"authors' weights: {theirs} has no place in this student ({ours})")
    expected = fresh[ours].shape
    if array.numel() != expected.numel() or array.shape[0] != (expected[0] if expected else 1):
        # vertical_cnn.weight is (1, 1, L, 1), ours (1, L): only the first axis and the size agree
        raise ArtifactError(
            f"authors' weights: {theirs} is {tuple(array.shape)}, expected the numbers of "
            f"{tuple(expected)}; build the student with the sizes of these weights"
        )
    return array.reshape(expected)

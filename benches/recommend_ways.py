"""How each library is asked for lists; `compare_recommend.py` measures them.

A function of a case imports one library, builds what it answers from, and returns two functions:
one makes of some rows of the users what the library takes, the other makes lists of that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

K, WIDTH, SEEN = 20, 64, 20
N_HEADS = 2  # of the one block; its inner layer is as wide as the rest


@dataclass(frozen=True)
class Case:
    """One catalogue: items (N, D), users (B, D), what these have seen, (B, SEEN); and threads."""

    folder: Path
    items: np.ndarray
    users: np.ndarray
    seen: np.ndarray
    threads: int

    @classmethod
    def of(cls, folder: Path, threads: int) -> Case:
        """Read what `write_case` wrote."""
        names = "items", "users", "seen"
        return cls(folder, *(np.load(folder / f"{name}.npy") for name in names), threads)


# Some rows of the users, as a library takes them; and from these to their lists.
Way = tuple[Callable[[np.ndarray], Any], Callable[[Any], Any]]


# -- From vectors ---------------------------------------------------------------------------------


def dllm2rec_of_vectors(case: Case) -> Way:
    """What `recommend` calls with the vectors of its student."""
    from dllm2rec import set_threads
    from dllm2rec.serve.encoder import ItemVectors, host_top_n

    set_threads(case.threads)
    table = np.concatenate([case.items, np.zeros((1, WIDTH), np.float32)])
    vectors = ItemVectors(table, None, None)

    def prepare(rows: np.ndarray) -> Any:
        offsets = np.arange(len(rows) + 1, dtype=np.int64) * SEEN
        return case.users[rows], (offsets, case.seen[rows].ravel().astype(np.uint32))

    def answer(asked: Any) -> Any:
        users, seen = asked
        codes = vectors.codes_for(len(users))
        return host_top_n(users, vectors.matrix, K, None, (seen, -np.inf), None, codes)[0]

    return prepare, answer


def implicit_of_vectors(case: Case) -> Way:
    from implicit.cpu.als import AlternatingLeastSquares

    model = AlternatingLeastSquares(factors=WIDTH, num_threads=case.threads)
    model.user_factors, model.item_factors = case.users, case.items

    def answer(asked: Any) -> Any:
        return model.recommend(*asked, N=K, filter_already_liked_items=True)[0]

    return lambda rows: (rows, seen_matrix(case, rows)), answer


def rectools_of_vectors(case: Case) -> Way:
    from rectools.models.rank import Distance, ImplicitRanker

    ranker = ImplicitRanker(Distance.DOT, case.users, case.items, num_threads=case.threads)

    def answer(asked: Any) -> Any:
        rows, seen = asked
        return np.reshape(ranker.rank(rows, k=K, filter_pairs_csr=seen)[1], (len(rows), K))

    return lambda rows: (rows, seen_matrix(case, rows)), answer


def recbole_of_vectors(case: Case) -> Way:
    """Its matrix factorisation with these vectors, asked by its `full_sort_topk`; 0 is padding."""
    torch = torch_with(case.threads)
    give_back_names_of_numpy()
    from recbole.model.general_recommender import BPR
    from recbole.utils.case_study import full_sort_topk

    data = RecBoleData({"user_id": len(case.users) + 1, "item_id": len(case.items) + 1})
    model = BPR(RECBOLE, data)
    with torch.no_grad():
        model.user_embedding.weight[1:] = torch.from_numpy(case.users)
        model.item_embedding.weight[1:] = torch.from_numpy(case.items)
    histories = np.empty(len(case.users) + 1, object)
    histories[1:] = list(torch.from_numpy(case.seen + 1))
    asked_of = SimpleNamespace(dataset=data, is_sequential=False, uid2history_item=histories)

    def answer(users: Any) -> Any:
        return full_sort_topk(users, model, asked_of, K)[1] - 1

    return lambda rows: rows + 1, answer


def replay_of_vectors(case: Case) -> Way:
    """The head of its models, its filter of seen items, and topk, as its callbacks call them."""
    torch = torch_with(case.threads)
    from replay.nn.head import EmbeddingTyingHead
    from replay.nn.lightning.postprocessor import SeenItemsFilter

    head, keep_new = EmbeddingTyingHead(), SeenItemsFilter(len(case.items))
    items, users, seen = (torch.from_numpy(one) for one in (case.items, case.users, case.seen))

    @torch.inference_mode()
    def answer(asked: Any) -> Any:
        scores = keep_new.on_prediction(asked, head(asked["users"], items))
        return torch.topk(scores, k=K, dim=1)[1]

    return lambda rows: {"users": users[rows], "seen_ids": seen[rows]}, answer


# -- From histories -------------------------------------------------------------------------------


def dllm2rec_of_histories(case: Case) -> Way:
    """An export, read again; ids are texts."""
    from dllm2rec import load_export, set_threads

    set_threads(case.threads)
    model = load_export(case.folder / "export", threads=1)  # as a server does: a window is little

    def answer(histories: Any) -> Any:
        return model.recommend(histories, K).items

    return lambda rows: [[f"item-{item}" for item in case.seen[row]] for row in rows], answer


def recbole_of_histories(case: Case) -> Way:
    """Its SASRec, asked by its `full_sort_topk`."""
    torch = torch_with(case.threads)
    give_back_names_of_numpy()
    from recbole.data.interaction import Interaction
    from recbole.model.sequential_recommender import SASRec
    from recbole.utils.case_study import full_sort_topk

    n_users = len(case.users)
    histories = Interaction(
        {
            "user_id": torch.arange(n_users),
            "item_id_list": torch.from_numpy(case.seen + 1),
            "item_length": torch.full((n_users,), SEEN),
        }
    )
    data = RecBoleData({"user_id": n_users, "item_id": len(case.items) + 1}, histories)
    model = SASRec(RECBOLE, data)
    asked_of = SimpleNamespace(dataset=data, is_sequential=True)

    def answer(users: Any) -> Any:
        return full_sort_topk(users, model, asked_of, K)[1] - 1

    return lambda rows: rows, answer


def replay_of_histories(case: Case) -> Way:
    """Its SasRec compiled by OpenVINO, a model for one and another for many; then as above."""
    torch = torch_with(case.threads)
    from replay.data import FeatureHint, FeatureType
    from replay.data.nn import TensorFeatureInfo, TensorSchema
    from replay.models.nn.sequential import SasRec
    from replay.models.nn.sequential.compiled import SasRecCompiled
    from replay.nn.lightning.postprocessor import SeenItemsFilter

    item = TensorFeatureInfo(
        "item_id",
        FeatureType.CATEGORICAL,
        is_seq=True,
        feature_hint=FeatureHint.ITEM_ID,
        cardinality=len(case.items),
        embedding_dim=WIDTH,
    )
    model = SasRec(
        TensorSchema([item]),
        block_count=1,
        head_count=N_HEADS,
        hidden_size=WIDTH,
        max_seq_len=SEEN,
    ).eval()
    n_users = len(case.users)
    one = SasRecCompiled.compile(model, mode="one_query", num_threads=case.threads)
    many = SasRecCompiled.compile(model, mode="batch", batch_size=n_users, num_threads=case.threads)
    keep_new, seen = SeenItemsFilter(len(case.items)), torch.from_numpy(case.seen)

    def prepare(rows: np.ndarray) -> Any:
        is_real = torch.ones(len(rows), SEEN, dtype=torch.bool)
        histories = {"feature_tensor": {"item_id": seen[rows]}, "padding_mask": is_real}
        return histories | {"seen_ids": seen[rows]}

    @torch.inference_mode()
    def answer(asked: Any) -> Any:
        scores = (one if len(asked["seen_ids"]) == 1 else many).predict(asked)
        return torch.topk(keep_new.on_prediction(asked, scores), k=K, dim=1)[1]

    return prepare, answer


# -- What libraries ask for -----------------------------------------------------------------------

RECBOLE = {
    "USER_ID_FIELD": "user_id",
    "ITEM_ID_FIELD": "item_id",
    "NEG_PREFIX": "neg_",
    "LIST_SUFFIX": "_list",
    "ITEM_LIST_LENGTH_FIELD": "item_length",
    "MAX_ITEM_LIST_LENGTH": SEEN,
    "device": "cpu",
    "embedding_size": WIDTH,
    "hidden_size": WIDTH,
    "inner_size": WIDTH,
    "n_layers": 1,
    "n_heads": N_HEADS,
    "hidden_dropout_prob": 0.5,
    "attn_dropout_prob": 0.5,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "initializer_range": 0.02,
    "loss_type": "CE",
}


class RecBoleData:
    """What RecBole's models and its `full_sort_topk` ask of a data set, without its files."""

    uid_field = "user_id"

    def __init__(self, sizes: dict[str, int], inter_feat: Any = None) -> None:
        self.sizes, self.inter_feat = sizes, inter_feat
        self.item_num = sizes["item_id"]

    def num(self, field: str) -> int:
        """Ids of a field, the padding's among them."""
        return self.sizes[field]

    def join(self, interaction: Any) -> Any:
        """Nothing more is known of a user."""
        return interaction

    def __getitem__(self, index: Any) -> Any:
        """Some histories."""
        return self.inter_feat[index]


def give_back_names_of_numpy() -> None:
    """RecBole and what it imports ask for names that NumPy dropped."""
    gone = {"float": float, "int": int, "bool": bool, "object": object, "long": int}
    gone |= {"str": str, "complex": complex, "unicode": str, "float_": np.float64}
    for name, kind in gone.items():
        if name not in np.__dict__:
            setattr(np, name, kind)


def torch_with(threads: int) -> Any:
    import torch

    torch.manual_seed(0)
    torch.set_num_threads(threads)
    return torch


def seen_matrix(case: Case, rows: np.ndarray) -> Any:
    """What users have seen, (rows, N), as implicit takes it."""
    from scipy.sparse import csr_matrix

    seen = np.sort(case.seen[rows], axis=1).ravel().astype(np.int32)
    offsets = np.arange(len(rows) + 1, dtype=np.int32) * SEEN
    shape = len(rows), len(case.items)
    return csr_matrix((np.ones(len(seen), np.float32), seen, offsets), shape=shape)


VECTORS, HISTORIES = "from vectors", "from histories"
WAYS: dict[str, dict[str, Callable[[Case], Way]]] = {
    VECTORS: {
        "dllm2rec": dllm2rec_of_vectors,
        "implicit": implicit_of_vectors,
        "rectools": rectools_of_vectors,
        "recbole": recbole_of_vectors,
        "replay": replay_of_vectors,
    },
    HISTORIES: {
        "dllm2rec": dllm2rec_of_histories,
        "recbole": recbole_of_histories,
        "replay": replay_of_histories,
    },
}

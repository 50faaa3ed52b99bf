"""Freeze what other libraries say of the same lists: `python make_dialects.py LIBRARY` for each.

The libraries do not fit into one environment; each run adds its own figures to dialects.json:

    python make_dialects.py lists      the lists, which the others read; forgets all figures
    python make_dialects.py ranx       in an environment with ranx, and so on
    python make_dialects.py papers     hstu, dllm2rec and bigrec, written out from their code

Not part of the tests: `tests/evaluate/dialects` compares with the file.
"""

from __future__ import annotations

import json
import math
import sys
from importlib.metadata import version
from pathlib import Path

FILE = Path(__file__).parent / "dialects.json"
KS = (5, 10)
N_USERS, N_ITEMS, LENGTH = 60, 30, 12


def make_lists() -> dict:
    """One target a user, many, and many with lists of 1 to 12 items."""
    import numpy as np

    rng = np.random.default_rng(0)
    worlds = {}
    for name, most, short in (("one", 1, False), ("many", 14, False), ("short", 14, True)):
        lists, targets = [], []
        for _ in range(N_USERS):
            length = int(rng.integers(1, LENGTH + 1)) if short else LENGTH
            lists.append(rng.permutation(N_ITEMS)[:length].tolist())
            targets.append(rng.permutation(N_ITEMS)[: rng.integers(1, most + 1)].tolist())
        worlds[name] = {"lists": lists, "targets": targets}
    return worlds


def recbole(lists: list, targets: list) -> dict | None:
    import numpy as np
    import torch

    if min(map(len, lists)) < max(KS):
        return None  # it knows no short lists
    for name in ("float", "int", "bool", "object"):  # RecBole asks for names that NumPy dropped
        if name not in np.__dict__:
            setattr(np, name, {"float": float, "int": int, "bool": bool, "object": object}[name])
    from recbole.evaluator import metrics
    from recbole.evaluator.collector import DataStruct

    hits = [
        [int(i in t) for i in one[: max(KS)]] + [len(t)]
        for one, t in zip(lists, targets, strict=True)
    ]
    data = DataStruct()
    data.set("rec.topk", torch.tensor(hits))
    config = {"topk": list(KS), "metric_decimal_place": 12}
    names = {"hr": "Hit", "ndcg": "NDCG", "mrr": "MRR", "recall": "Recall"}
    names |= {"precision": "Precision", "map": "MAP"}
    found = {}
    for name, kind in names.items():
        values = getattr(metrics, kind)(config).calculate_metric(data)
        found |= {
            f"{name}@{k}": next(v for n, v in values.items() if n.endswith(f"@{k}")) for k in KS
        }
    return found


def rectools(lists: list, targets: list) -> dict:
    import pandas as pd
    from rectools import metrics

    reco = [(u, i, r) for u, one in enumerate(lists) for r, i in enumerate(one, 1)]
    reco = pd.DataFrame(reco, columns=["user_id", "item_id", "rank"])
    truth = [(u, i) for u, one in enumerate(targets) for i in one]
    truth = pd.DataFrame(truth, columns=["user_id", "item_id"])
    names = {"hr": "HitRate", "ndcg": "NDCG", "mrr": "MRR", "recall": "Recall"}
    names |= {"precision": "Precision", "map": "MAP"}
    return {
        f"{name}@{k}": getattr(metrics, kind)(k=k).calc(reco, truth)
        for name, kind in names.items()
        for k in KS
    }


def replay(lists: list, targets: list) -> dict:
    from replay import metrics

    reco = {u: [(i, -r) for r, i in enumerate(one)] for u, one in enumerate(lists)}
    truth = dict(enumerate(targets))
    names = {"hr": "HitRate", "ndcg": "NDCG", "mrr": "MRR", "recall": "Recall"}
    names |= {"precision": "Precision", "map": "MAP"}
    found = {}
    for name, kind in names.items():
        values = getattr(metrics, kind)(list(KS))(reco, truth)
        found |= {f"{name}@{k}": values[f"{kind}@{k}"] for k in KS}
    return found


def lenskit(lists: list, targets: list) -> dict:
    import numpy as np
    from lenskit.data import ItemList
    from lenskit.metrics import NDCG, Hit, Precision, Recall, RecipRank
    from lenskit.metrics.ranking import AveragePrecision

    names = {"hr": Hit, "ndcg": NDCG, "mrr": RecipRank, "recall": Recall}
    names |= {"precision": Precision, "map": AveragePrecision}
    pairs = [
        (ItemList(item_ids=one, ordered=True), ItemList(item_ids=wanted))
        for one, wanted in zip(lists, targets, strict=True)
    ]
    return {
        f"{name}@{k}": float(np.mean([kind(k).measure_list(*pair) for pair in pairs]))
        for name, kind in names.items()
        for k in KS
    }


def implicit(lists: list, targets: list) -> dict | None:
    import numpy as np
    from implicit.evaluation import ranking_metrics_at_k
    from scipy.sparse import csr_matrix

    if min(map(len, lists)) < max(KS):
        return None
    ids = np.array([one[: max(KS)] for one in lists], dtype=np.int32)

    class Model:
        def recommend(self, users, *args, **more):
            n = more["N"]
            return ids[users][:, :n], np.zeros((len(users), n), np.float32)

    rows = [u for u, one in enumerate(targets) for _ in one]
    columns = [i for one in targets for i in one]
    test = csr_matrix((np.ones(len(rows)), (rows, columns)), (len(lists), N_ITEMS))
    train = csr_matrix((len(lists), N_ITEMS))
    found = {}
    for k in KS:
        values = ranking_metrics_at_k(Model(), train, test, K=k, show_progress=False)
        found |= {f"{name}@{k}": float(values[name]) for name in ("precision", "map", "ndcg")}
    return found


def ranx(lists: list, targets: list) -> dict:
    from ranx import Qrels, Run, evaluate

    qrels = Qrels({str(u): {str(i): 1 for i in one} for u, one in enumerate(targets)})
    run = {str(u): {str(i): 1 / r for r, i in enumerate(one, 1)} for u, one in enumerate(lists)}
    names = {"hr": "hit_rate", "ndcg": "ndcg", "mrr": "mrr", "recall": "recall"}
    names |= {"precision": "precision", "map": "map"}
    asked = [f"{kind}@{k}" for kind in names.values() for k in KS]
    found = evaluate(qrels, Run(run), asked)
    return {f"{name}@{k}": float(found[f"{kind}@{k}"]) for name, kind in names.items() for k in KS}


def pytrec_eval(lists: list, targets: list) -> dict:
    import numpy as np
    import pytrec_eval

    qrels = {str(u): {str(i): 1 for i in one} for u, one in enumerate(targets)}
    run = {str(u): {str(i): 1 / r for r, i in enumerate(one, 1)} for u, one in enumerate(lists)}
    names = {"hr": "success", "ndcg": "ndcg_cut", "recall": "recall", "precision": "P"}
    names |= {"map": "map_cut"}
    asked = {f"{kind}.{','.join(map(str, KS))}" for kind in names.values()}
    found = pytrec_eval.RelevanceEvaluator(qrels, asked).evaluate(run).values()
    return {
        f"{name}@{k}": float(np.mean([one[f"{kind}_{k}"] for one in found]))
        for name, kind in names.items()
        for k in KS
    }


def single(lists: list, targets: list, k: int) -> list | None:
    """The rank of each user's one target, 2501 where it is not listed."""
    if max(map(len, targets)) > 1:
        return None
    return [
        one.index(wanted) + 1 if wanted in one else 2501
        for one, (wanted,) in zip(lists, targets, strict=True)
    ]


def hstu(lists: list, targets: list) -> dict | None:
    """generative-recommenders, research/data/eval.py."""
    found = {}
    for k in KS:
        ranks = single(lists, targets, k)
        if ranks is None:
            return None
        found[f"ndcg@{k}"] = sum(1 / math.log2(r + 1) for r in ranks if r <= k) / len(ranks)
        found[f"hr@{k}"] = sum(r <= k for r in ranks) / len(ranks)
        found[f"mrr@{k}"] = sum(1 / r for r in ranks) / len(ranks)
    return found


def dllm2rec(lists: list, targets: list) -> dict | None:
    """The authors' utility.py."""
    found = {}
    for k in KS:
        ranks = single(lists, targets, k)
        if ranks is None:
            return None
        found[f"hr@{k}"] = sum(r <= k for r in ranks) / len(ranks)
        found[f"ndcg@{k}"] = sum(1 / math.log2(r + 1) for r in ranks if r <= k) / len(ranks)
    return found


def bigrec(lists: list, targets: list) -> dict | None:
    """BIGRec's evaluate.py: natural logarithms over that of the first rank."""
    found = {}
    for k in KS:
        ranks = single(lists, targets, k)
        if ranks is None:
            return None
        gain = sum(1 / math.log(r + 1) for r in ranks if r <= k)
        found[f"ndcg@{k}"] = gain / len(ranks) / (1 / math.log(2))
        found[f"hr@{k}"] = sum(r <= k for r in ranks) / len(ranks)
    return found


PACKAGES = {
    "recbole": (recbole, "recbole"),
    "rectools": (rectools, "rectools"),
    "replay": (replay, "replay-rec"),
    "lenskit": (lenskit, "lenskit"),
    "implicit": (implicit, "implicit"),
    "ranx": (ranx, "ranx"),
    "pytrec_eval": (pytrec_eval, "pytrec-eval-terrier"),
}
PAPERS = {"hstu": hstu, "dllm2rec": dllm2rec, "bigrec": bigrec}


def main(name: str) -> None:
    kept = json.loads(FILE.read_text()) if FILE.exists() else {}
    if name == "lists":
        kept = {"worlds": make_lists(), "figures": {}, "versions": {}}
    made = PAPERS if name == "papers" else {name: PACKAGES[name][0]} if name in PACKAGES else {}
    for library, function in made.items():
        worlds = kept["worlds"].items()
        found = {world: function(one["lists"], one["targets"]) for world, one in worlds}
        kept["figures"][library] = {world: one for world, one in found.items() if one is not None}
        if library in PACKAGES:
            kept["versions"][library] = version(PACKAGES[library][1])
    for part in ("figures", "versions"):
        kept[part] = dict(sorted(kept[part].items()))
    FILE.write_text(json.dumps(kept, separators=(",", ":"), allow_nan=False) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])

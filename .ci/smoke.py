"""What a freshly installed wheel must do: train on the demo data and recommend, in a minute."""

from __future__ import annotations

import tempfile
from pathlib import Path

import dllm2rec

if __name__ == "__main__":
    dataset, teacher = dllm2rec.demo_world()
    config = dllm2rec.load_config(recipe="demo", overrides=["train.max_epochs=1"])
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        result = dllm2rec.train_run(config, dataset, teacher, run, students=["sasrec"])
        lists = dllm2rec.recommend(run, [dataset.catalogue.item_ids[:3]], k=5)
    assert len(lists[0]) == 5
    print(result.table("test"))

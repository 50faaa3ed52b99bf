"""Students learn what is there to learn, and nothing where there is nothing.

On the cycle world the next item is known but for the noise, so a student that works is far above
chance, and one trained on shuffled events stays there. A teacher that knows the cycle helps where
rows are few; one that knows nothing does not.
"""

from __future__ import annotations

import pytest
import torch

from dllm2rec.batches.training_data import make_student, make_training_data
from dllm2rec.config.load import changed, load_config
from dllm2rec.config.model import Config
from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.data.device_rows import device_rows
from dllm2rec.evaluate.evaluate_split import split_counts
from dllm2rec.evaluate.metrics import rank_metrics
from dllm2rec.teacher.knowledge import TeacherKnowledge
from dllm2rec.tracking.progress import Silent
from dllm2rec.train.loop import Training, fit
from tests.support.worlds import N_ITEMS, cycle_dataset, oracle_teacher, random_teacher

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
ALONE = {"ranking_weight": 0.0, "embedding_weight": 0.0}
SMALL = {"hidden_size": 16, "dropout": 0.1}
TRAIN = {"batch_size": 64, "learning_rate": 0.01, "max_epochs": 15, "patience": 15}


def hit_rate(
    config: Config, dataset: SequenceDataset, teacher: TeacherKnowledge | None, k: int = 1
) -> float:
    """HR@k on the test rows of the epoch that validation likes best."""
    torch.manual_seed(config.train.seed)
    student = make_student(config, dataset, teacher)
    best, result = -1.0, 0.0
    training = Training(student, make_training_data(config, dataset, teacher, CPU), config)
    for record in fit(training, Silent()):
        if record["ndcg@20"] > best:
            best = record["ndcg@20"]
            counts = split_counts(student, device_rows(dataset, dataset.test, CPU))
            result = rank_metrics(counts, (k,))[f"hr@{k}"]
    return result


@pytest.mark.parametrize("name", ["gru4rec", "caser", "sasrec"])
def test_a_student_learns_the_cycle(name: str) -> None:
    config = changed(
        load_config(recipe="light"),
        student={**SMALL, "name": name},
        distillation=ALONE,
        train=TRAIN,
    )
    assert hit_rate(config, cycle_dataset(), None) > 0.6


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gru4rec", "caser", "sasrec"])
def test_a_student_of_shuffled_events_stays_at_chance(name: str) -> None:
    config = changed(
        load_config(recipe="light"),
        student={**SMALL, "name": name},
        distillation=ALONE,
        train=TRAIN,
    )
    dataset = cycle_dataset(400, shuffled=True)
    chance, spread = 5 / N_ITEMS, (5 / N_ITEMS / 400) ** 0.5
    assert abs(hit_rate(config, dataset, None, k=5) - chance) < 4 * spread


@pytest.mark.parametrize(("recipe", "weight"), [("light", 0.5), ("paper", 0.7)])
def test_a_teacher_that_knows_helps_and_one_that_does_not_does_not(
    recipe: str, weight: float
) -> None:
    base = changed(
        load_config(recipe=recipe),
        student=SMALL,
        distillation={"ranking_weight": weight, "top_k": 8},
        train=TRAIN,
    )
    dataset = cycle_dataset(400, n_train_users=4)  # too few to see every step of the cycle
    alone = hit_rate(changed(base, distillation=ALONE), dataset, None, k=5)
    taught = hit_rate(base, dataset, oracle_teacher(dataset), k=5)
    misled = hit_rate(base, dataset, random_teacher(dataset), k=5)
    assert taught > alone + 0.05
    assert misled < alone + 0.02

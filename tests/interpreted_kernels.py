"""The kernels of training, run by Triton's interpreter on the CPU, against torch: for a subprocess.

    TRITON_INTERPRET=1 python -m tests.interpreted_kernels

Triton reads the variable when a kernel is declared, so no other test may have declared one before.
"""

from __future__ import annotations

import torch

from dllm2rec.config import StudentConfig
from dllm2rec.distill import catalogue, catalogue_torch, catalogue_triton
from dllm2rec.distill.terms import TermInputs, TermSpec
from dllm2rec.students import build_student, table_triton
from dllm2rec.students.fused_sasrec import encode_fused
from dllm2rec.students.windows import keep_real

B, N, L, K, D = 7, 333, 5, 5, 16


def check_terms(max_scores: int, *, with_offset: bool) -> None:
    """Lists of the student's own best items, and of any: which of them are among its best."""
    users, matrix, bias = torch.randn(B, D), torch.randn(N, D), torch.randn(N) * 0.1
    matrix[50:60] = matrix[40:50]  # ties
    lists = torch.stack([torch.randperm(N)[:K] for _ in range(B)])
    lists[:4] = (users @ matrix.T + bias).topk(8).indices[:4, [0, 3, 7, 2, 5]]
    inputs = TermInputs(
        items=torch.cat([torch.randint(N, (B, 2)), lists], 1),
        weight=torch.rand(B, K),
        kept=torch.ones(B, K),
        windows=torch.randint(N + 1, (B, L)),
        dro_slope=torch.rand(N) * 0.1,
        in_softmax=None,
        n_items=N,
    )
    spec = TermSpec("bce", 1, 0.5, 0.3, has_ranking=True, consistency=0.4, top_k=4)
    found = []
    for arithmetic in (catalogue_torch, catalogue_triton):
        catalogue._arithmetic = lambda _, it=arithmetic: it  # type: ignore[assignment]
        leaves = [x.clone().requires_grad_() for x in (users, matrix, bias)]
        offset = torch.tensor(0.3, requires_grad=True) if with_offset else None
        terms = catalogue.catalogue_terms(*leaves, offset, inputs, spec, max_scores=max_scores)
        wanted = [*leaves, *([] if offset is None else [offset])]
        found.append([terms, *torch.autograd.grad(terms.sum(), wanted)])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def check_encoder(size: int, n_heads: int) -> None:
    """Users, and all gradients, without dropout."""
    student = build_student(
        StudentConfig(hidden_size=size, n_heads=n_heads, dropout=0.0),
        n_items=N,
        max_length=L,
        teacher_embeddings=None,
        embedding_weight=0.0,
        embedding_sides="both",
        variant="paper",
    )
    for parameter in student.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    lengths = torch.arange(B) % (L + 1)
    windows = keep_real(torch.randint(0, N, (B, L)), lengths, N)
    up, both = torch.randn(B, size), torch.randn(N + 1, size)
    found = []
    for fused in (False, True):
        table = student.embedding.ids.weight.detach().clone().requires_grad_()
        if fused:
            sums = torch.zeros(N + 1, size, dtype=torch.int64)
            users, rows = encode_fused(student, table, windows, lengths, torch.tensor(3), sums)
        else:
            users, rows = student.encode(windows, lengths, table), table
        weights = student.encoder.parameters()
        loss = (users * up).sum() + (rows * both).sum()
        gradient, *rest = torch.autograd.grad(loss, [table, *weights])
        found.append([users, gradient[:N], *rest])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=2e-5)


def check_table(n_items: int, width: int, size: int) -> None:
    rows, teacher = torch.randn(n_items + 1, size), torch.randn(n_items, width)
    matrix, shift = torch.randn(size, width), torch.randn(size)
    expected = rows.clone()
    expected[:-1] += 0.3 * (teacher @ matrix.T + shift)
    got = table_triton.project(rows, teacher, matrix, shift, 0.3)
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(table_triton.row_sums(rows[None])[0], rows.sum(0))


def main() -> None:
    torch.manual_seed(0)
    catalogue_triton.BLOCK, catalogue_triton.COUNTING_BLOCK = 64, 4
    for max_scores in (1 << 28, B * 100):
        for with_offset in (False, True):
            # With one piece of a row, its few lanes cannot tell which items are among the best.
            catalogue_triton.ENOUGH_PROGRAMS = 1 if with_offset else 512
            check_terms(max_scores, with_offset=with_offset)
    for size, n_heads in ((16, 1), (32, 4)):
        check_encoder(size, n_heads)
    for shape in ((130, 50, 16), (300, 7, 64)):
        check_table(*shape)


if __name__ == "__main__":
    main()

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from dllm2rec.config.model import StudentConfig
from dllm2rec.errors import ConfigError, InputError, NonFiniteError
from dllm2rec.students import build_student
from dllm2rec.students.item_scores import score_items
from dllm2rec.students.window_offset import (
    add_window_offset_,
    in_window,
    keep_real,
    newest_last,
)

N, L, E = 23, 6, 9
NAMES = ("gru4rec", "caser", "sasrec")
# What crosses: how items are scored, and where the teacher's vectors go.
LAYOUTS = {
    "alone": ({}, None, "both"),
    "both": ({}, 1.0, "both"),
    "input": ({}, 0.7, "input"),
    "untied": ({"tied": False}, 0.7, "input"),
    "biased": ({"output_bias": True}, 0.7, "input"),
    "plain": ({"tied": False, "window_offset": False}, None, "both"),
}
everywhere = pytest.mark.parametrize("layout", LAYOUTS)
all_students = pytest.mark.parametrize("name", NAMES)


def build(name, layout="both", *, seed=0, known=None, teacher=None, **changes):
    fields, weight, sides = LAYOUTS[layout]
    fields = {"hidden_size": 8, "n_filters": 3, "init_std": 0.3} | fields | changes
    torch.manual_seed(seed)
    vectors = torch.randn(N, E) if teacher is None else teacher
    student = build_student(
        StudentConfig(name=name, **fields),
        n_items=N,
        max_length=L,
        teacher_embeddings=None if weight is None else vectors,
        embedding_weight=weight or 0.0,
        embedding_sides=sides,
        variant="default",
        known_items=known,
    )
    with torch.no_grad():  # zeros at first; a test of what they do needs them to be something
        for parameter in student.parameters():
            if not parameter.any():
                parameter.normal_()
    return student.eval()


def windows(lengths=(1, 2, 3, 4, 5, 6), seed=1):
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.tensor(lengths)
    sequences = torch.randint(N, (len(lengths), L), generator=generator)
    return keep_real(sequences, lengths, N), lengths


@everywhere
@all_students
def test_forward_is_encode_times_output_items_plus_the_offset(name, layout):
    student = build(name, layout)
    sequences, lengths = windows()
    table = student.item_table()
    users = student.encode(sequences, lengths, table)
    matrix, bias = student.output_items(table)
    expected = users @ matrix.T + (0 if bias is None else bias)
    if student.window_offset is not None:
        is_in = in_window(torch.arange(N).expand(len(lengths), N), sequences)
        expected = expected + is_in * student.window_offset
    scores = student(sequences, lengths)
    assert scores.shape == (len(lengths), N)
    assert scores.std() > 1e-3
    torch.testing.assert_close(scores, expected)


@all_students
def test_item_table_is_there_only_where_a_step_needs_all_items(name):
    given_back = {layout: build(name, layout).item_table() for layout in LAYOUTS}
    assert {layout for layout, table in given_back.items() if table is not None} == {
        "both",
        "input",
        "biased",
    }
    assert given_back["both"].shape == (N + 1, 8)


@pytest.mark.parametrize("layout", ["both", "input", "untied"])
@all_students
def test_projecting_place_by_place_equals_projecting_the_table(name, layout):
    student = build(name, layout)
    sequences, lengths = windows((0, 2, 6))
    whole = student.encode(sequences, lengths, student.embedding.table())
    torch.testing.assert_close(student.encode(sequences, lengths, None), whole)


@all_students
def test_teacher_scores_items_on_both_sides_only(name):
    one_more = torch.randn(N, E, generator=torch.Generator().manual_seed(5))
    item = 22
    sequences, lengths = windows()
    sequences = sequences.masked_fill(sequences == item, 3)
    changed = one_more.clone()
    changed[item] = torch.randn(E)
    for layout, moves in (("both", True), ("input", False), ("untied", False)):
        before = build(name, layout, teacher=one_more)(sequences, lengths)
        after = build(name, layout, teacher=changed)(sequences, lengths)
        assert (not torch.equal(before[:, item], after[:, item])) == moves
        assert torch.equal(before[:, :item], after[:, :item])


@everywhere
@all_students
def test_fold_keeps_the_scores_and_drops_the_teacher(name, layout):
    known = torch.arange(N) % 5 != 0
    student = build(name, layout, known=known)
    state = torch.get_rng_state()
    folded = student.fold()
    assert torch.equal(torch.get_rng_state(), state)
    sequences, lengths = windows((0, 1, 3, 6))
    scores = student(sequences, lengths)
    torch.testing.assert_close(folded(sequences, lengths), scores, rtol=0, atol=1e-5)
    assert folded.embedding.teacher is folded.embedding.known is folded.embedding.projector is None
    assert not any("projector" in key for key in folded.state_dict())
    assert not folded.training
    own = {tensor.data_ptr() for tensor in student.state_dict().values()}
    assert own.isdisjoint(tensor.data_ptr() for tensor in folded.state_dict().values())

    rebuilt = build_student(
        folded.config,
        n_items=N,
        max_length=L,
        teacher_embeddings=None,
        embedding_weight=0.0,
        embedding_sides="both",
        variant="default",
    ).eval()
    rebuilt.load_state_dict(folded.state_dict())
    assert torch.equal(rebuilt(sequences, lengths), folded(sequences, lengths))


@all_students
def test_state_dict_does_not_carry_the_teacher(name):
    sizes = [tensor.shape for tensor in build(name, "both").state_dict().values()]
    assert (N, E) not in sizes
    assert (8, E) in sizes  # the projector


@everywhere
@all_students
def test_scores_do_not_depend_on_what_the_padding_holds(name, layout):
    student = build(name, layout)
    sequences, lengths = windows()
    dirty = torch.where(sequences == N, torch.full_like(sequences, 7), sequences)
    assert not torch.equal(dirty, sequences)
    assert torch.equal(student(sequences, lengths), student(dirty, lengths))
    with torch.no_grad():
        student.embedding.ids.weight[N] = 50.0
    # A row without items is the only one that reads the padding's vector.
    changed = student(sequences, lengths)
    student.embedding.ids.weight.data[N] = 0
    assert torch.equal(student(sequences, lengths), changed)


@everywhere
@all_students
def test_scores_do_not_depend_on_other_rows(name, layout):
    student = build(name, layout).double()
    sequences, lengths = windows()
    scores = student(sequences, lengths)
    for row in range(len(lengths)):
        alone = student(sequences[row : row + 1], lengths[row : row + 1])
        assert alone.shape == (1, N)
        torch.testing.assert_close(alone[0], scores[row], rtol=1e-12, atol=1e-12)


@everywhere
@all_students
def test_rows_without_items_are_finite_and_alike(name, layout):
    student = build(name, layout)
    sequences, lengths = windows((0, 4, 0))
    scores = student(sequences, lengths)
    assert scores.isfinite().all()
    torch.testing.assert_close(scores[0], scores[2])
    one_padding = student(sequences[:1], torch.tensor([1]))
    torch.testing.assert_close(scores[:1], one_padding)  # read as a window of one padding item
    scores.sum().backward()
    assert all(p.grad.isfinite().all() for p in student.parameters() if p.grad is not None)


@all_students
def test_scores_repeat_in_eval_mode_and_vary_in_training(name):
    student = build(name)
    batch = windows()
    assert torch.equal(student(*batch), student(*batch))
    student.train()
    assert not torch.equal(student(*batch), student(*batch))


@everywhere
@all_students
def test_every_parameter_gets_a_gradient_but_the_padding(name, layout):
    student = build(name, layout, n_blocks=2 if name != "caser" else 1)
    student.train()
    sequences, lengths = windows((2, 4, 6, 6))
    student(sequences, lengths).square().sum().backward()
    for parameter_name, parameter in student.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert (parameter.grad != 0).any(), parameter_name
    assert (student.embedding.ids.weight.grad[N] == 0).all()


FIELDS = {
    "hidden_size": (NAMES, 16),
    "dropout": (NAMES, 0.2),
    "n_blocks": (("gru4rec", "sasrec"), 2),
    "n_heads": (("sasrec",), 4),
    "n_filters": (("caser",), 5),
    "filter_heights": (("caser",), (1, 5)),
    "tied": (NAMES, False),
    "output_bias": (NAMES, True),
    "window_offset": (NAMES, False),
    "init_std": (NAMES, 0.1),
    "projector": (NAMES, "mlp"),
}


def test_the_list_of_fields_is_whole():
    # test_choose_memory.py has the memory, test_baselines.py the projector.
    beside_the_student = {"name", "pair_memory", "projector"}
    assert set(FIELDS) | beside_the_student == set(StudentConfig.model_fields)


@pytest.mark.parametrize(
    ("name", "field"), [(name, field) for field, (names, _) in FIELDS.items() for name in names]
)
def test_every_config_field_changes_something(name, field):
    batch = windows()
    results = []
    for changes in ({}, {field: FIELDS[field][1]}):
        student = build(name, "input", **changes)
        student.train(field == "dropout")
        torch.manual_seed(3)
        results.append(student(*batch))
    assert not torch.equal(*results)


def test_the_three_students_differ():
    shapes = {name: frozenset(build(name).state_dict()) for name in NAMES}
    assert len(set(shapes.values())) == len(NAMES)


# The encoders


def test_gru4rec_equals_packed_sequences():
    student = build("gru4rec", n_blocks=2)
    sequences, lengths = windows()
    states = student.embedding(sequences, student.item_table())
    packed = torch.nn.utils.rnn.pack_padded_sequence(
        states, lengths, batch_first=True, enforce_sorted=False
    )
    for layer in student.encoder.layers:
        packed, last = layer(packed)
    users = student.encode(sequences, lengths, student.item_table())
    torch.testing.assert_close(users, last[0])


def test_caser_equals_convolutions():
    student = build("caser")
    sequences, lengths = windows()
    encoder = student.encoder
    image = student.embedding(newest_last(sequences, lengths, N), student.item_table())
    image = image.unsqueeze(1)  # (B, 1, L, D)
    parts = []
    for height, layer in zip(encoder.heights, encoder.horizontal, strict=True):
        kernel = layer.weight.view(-1, 1, height, 8)
        parts.append(F.conv2d(image, kernel, layer.bias).relu().squeeze(3).amax(2))
    column = encoder.vertical.weight.view(1, 1, L, 1)
    parts.append(F.conv2d(image, column, encoder.vertical.bias).relu().flatten(1))
    users = student.bridge(torch.cat(parts, dim=1))
    torch.testing.assert_close(student.encode(sequences, lengths, student.item_table()), users)


@pytest.mark.parametrize("n_blocks", [1, 3])
def test_sasrec_equals_the_full_computation(n_blocks):
    """Every place of every block, row by row on the unpadded window, with torch's attention."""
    student = build("sasrec", n_blocks=n_blocks, n_heads=2)
    sequences, lengths = windows()
    encoder = student.encoder
    table = student.item_table()
    users = student.encode(sequences, lengths, table)
    for row, length in enumerate(lengths.tolist()):
        hidden = table[sequences[row, :length]] + encoder.positions.weight[L - length :]
        for block in encoder.blocks:
            normed = block.attention_norm(hidden)
            query = block.query(normed).view(length, 2, 4).transpose(0, 1)
            key, value = block.key_value(normed).view(length, 2, 2, 4).permute(1, 2, 0, 3)
            mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
            hidden = hidden + block.output(mixed.transpose(0, 1).reshape(length, 8))
            inner = F.gelu(block.feed_in(block.feed_norm(hidden)))
            hidden = hidden + block.feed_out(inner)
        torch.testing.assert_close(users[row], encoder.norm(hidden[-1]), rtol=1e-4, atol=1e-5)


def test_sasrec_counts_positions_from_the_newest_item():
    student = build("sasrec")
    sequences, lengths = windows((2, 3))
    before = student(sequences, lengths)
    with torch.no_grad():
        student.encoder.positions.weight[: L - 3] += 1  # older than the third newest
    assert torch.equal(student(sequences, lengths), before)
    with torch.no_grad():
        student.encoder.positions.weight[L - 3] += torch.rand(8)
    after = student(sequences, lengths)
    assert torch.equal(after[0], before[0])
    assert not torch.equal(after[1], before[1])


# The teacher's vectors


@all_students
def test_paper_variant_scales_the_teacher_to_unit_length(name):
    vectors = torch.randn(N, E)
    batch = windows()
    scaled = build(name, teacher=vectors * torch.rand(N, 1).add(0.1) * 30)
    torch.testing.assert_close(scaled(*batch), build(name, teacher=vectors)(*batch))
    lengths = scaled.embedding.teacher.norm(dim=1)
    torch.testing.assert_close(lengths, torch.ones(N))


def test_a_vector_of_zeros_and_half_precision_are_accepted():
    vectors = torch.randn(N, E).half()
    vectors[4] = 0
    student = build("sasrec", teacher=vectors)
    assert student.embedding.teacher.dtype == torch.float32
    assert student(*windows()).isfinite().all()


@all_students
def test_embedding_weight_scales_the_teacher_and_zero_leaves_it_out(name):
    def scores(weight):
        torch.manual_seed(0)
        vectors = torch.randn(N, E)
        torch.manual_seed(1)
        student = build_student(
            StudentConfig(name=name, hidden_size=8),
            n_items=N,
            max_length=L,
            teacher_embeddings=vectors,
            embedding_weight=weight,
            embedding_sides="both",
            variant="default",
        ).eval()
        return student, student(*windows())

    assert not torch.equal(scores(0.5)[1], scores(1.0)[1])
    assert scores(0.0)[0].embedding.projector is None


@all_students
def test_unknown_items_are_known_by_their_text_alone(name):
    known = torch.ones(N, dtype=torch.bool)
    known[[3, 8]] = False
    student = build(name, known=known)
    text = student.embedding.projector(student.embedding.teacher)
    torch.testing.assert_close(student.item_table()[:N][~known], text[~known])
    student(*windows()).square().sum().backward()
    gradient = student.embedding.ids.weight.grad
    assert (gradient[:N][~known] == 0).all()
    assert (gradient[:N][known] != 0).any(1).all()


def test_the_table_is_ids_plus_weighted_projection():
    student = build("sasrec", "input")
    part = student.embedding
    expected = part.ids.weight[:N] + 0.7 * part.projector(part.teacher)
    torch.testing.assert_close(part.table()[:N], expected)
    assert (part.table()[N] == 0).all()


# What is refused


def refused(error, match, **changes):
    arguments = {
        "n_items": N,
        "max_length": L,
        "teacher_embeddings": torch.randn(N, E),
        "embedding_weight": 1.0,
        "embedding_sides": "both",
        "variant": "default",
    } | changes
    config = StudentConfig(**arguments.pop("config", {}))
    with pytest.raises(error, match=match):
        build_student(config, **arguments)


def test_build_student_refuses_what_cannot_be_meant():
    refused(ConfigError, "embedding_sides", config={"tied": False})
    refused(ConfigError, "heights", config={"name": "caser", "filter_heights": (2, 7)})
    refused(InputError, r"\(23, width\)", teacher_embeddings=torch.randn(N + 1, E))
    refused(InputError, r"\(23, width\)", teacher_embeddings=torch.randn(N))
    refused(InputError, "known_items", known_items=torch.ones(N + 1, dtype=torch.bool))
    for value in (torch.nan, torch.inf):
        vectors = torch.randn(N, E)
        vectors[17, 2] = value
        refused(NonFiniteError, r"teacher_embeddings\[17\]", teacher_embeddings=vectors)


def test_encode_refuses_windows_of_another_length():
    sequences, lengths = windows()
    with pytest.raises(InputError, match="expected \\(rows, 6\\)"):
        build("sasrec")(sequences[:, :5], lengths)


# Windows


@st.composite
def batches(draw):
    lengths = draw(st.lists(st.integers(0, L), min_size=1, max_size=5))
    rows = [draw(st.lists(st.integers(0, 4), min_size=n, max_size=n)) for n in lengths]
    sequences = torch.tensor([row + [5] * (L - len(row)) for row in rows])
    return sequences, torch.tensor(lengths)


@given(batches())
@settings(deadline=None)
def test_newest_last_moves_the_padding_to_the_left(batch):
    sequences, lengths = batch
    for row, moved, length in zip(sequences, newest_last(*batch, 5), lengths, strict=True):
        assert moved.tolist() == [5] * (L - length) + row[:length].tolist()
    assert torch.equal(keep_real(sequences, lengths, 5), sequences)


@given(batches())
@settings(deadline=None)
def test_in_window_is_membership(batch):
    sequences, _ = batch
    items = torch.arange(6).expand(len(sequences), 6)
    expected = [[item in row for item in range(6)] for row in sequences.tolist()]
    assert in_window(items, sequences).tolist() == expected


@given(batches(), st.integers(0, 99))
@settings(deadline=None)
def test_window_offset_equals_a_dense_one_hot(batch, seed):
    sequences, _ = batch
    torch.manual_seed(seed)
    scores = torch.randn(len(sequences), 5, dtype=torch.float64, requires_grad=True)
    offset = torch.randn((), dtype=torch.float64, requires_grad=True)
    one_hot = torch.zeros(len(sequences), 6, dtype=torch.float64).scatter_(1, sequences, 1.0)
    dense = scores + offset * one_hot[:, :5]
    ours = add_window_offset_(scores.clone(), sequences, offset)
    assert torch.equal(ours, dense)
    weight = torch.randn_like(dense)
    expected = torch.autograd.grad((dense * weight).sum(), (scores, offset))
    gradients = torch.autograd.grad((ours * weight).sum(), (scores, offset))
    for gradient, by_hand in zip(gradients, expected, strict=True):
        torch.testing.assert_close(gradient, by_hand)


@pytest.mark.parametrize("layout", ["both", "biased", "untied"])
def test_score_items_equals_the_full_scores(layout):
    student = build("sasrec", layout, window_offset=False)
    batch = windows()
    table = student.item_table()
    items = torch.randint(N, (6, 4))
    picked = score_items(student.encode(*batch, table), *student.output_items(table), items)
    torch.testing.assert_close(picked, student(*batch).gather(1, items))


def test_folding_does_not_touch_the_student():
    student = build("caser", "input")
    before = copy.deepcopy(student.state_dict())
    student.fold()
    assert before.keys() == student.state_dict().keys()
    assert all(torch.equal(before[key], value) for key, value in student.state_dict().items())

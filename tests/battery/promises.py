"""The promises of reliability, and which tests show each.

    python -m tests.battery.promises

prints the files of these tests, for pytest.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Promise:
    """One sentence that users may rely on.

    Attributes:
        name: `P1` to `P30`.
        says: the sentence.
        tests: files or functions below `tests/`, as pytest names them; their outcomes are its
            figure.
        lacks: what of the promise no test shows; empty where that is nothing.
    """

    name: str
    says: str
    tests: tuple[str, ...]
    lacks: str = ""


CORPUS = "corpus/test_corpus.py"
CALLS = "runtime/test_kernel_calls.py"
RESUME = "train/test_resume_run.py"
FOLDER = "storage/test_atomic_folder.py"

PROMISES = (
    Promise(
        "P1",
        "No input makes a reader crash, panic or hang.",
        (
            "battery/test_fuzz.py",
            "battery/test_readers.py::test_a_mutated_file_is_read_or_refused",
            "battery/test_readers.py::test_control_a_plain_reader_takes_what_ours_refuses",
            "battery/test_structures.py",
            CORPUS,
            "runs/test_mutations.py",
            "data/text/test_files.py",
            "data/text/test_parquet_footer.py",
        ),
    ),
    Promise(
        "P2",
        "A panic in a kernel is a Python exception, and the next call works.",
        (
            f"{CALLS}::test_a_panic_becomes_an_exception_and_the_next_call_works",
            "test_packaging.py::test_a_panic_unwinds_and_overflow_is_checked_in_release",
        ),
    ),
    Promise("P3", "Each of 249 kinds of bad or odd input has exactly its outcome.", (CORPUS,)),
    Promise(
        "P4",
        "Loading a file of others never runs code.",
        (
            CORPUS,
            "test_packaging.py::test_no_source_does_what_is_forbidden",
            "test_packaging.py::test_the_search_sees_what_is_forbidden",
            "data/formats/test_authors.py::test_code_in_a_cell_never_runs",
            "teacher/test_embedding_file.py::test_nothing_in_a_file_is_executed",
        ),
    ),
    Promise(
        "P5",
        "No field of a file makes a reader hold more memory than its bounds.",
        (
            "data/text/test_bounds.py",
            "teacher/test_text.py::test_bomb_is_refused_as_soon_as_one_row_too_many_starts",
            "teacher/test_embedding_file.py::test_npz_that_is_hostile_is_refused",
        ),
    ),
    Promise(
        "P6",
        "A training killed at any moment goes on to the bits of one that was not.",
        (
            "battery/test_kills.py::test_a_training_killed_at_any_moment_ends_with_the_same_bits",
            f"{RESUME}::test_a_killed_run_goes_on_to_the_same_bits",
            f"{RESUME}::test_nothing_in_the_state_could_be_left_out",
        ),
    ),
    Promise(
        "P7",
        "What is seen at its place is whole: files are synced, then named.",
        (
            "battery/test_kills.py::test_a_save_killed_at_any_moment_leaves_a_whole_state",
            "battery/test_kills.py::test_a_command_killed_at_any_moment_leaves_all_or_nothing",
            "battery/test_kills.py::test_control_plain_writing_leaves_parts",
            "battery/test_kills.py::test_control_torch_save_in_place_leaves_parts",
            f"{RESUME}::test_a_kill_while_saving_leaves_a_whole_state",
            f"{RESUME}::test_files_are_synced_before_they_are_named",
            f"{FOLDER}::test_folder_that_is_seen_is_whole_after_sigkill",
        ),
        lacks="a loss of power: that files are synced before they are named is all that is tested",
    ),
    Promise(
        "P8",
        "A full disk leaves what was there before, says so, and nothing lies about.",
        (
            "battery/test_little.py::test_files_that_may_not_grow_leave_nothing",
            "battery/test_little.py::test_control_plain_writing_leaves_a_part",
            "battery/test_little.py::test_control_plain_writing_does_not_see_a_broken_disk",
            "battery/test_little.py::test_a_full_disk_leaves_nothing",
            "battery/test_little.py::test_a_broken_disk_leaves_nothing",
            f"{RESUME}::test_a_full_disk_leaves_the_state_before",
            f"{RESUME}::test_room_is_asked_for_before_a_save",
            f"{FOLDER}::test_full_disk_leaves_nothing_and_says_so",
        ),
    ),
    Promise(
        "P9",
        "A file with one flipped bit is refused, never served.",
        (
            "battery/test_bits.py",
            "runs/test_every_bit.py",
            f"{RESUME}::test_a_flipped_bit_anywhere_is_refused_and_the_older_state_named",
            f"{RESUME}::test_a_state_that_is_cut_off_anywhere_is_refused",
            f"{FOLDER}::test_every_flipped_bit_is_refused",
        ),
    ),
    Promise(
        "P10",
        "SIGTERM and Ctrl-C end any command with their code, a training after it has saved.",
        (
            "battery/test_signals.py",
            f"{RESUME}::test_a_run_that_is_asked_to_stop_saves_and_says_so",
            f"{RESUME}::test_handlers_are_as_before",
            "runtime/test_ending.py",
        ),
    ),
    Promise(
        "P11",
        "Ctrl-C inside a kernel is answered within 200 ms.",
        (
            f"{CALLS}::test_ctrl_c_is_answered_within_200_ms",
            f"{CALLS}::test_ctrl_c_is_answered_within_200_ms_where_only_size_makes_it_long",
        ),
        lacks="every one of many tries: other work on the machine may delay any of them",
    ),
    Promise(
        "P12",
        "Kernels release the GIL.",
        (f"{CALLS}::test_another_thread_runs_while_a_kernel_does",),
        lacks="how much faster two threads are; `dllm2rec bench` measures kernels",
    ),
    Promise(
        "P13",
        "Kernels may be called from many threads at once.",
        (
            "battery/test_calls.py::test_calls_from_many_threads_give_what_one_gives",
            "battery/test_calls.py::test_control_threads_that_share_a_buffer_are_seen",
            f"{CALLS}::test_kernels_may_be_called_from_many_threads_at_once",
            "serve/test_recommender.py::test_threads_share_a_model",
        ),
        lacks="a Python without a GIL",
    ),
    Promise(
        "P14",
        "Kernels work in a process forked after they were used.",
        (
            "battery/test_calls.py::test_a_call_in_a_forked_process",
            "battery/test_calls.py::test_control_a_lock_that_a_thread_held_hangs_a_fork",
            f"{CALLS}::test_kernels_work_in_a_forked_child_after_parallel_use",
        ),
    ),
    Promise(
        "P15",
        "The same input gives the same bits on any number of threads, in batches of any size.",
        (
            "distill/test_weights.py::test_weights_give_the_same_bits_for_any_number_of_threads",
            "batches/test_negative_sampler.py::test_sample_negatives_gives_the_same_bits_for_any_number_of_threads",
            "evaluate/test_ranking.py::test_any_number_of_threads_gives_the_same",
            "evaluate/test_fused_scoring.py::test_any_number_of_threads_gives_the_same_bits",
            "evaluate/test_fused_scoring.py::test_scores_do_not_depend_on_the_batch_of_users_or_the_catalogue_around_an_item",
            "evaluate/test_baselines.py::test_tiles_do_not_change_the_counts",
            "serve/test_recommend.py::test_lists_do_not_depend_on_the_blocks",
        ),
    ),
    Promise(
        "P16",
        "A loss that is not finite stops a training before the update and names the rows.",
        (
            "train/test_loop.py::test_a_nan_in_the_weights_stops_before_the_update_and_names_the_rows",
            "train/test_loop.py::test_only_the_rows_at_fault_are_named",
            "train/test_loop.py::test_a_huge_learning_rate_ends_in_a_message_with_finite_weights",
            "train/test_loop.py::test_a_student_broken_by_the_last_update_of_an_epoch_is_told_with_its_place",
            "train/test_loop.py::test_weights_that_are_not_finite_are_never_saved_as_a_state",
        ),
    ),
    Promise(
        "P17",
        "Neither ties nor NaN make a metric better.",
        (
            "evaluate/test_metrics.py::test_metrics_are_the_mean_over_all_orders_of_ties",
            "evaluate/test_metrics.py::test_a_constant_model_scores_as_chance_does",
            "evaluate/test_many_targets.py",
            "evaluate/test_ranking.py::test_a_nan_target_cannot_pass_for_a_perfect_rank",
            "evaluate/test_ranking.py::test_nan_and_infinity_are_refused_wherever_they_stand",
            "evaluate/test_fused_scoring.py::test_scores_do_not_depend_on_the_order_of_items",
        ),
    ),
    Promise(
        "P18",
        "What is recommended is what was in the file: ids come back as they were.",
        (
            "battery/test_ids.py",
            "serve/test_histories.py::test_every_form_of_histories_gives_the_ids_of_the_log",
            "exports/test_export.py::test_unknown_items_and_new_ones_are_as_with_torch",
        ),
    ),
    Promise(
        "P19",
        "Nothing of the test rows reaches a training.",
        (
            "train/test_loop.py::test_test_rows_change_no_bit_of_the_trained_student",
            "train/test_loop.py::test_validation_rows_change_what_is_selected_by_but_not_the_weights",
        ),
    ),
    Promise(
        "P20",
        "Evaluating and reading keep to bounds of memory.",
        (
            "teacher/test_text.py::test_memory_is_the_result_and_64_mb",
            "evaluate/test_fused_scoring.py::test_no_users_by_items_matrix_is_ever_held",
            "data/text/test_bounds.py",
        ),
        lacks="a file of 10 GB",
    ),
    Promise(
        "P21",
        "Too little memory is a message, not a dead process.",
        (
            "battery/test_little.py::test_little_memory_is_a_message",
            "battery/test_little.py::test_control_a_plain_read_dies",
            "runtime/test_kernel_memory.py",
            "teacher/test_text.py::test_file_that_needs_more_memory_than_there_is_says_so",
        ),
        lacks="OpenMP, which ends a process with a line and exit 1 where its thread cannot start",
    ),
    Promise(
        "P22",
        "A file that changes while it is read is refused.",
        (
            "battery/test_readers.py::test_a_file_cut_at_any_moment_is_read_whole_or_refused",
            "battery/test_readers.py::test_control_a_mapped_file_that_is_cut_ends_the_process",
            "data/text/test_at_rest.py",
        ),
    ),
    Promise(
        "P23",
        "No depth of brackets overflows the stack.",
        (
            "data/logs/test_titles.py::test_nested_json_does_not_overflow",
            "runs/test_mutations.py::test_what_is_no_file_of_ours_is_no_bug",
            CORPUS,
        ),
    ),
    Promise(
        "P24",
        "What is written reads back as it was.",
        (
            "data/formats/test_log_round_trip.py",
            "data/formats/test_write_windows.py",
            "teacher/test_folder.py::test_saved_teacher_is_loaded_bit_for_bit",
            "runs/test_checkpoint.py::test_a_loaded_student_scores_as_the_saved_one",
            "config/test_config.py::test_written_configuration_reads_back_equal_whatever_the_recipe",
        ),
    ),
    Promise(
        "P25",
        "Each kernel gives what its slow twin gives.",
        (
            "evaluate/test_ranking.py",
            "evaluate/test_fused_scoring.py",
            "distill/test_weights.py",
            "batches/test_negative_sampler.py",
            "data/logs/test_log_kernels.py",
            "teacher/test_text.py::test_items_equal_the_slow_twin",
            "teacher/test_text.py::test_distances_equal_the_slow_twin",
        ),
    ),
    Promise(
        "P26",
        "Calls leak no memory, refused ones neither.",
        (
            "battery/test_calls.py::test_calls_leak_nothing",
            "battery/test_calls.py::test_control_a_leak_is_seen",
            "teacher/test_text.py::test_refusals_leak_nothing",
        ),
    ),
    Promise("P27", "What older versions wrote still loads.", ("artefacts/test_artefacts.py",)),
    Promise(
        "P28",
        "Two trainings cannot write to one folder, and a killed one does not keep it.",
        (
            "battery/test_kills.py::test_a_lock_of_a_killed_process_is_taken_over",
            "battery/test_kills.py::test_control_a_plain_lock_file_stays",
            f"{RESUME}::test_two_processes_cannot_write_to_one_folder",
        ),
    ),
    Promise(
        "P29",
        "No request ends the server.",
        (
            "server/test_fuzz.py",
            "server/test_refusals.py",
            "server/test_process.py::test_no_request_is_dropped_while_exports_are_read_again",
        ),
    ),
    Promise(
        "P30",
        "No message invites danger: a file of another kind is called what it is.",
        (CORPUS, "teacher/test_embedding_file.py::test_refused_files_are_named_for_what_they_are"),
    ),
)


def shown_by(node: str) -> list[str]:
    """The promises that a test shows, by the test's name below `tests/`."""
    return [
        promise.name
        for promise in PROMISES
        if any(node == test or node.startswith((f"{test}::", f"{test}[")) for test in promise.tests)
    ]


def main() -> None:
    """Print the files of all tests."""
    files = {f"tests/{test.split('::')[0]}" for promise in PROMISES for test in promise.tests}
    sys.stdout.write("\n".join(sorted(files)) + "\n")


if __name__ == "__main__":
    main()

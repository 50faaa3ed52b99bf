"""The small sequential models, one signature."""

from dllm2rec.students.authors_state import load_authors_state as load_authors_state
from dllm2rec.students.build import build_student as build_student
from dllm2rec.students.item_scores import score_items as score_items
from dllm2rec.students.student import Student as Student
from dllm2rec.students.window_offset import add_window_offset_ as add_window_offset_
from dllm2rec.students.window_offset import in_window as in_window

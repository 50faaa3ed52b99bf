"""Bad and odd inputs, a table a subject, and the one test that gives each to what reads it."""

from pathlib import Path

import pytest

# The tables assert, too: pytest shows what it compared only where it was told of a module.
for _table in Path(__file__).parent.glob("*.py"):
    if not _table.stem.startswith(("__", "test_")):
        pytest.register_assert_rewrite(f"{__name__}.{_table.stem}")

"""The compiled kernels: C-order arrays in and out; refusals are raised from dllm2rec.errors."""

__version__: str

# --- running -------------------------------------------------------------------------------------

def set_threads(n_threads: int) -> None:
    """Set the number of threads of the kernels; results do not depend on it."""

def _panic_for_test(in_worker: bool) -> None: ...
def _sleep_for_test(seconds: float) -> None: ...

# --- teacher text --------------------------------------------------------------------------------

# --- weights -------------------------------------------------------------------------------------

# --- negatives -----------------------------------------------------------------------------------

# --- ranking -------------------------------------------------------------------------------------

//! Running a kernel: without the GIL, on our own threads, interruptible, safe after `fork`.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use dllm2rec_core::{CancelToken, Error, Result, isa};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use rayon::ThreadPool;

use crate::errors::{InternalError, ResourceError, python_error};

/// How often the waiting thread looks for Ctrl-C.
const POLL: Duration = Duration::from_millis(50);

/// Work under this many elementary steps (some 100 microseconds) is not worth waking threads for.
const SMALL: usize = 1 << 16;

/// Work under this many (a few microseconds) keeps the GIL: on a server, who lets it go waits for it.
const TINY: usize = 1 << 12;

struct Pool {
    process: u32,
    n_threads: usize,
    threads: Arc<ThreadPool>,
}

/// The pool of this process: a forked child inherits the memory of its parent's pool but none of
/// its threads, so it must not be used there.
static POOL: Mutex<Option<Pool>> = Mutex::new(None);

fn default_threads() -> usize {
    let asked = std::env::var("DLLM2REC_THREADS").ok().and_then(|text| text.parse().ok());
    let available = thread::available_parallelism().map_or(1, usize::from);
    asked.filter(|&n| n >= 1).map_or(available, |n: usize| n.min(available))
}

fn pool(n_threads: Option<usize>) -> PyResult<Arc<ThreadPool>> {
    let mut slot = POOL.lock().unwrap_or_else(PoisonError::into_inner);
    let process = std::process::id();
    if let Some(pool) = slot.as_ref()
        && pool.process == process
        && n_threads.is_none_or(|n| n == pool.n_threads)
    {
        return Ok(Arc::clone(&pool.threads));
    }
    let n_threads = n_threads.unwrap_or_else(default_threads);
    let threads = rayon::ThreadPoolBuilder::new()
        .num_threads(n_threads)
        .thread_name(|index| format!("dllm2rec-{index}"))
        .build()
        .map_err(|err| ResourceError::new_err(format!("no threads for the kernels: {err}")))?;
    let threads = Arc::new(threads);
    let fresh = Pool { process, n_threads, threads: Arc::clone(&threads) };
    if let Some(old) = slot.replace(fresh)
        && old.process != process
    {
        // Dropping a pool joins its threads, and this process has none of them.
        std::mem::forget(old);
    }
    Ok(threads)
}

fn panicked(cause: &(dyn Any + Send)) -> PyErr {
    let text = cause
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| cause.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    InternalError::new_err(format!("a kernel panicked, which is a bug of dllm2rec: {text}"))
}

/// Runs `kernel` without the GIL and answers Ctrl-C within some 50 ms.
///
/// `steps` is the rough number of elementary steps: small work runs on the calling thread, since
/// waking others would cost more, and so does all work where one thread is all there is. `kernel`
/// must give the same bits either way. A panic becomes an `InternalError`.
pub fn run<T: Send>(
    py: Python<'_>,
    steps: usize,
    kernel: impl FnOnce(&CancelToken) -> Result<T> + Send,
) -> PyResult<T> {
    run_with(py, steps, kernel, python_error)
}

/// [`run`], for a kernel whose error is not [`Error`].
pub fn run_with<T: Send, E: Send>(
    py: Python<'_>,
    steps: usize,
    kernel: impl FnOnce(&CancelToken) -> std::result::Result<T, E> + Send,
    convert: impl FnOnce(E) -> PyErr,
) -> PyResult<T> {
    let cancel = CancelToken::new();
    let outcome = if steps < TINY {
        catch_unwind(AssertUnwindSafe(|| kernel(&cancel)))
    } else if steps < SMALL {
        py.detach(|| catch_unwind(AssertUnwindSafe(|| kernel(&cancel))))
    } else {
        let threads = pool(None)?;
        if threads.current_num_threads() == 1 {
            work_here(py, |cancel| catch_unwind(AssertUnwindSafe(|| kernel(cancel))))?
        } else {
            wait_for(py, &cancel, &threads, || catch_unwind(AssertUnwindSafe(|| kernel(&cancel))))?
        }
    };
    outcome.map_err(|cause| panicked(cause.as_ref()))?.map_err(convert)
}

/// Works on this thread, which looks for signals in between.
///
/// A second thread would only wait for the first, and each that is woken and waits takes turns from
/// others: of a server at 1,000 requests a second, the slowest hundredth took a third longer.
fn work_here<T: Send>(py: Python<'_>, work: impl FnOnce(&CancelToken) -> T + Send) -> PyResult<T> {
    let signal = Arc::new(Mutex::new(None));
    let seen = Arc::clone(&signal);
    let cancel = CancelToken::asking(POLL, move || {
        // The method itself is not general enough over the lifetime.
        #[expect(clippy::redundant_closure_for_method_calls)]
        let Err(signal) = Python::attach(|py| py.check_signals()) else {
            return false;
        };
        *seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(signal);
        true
    });
    let found = py.detach(|| work(&cancel));
    match signal.lock().unwrap_or_else(PoisonError::into_inner).take() {
        Some(signal) => Err(signal),
        None => Ok(found),
    }
}

/// Works on a thread of the pool while this one looks for signals.
fn wait_for<T: Send>(
    py: Python<'_>,
    cancel: &CancelToken,
    threads: &ThreadPool,
    work: impl FnOnce() -> T + Send,
) -> PyResult<T> {
    py.detach(|| {
        threads.in_place_scope(|scope| {
            let (sender, receiver) = mpsc::sync_channel(1);
            scope.spawn(move |_| {
                // The receiver is there still: it waits for the value whatever comes.
                let _ = sender.send(work());
            });
            loop {
                match receiver.recv_timeout(POLL) {
                    Ok(value) => return Ok(value),
                    Err(mpsc::RecvTimeoutError::Timeout) => {
                        // The method itself is not general enough over the lifetime.
                        #[expect(clippy::redundant_closure_for_method_calls)]
                        let signals = Python::attach(|py| py.check_signals());
                        if let Err(signal) = signals {
                            cancel.cancel();
                            let _ = receiver.recv();
                            return Err(signal);
                        }
                    }
                    Err(mpsc::RecvTimeoutError::Disconnected) => {
                        return Err(InternalError::new_err("a kernel ended without a result"));
                    }
                }
            }
        })
    })
}

/// More threads than any machine has cores for are a slip of the keyboard.
const MOST_THREADS: usize = 1024;

/// Sets the number of threads of the kernels; results do not depend on it.
#[pyfunction]
fn set_threads(n_threads: usize) -> PyResult<()> {
    if !(1..=MOST_THREADS).contains(&n_threads) {
        let message = format!("n_threads = {n_threads}, expected 1 to {MOST_THREADS}");
        return Err(PyValueError::new_err(message));
    }
    pool(Some(n_threads)).map(|_| ())
}

/// The widest instructions that the kernels use: `avx512`, `avx2` or `baseline`.
#[pyfunction]
fn _instruction_set() -> &'static str {
    isa::widest()
}

/// Panics on purpose, so that a test can see a panic become an exception.
#[pyfunction]
fn _panic_for_test(py: Python<'_>, in_worker: bool) -> PyResult<()> {
    let steps = if in_worker { SMALL } else { 0 };
    run(py, steps, |_| -> Result<()> { panic!("asked to panic") })
}

/// Sleeps in slices until interrupted, so that a test can time Ctrl-C.
#[pyfunction]
fn _sleep_for_test(py: Python<'_>, seconds: f64) -> PyResult<()> {
    run(py, SMALL, |cancel| {
        let slices = (seconds / 0.01).ceil().max(0.0) as usize;
        (0..slices).try_for_each(|_| {
            thread::sleep(Duration::from_millis(10));
            cancel.check()
        })?;
        Ok::<(), Error>(())
    })
}

/// Adds this room's functions to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(set_threads, module)?)?;
    module.add_function(wrap_pyfunction!(_instruction_set, module)?)?;
    module.add_function(wrap_pyfunction!(_panic_for_test, module)?)?;
    module.add_function(wrap_pyfunction!(_sleep_for_test, module)?)
}

//! A small pool of threads for one model: hands out tasks by number, sleeps between operators.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// The function of a round, with its lifetime erased: called with `(worker, task)`.
#[derive(Clone, Copy)]
struct Job {
    function: *const (dyn Fn(usize, usize) + Sync),
    tasks: usize,
}

// SAFETY: the pointee is `Sync`, and `Pool::run` does not return before every worker has let go of it.
unsafe impl Send for Job {}

#[derive(Default)]
struct Round {
    /// Increases with every job; a worker runs each generation once.
    generation: u64,
    job: Option<Job>,
    /// Workers that have not finished the current generation.
    busy: usize,
    panicked: bool,
    stop: bool,
}

#[derive(Default)]
struct Shared {
    round: Mutex<Round>,
    started: Condvar,
    finished: Condvar,
    next_task: AtomicUsize,
}

/// `threads - 1` sleeping workers beside the caller. One thread means no worker and no synchronisation.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

impl Pool {
    /// Starts the workers; `threads` counts the caller, and 0 is taken as 1.
    ///
    /// # Errors
    /// The operating system refused a thread.
    pub(crate) fn new(threads: usize) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let mut pool = Self { shared, workers: Vec::new() };
        for worker in 1..threads {
            let shared = Arc::clone(&pool.shared);
            let thread = std::thread::Builder::new().name(format!("goldlap-cpu-{worker}"));
            pool.workers.push(thread.spawn(move || serve(&shared, worker))?);
        }
        Ok(pool)
    }

    /// Threads that share the work, the caller included.
    pub(crate) fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `function(worker, task)` for every task in `0..tasks`, each once, and waits for all. Which worker
    /// (`0..threads()`) runs a task is undefined, so results must not depend on it. A panic in a task is passed on.
    pub(crate) fn run(&self, tasks: usize, function: impl Fn(usize, usize) + Sync) {
        if self.workers.is_empty() || tasks <= 1 {
            (0..tasks).for_each(|task| function(0, task));
            return;
        }
        let function: &(dyn Fn(usize, usize) + Sync) = &function;
        // SAFETY: only the lifetime changes; `wait_for_workers` below runs before `function` goes out of scope.
        let function = unsafe {
            std::mem::transmute::<
                *const (dyn Fn(usize, usize) + Sync),
                *const (dyn Fn(usize, usize) + Sync + 'static),
            >(function)
        };
        let job = Job { function, tasks };
        self.start(job);
        let caller = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(&self.shared, 0, job)));
        let worker_panicked = self.wait_for_workers();
        if let Err(panic) = caller {
            std::panic::resume_unwind(panic);
        }
        assert!(!worker_panicked, "a worker thread of the CPU backend panicked");
    }

    fn start(&self, job: Job) {
        let mut round = lock(&self.shared.round);
        self.shared.next_task.store(0, Ordering::Relaxed);
        round.job = Some(job);
        round.generation += 1;
        round.busy = self.workers.len();
        drop(round);
        self.shared.started.notify_all();
    }

    /// Waits until no worker uses the job any more; says whether one panicked.
    fn wait_for_workers(&self) -> bool {
        let mut round = lock(&self.shared.round);
        while round.busy > 0 {
            round = self.shared.finished.wait(round).unwrap_or_else(PoisonError::into_inner);
        }
        round.job = None;
        std::mem::take(&mut round.panicked)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        lock(&self.shared.round).stop = true;
        self.shared.started.notify_all();
        for worker in self.workers.drain(..) {
            // A worker catches the panics of its tasks, so there is nothing to learn from its result.
            drop(worker.join());
        }
    }
}

fn lock(round: &Mutex<Round>) -> MutexGuard<'_, Round> {
    round.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes tasks until there are none.
fn work(shared: &Shared, worker: usize, job: Job) {
    // SAFETY: `Pool::run` keeps the function alive until all workers have finished the round.
    let function = unsafe { &*job.function };
    loop {
        let task = shared.next_task.fetch_add(1, Ordering::Relaxed);
        if task >= job.tasks {
            return;
        }
        function(worker, task);
    }
}

/// A worker's life.
fn serve(shared: &Shared, worker: usize) {
    let mut seen = 0;
    loop {
        let job = {
            let mut round = lock(&shared.round);
            while round.generation == seen && !round.stop {
                round = shared.started.wait(round).unwrap_or_else(PoisonError::into_inner);
            }
            if round.stop {
                return;
            }
            seen = round.generation;
            round.job
        };
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            if let Some(job) = job {
                work(shared, worker, job);
            }
        }));
        let mut round = lock(&shared.round);
        round.panicked |= outcome.is_err();
        round.busy -= 1;
        if round.busy == 0 {
            shared.finished.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_once_on_any_number_of_threads() {
        for threads in [0, 1, 2, 5] {
            let pool = Pool::new(threads).unwrap();
            for tasks in [0, 1, 2, 100] {
                let counts: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
                pool.run(tasks, |worker, task| {
                    assert!(worker < pool.threads());
                    counts[task].fetch_add(1, Ordering::Relaxed);
                });
                assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 1));
            }
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_survives() {
        let pool = Pool::new(3).unwrap();
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            pool.run(50, |_, task| assert!(task != 20, "task 20"));
        }));
        assert!(panicked.is_err());
        let sum = AtomicUsize::new(0);
        pool.run(10, |_, task| {
            sum.fetch_add(task, Ordering::Relaxed);
        });
        assert_eq!(sum.into_inner(), 45);
    }
}

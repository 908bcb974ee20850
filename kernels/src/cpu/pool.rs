//! A small pool of threads for one model: hands out tasks by number. Between operators its threads look for work for some
//! microseconds (a forward pass is hundreds of operators, and waking a sleeper takes longer than many of them), then sleep.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// Looks before a thread sleeps: some 20 microseconds.
const PATIENCE: u32 = 1000;

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
    job: Option<Job>,
    /// Workers that wait for `started`.
    sleeping: usize,
    panicked: bool,
    stop: bool,
}

#[derive(Default)]
struct Shared {
    round: Mutex<Round>,
    /// Increases with every job, and at the end; a worker runs each generation once. Changed under the lock.
    generation: AtomicU64,
    /// Workers that have not finished the current generation. Changed under the lock.
    busy: AtomicUsize,
    /// Looks at shared state before a thread sleeps; 0 where threads would take the core from each other.
    patience: u32,
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
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let shared =
            Arc::new(Shared { patience: if threads <= cores { PATIENCE } else { 0 }, ..Shared::default() });
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
        self.shared.busy.store(self.workers.len(), Ordering::Relaxed);
        self.shared.generation.fetch_add(1, Ordering::Release);
        let wake = round.sleeping > 0;
        drop(round);
        if wake {
            self.shared.started.notify_all();
        }
    }

    /// Waits until no worker uses the job any more; says whether one panicked.
    fn wait_for_workers(&self) -> bool {
        let busy = || self.shared.busy.load(Ordering::Acquire) > 0;
        self.shared.look(busy);
        let mut round = lock(&self.shared.round);
        while busy() {
            round = self.shared.finished.wait(round).unwrap_or_else(PoisonError::into_inner);
        }
        round.job = None;
        std::mem::take(&mut round.panicked)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let mut round = lock(&self.shared.round);
        round.stop = true;
        self.shared.generation.fetch_add(1, Ordering::Release);
        drop(round);
        self.shared.started.notify_all();
        for worker in self.workers.drain(..) {
            // A worker catches the panics of its tasks, so there is nothing to learn from its result.
            drop(worker.join());
        }
    }
}

impl Shared {
    /// Spins while `waiting`, but not for long.
    fn look(&self, waiting: impl Fn() -> bool) {
        for _ in 0..self.patience {
            if !waiting() {
                return;
            }
            std::hint::spin_loop();
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
        let waiting = || shared.generation.load(Ordering::Acquire) == seen;
        shared.look(waiting);
        let job = {
            let mut round = lock(&shared.round);
            round.sleeping += 1;
            while waiting() {
                round = shared.started.wait(round).unwrap_or_else(PoisonError::into_inner);
            }
            round.sleeping -= 1;
            if round.stop {
                return;
            }
            seen = shared.generation.load(Ordering::Acquire);
            round.job
        };
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            if let Some(job) = job {
                work(shared, worker, job);
            }
        }));
        let mut round = lock(&shared.round);
        round.panicked |= outcome.is_err();
        if shared.busy.fetch_sub(1, Ordering::Release) == 1 {
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

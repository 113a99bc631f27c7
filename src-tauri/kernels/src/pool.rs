//! Threads that share out one job at a time and sleep between jobs.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, TryLockError};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

/// A task of a job panicked; its result is not to be used. The pool goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobPanicked;

impl std::fmt::Display for JobPanicked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a computation panicked")
    }
}

impl std::error::Error for JobPanicked {}

/// How long a thread looks out for the next job before it goes to sleep. The jobs of one token follow each other
/// within this time, and waking a thread takes longer than most of them.
const LOOK_OUT: Duration = Duration::from_micros(20);

/// A fixed number of threads, the caller's included.
///
/// Jobs of several callers do not wait for each other: who finds the pool taken works alone.
#[derive(Debug)]
pub struct Pool {
    shared: Arc<Shared>,
    sleepers: Vec<Sleeper>,
    taken: Mutex<()>,
}

#[derive(Debug)]
struct Sleeper {
    thread: Thread,
    handle: Option<JoinHandle<()>>,
    asleep: Arc<AtomicBool>,
}

/// A buffer whose rows different threads write to.
struct RowPlaces {
    width: usize,
    start: *mut f32,
}

// SAFETY: threads share the address and make slices of different rows.
unsafe impl Sync for RowPlaces {}

#[derive(Debug, Default)]
struct Shared {
    /// Number of the job, next task and number of tasks in one word: whoever claims a task by exchanging this word
    /// knows that the job is still the one he read.
    claims: AtomicU64,
    job: AtomicPtr<Job>,
    done: AtomicUsize,
    panicked: AtomicBool,
    closing: AtomicBool,
}

/// What to do, on the stack of the thread that waits for it.
struct Job {
    task: *const (dyn Fn(usize) + Sync),
}

const TASKS: u32 = 16;

impl Pool {
    /// A pool of `n_threads`, of which the caller of [`Pool::run`] is one.
    pub fn new(n_threads: usize) -> Self {
        let shared = Arc::new(Shared::default());
        let sleepers = (1..n_threads)
            .map_while(|n| {
                let asleep = Arc::new(AtomicBool::new(false));
                let (theirs, flag) = (Arc::clone(&shared), Arc::clone(&asleep));
                // Fewer threads than asked for is slower, not wrong.
                let handle = std::thread::Builder::new()
                    .name(format!("kernels-{n}"))
                    .spawn(move || theirs.work(&flag))
                    .ok()?;
                Some(Sleeper {
                    thread: handle.thread().clone(),
                    handle: Some(handle),
                    asleep,
                })
            })
            .collect();
        Self {
            shared,
            sleepers,
            taken: Mutex::new(()),
        }
    }

    pub fn n_threads(&self) -> usize {
        self.sleepers.len() + 1
    }

    /// Calls `each` with every number below `n`, a few of them to a task.
    pub fn for_each(&self, n: usize, each: impl Fn(usize) + Sync) -> Result<(), JobPanicked> {
        let per_task = n.div_ceil(8 * self.n_threads()).max(1);
        self.run(n.div_ceil(per_task), |task| {
            (task * per_task..((task + 1) * per_task).min(n)).for_each(&each);
        })
    }

    /// Calls `each` with the number of every row and that row of all buffers, which are `[n_rows, any width]`.
    pub fn for_rows<const N: usize>(
        &self,
        n_rows: usize,
        buffers: [&mut [f32]; N],
        each: impl Fn(usize, [&mut [f32]; N]) + Sync,
    ) -> Result<(), JobPanicked> {
        if n_rows == 0 {
            return Ok(());
        }
        let places = buffers.map(|buffer| {
            assert!(buffer.len().is_multiple_of(n_rows), "rows are whole");
            RowPlaces {
                width: buffer.len() / n_rows,
                start: buffer.as_mut_ptr(),
            }
        });
        let places = &places;
        self.for_each(n_rows, |row| {
            let rows = places.each_ref().map(|RowPlaces { width, start }| {
                // SAFETY: within the buffer, which is borrowed until all rows are done, and row `row` is in one task only.
                unsafe { std::slice::from_raw_parts_mut(start.add(row * width), *width) }
            });
            each(row, rows);
        })
    }

    /// Calls `task` with every number below `n_tasks`, on all threads, and returns when all are done.
    pub fn run(&self, n_tasks: usize, task: impl Fn(usize) + Sync) -> Result<(), JobPanicked> {
        assert!(n_tasks < 1 << TASKS, "tasks are counted in 16 bits");
        let taken = match self.taken.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        };
        if n_tasks < 2 || self.sleepers.is_empty() || taken.is_none() {
            let all = || (0..n_tasks).for_each(&task);
            return catch_unwind(AssertUnwindSafe(all)).map_err(|_| JobPanicked);
        }
        self.shared.publish(n_tasks, &task);
        for sleeper in &self.sleepers {
            if sleeper.asleep.load(Ordering::SeqCst) {
                sleeper.thread.unpark();
            }
        }
        while self.shared.claim_one() {}
        let mut looked = 0u32;
        while self.shared.done.load(Ordering::Acquire) < n_tasks {
            looked += 1;
            // A thread that was put aside by the system cannot finish while this one keeps the core.
            if looked.is_multiple_of(4096) {
                std::thread::yield_now();
            }
            std::hint::spin_loop();
        }
        match self.shared.panicked.swap(false, Ordering::Relaxed) {
            true => Err(JobPanicked),
            false => Ok(()),
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::SeqCst);
        for sleeper in &mut self.sleepers {
            sleeper.thread.unpark();
            if let Some(handle) = sleeper.handle.take() {
                let _ = handle.join();
            }
        }
    }
}

impl Shared {
    /// Offers a job. The caller returns only after all of its tasks are done.
    fn publish<'a>(&self, n_tasks: usize, task: &'a (dyn Fn(usize) + Sync + 'a)) {
        // SAFETY: only the lifetime changes. `run` keeps `task` alive until every task is done, and a task is called
        // only by a thread that has claimed it and not yet counted it as done.
        let task: *const (dyn Fn(usize) + Sync) = unsafe {
            std::mem::transmute::<
                *const (dyn Fn(usize) + Sync + 'a),
                *const (dyn Fn(usize) + Sync + 'static),
            >(task)
        };
        // Boxes are kept until the next job, because a late thread may still look at the pointer (not through it).
        let old = self
            .job
            .swap(Box::into_raw(Box::new(Job { task })), Ordering::AcqRel);
        if !old.is_null() {
            // SAFETY: it came from `Box::into_raw` above. A thread reads through it only after it has claimed a task
            // of that job, and all of those are done.
            drop(unsafe { Box::from_raw(old) });
        }
        self.done.store(0, Ordering::Relaxed);
        let job = (self.claims.load(Ordering::Relaxed) >> (2 * TASKS)) + 1;
        let word = job << (2 * TASKS) | n_tasks as u64;
        self.claims.store(word, Ordering::SeqCst);
    }

    /// Does one task, if there is one left.
    fn claim_one(&self) -> bool {
        let word = self.claims.load(Ordering::SeqCst);
        let (next, n_tasks) = (word >> TASKS & 0xffff, word & 0xffff);
        if next >= n_tasks {
            return false;
        }
        let job = self.job.load(Ordering::Acquire);
        let claimed = word + (1 << TASKS);
        if self
            .claims
            .compare_exchange(word, claimed, Ordering::AcqRel, Ordering::Relaxed)
            .is_err()
        {
            return true; // Someone was quicker; there may be more.
        }
        // SAFETY: the exchange shows that the job is still the one whose word was read, so `job` is its pointer: it is
        // written before the word and replaced only after all tasks, this one too, are done.
        let task = unsafe { &*(*job).task };
        if catch_unwind(AssertUnwindSafe(|| task(next as usize))).is_err() {
            self.panicked.store(true, Ordering::Relaxed);
        }
        self.done.fetch_add(1, Ordering::Release);
        true
    }

    fn work(&self, asleep: &AtomicBool) {
        loop {
            while self.claim_one() {}
            let since = Instant::now();
            while !self.has_work() && since.elapsed() < LOOK_OUT {
                for _ in 0..16 {
                    std::hint::spin_loop();
                }
            }
            if self.closing.load(Ordering::SeqCst) {
                return;
            }
            asleep.store(true, Ordering::SeqCst);
            // Whoever publishes after this look finds the flag set and wakes us.
            while !self.has_work() && !self.closing.load(Ordering::SeqCst) {
                std::thread::park();
            }
            asleep.store(false, Ordering::SeqCst);
        }
    }

    fn has_work(&self) -> bool {
        let word = self.claims.load(Ordering::SeqCst);
        (word >> TASKS & 0xffff) < (word & 0xffff)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let job = *self.job.get_mut();
        if !job.is_null() {
            // SAFETY: it came from `Box::into_raw` and no thread is left.
            drop(unsafe { Box::from_raw(job) });
        }
    }
}

/// Cores of this machine that the program may use, counting the two threads of one core once.
///
/// Both threads of a core share the units that multiply, so a second one would only take turns.
pub fn physical_cores() -> usize {
    let allowed = std::thread::available_parallelism().map_or(1, usize::from);
    listed_cores().map_or(allowed, |cores| cores.clamp(1, allowed))
}

/// Linux lists, for every logical CPU, those that share its core.
fn listed_cores() -> Option<usize> {
    let mut cores = std::collections::BTreeSet::new();
    for entry in std::fs::read_dir("/sys/devices/system/cpu").ok()? {
        let path = entry.ok()?.path().join("topology/thread_siblings_list");
        if let Ok(siblings) = std::fs::read_to_string(path) {
            cores.insert(siblings);
        }
    }
    (!cores.is_empty()).then_some(cores.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_is_done_once() {
        for n_threads in [1, 2, 3, 8] {
            let pool = Pool::new(n_threads);
            for n_tasks in [0, 1, 2, 7, 100, 1000] {
                let counts: Vec<AtomicUsize> = (0..n_tasks).map(|_| AtomicUsize::new(0)).collect();
                pool.run(n_tasks, |n| {
                    counts[n].fetch_add(1, Ordering::Relaxed);
                })
                .unwrap();
                assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == 1));
            }
        }
    }

    #[test]
    fn every_row_is_written_once() {
        for n_threads in [1, 3] {
            let pool = Pool::new(n_threads);
            for n_rows in [0, 1, 2, 50, 333] {
                let (mut a, mut b) = (vec![0.0; n_rows * 3], vec![0.0; n_rows]);
                pool.for_rows(n_rows, [&mut a, &mut b], |row, [a, b]| {
                    a.iter_mut().for_each(|a| *a += row as f32);
                    b[0] += 1.0;
                })
                .unwrap();
                assert!(a.iter().enumerate().all(|(i, &a)| a == (i / 3) as f32));
                assert!(b.iter().all(|&b| b == 1.0));
            }
        }
    }

    #[test]
    fn many_short_jobs_one_after_the_other() {
        let pool = Pool::new(3);
        let sum = AtomicUsize::new(0);
        for _ in 0..20_000 {
            pool.run(4, |n| {
                sum.fetch_add(n, Ordering::Relaxed);
            })
            .unwrap();
        }
        assert_eq!(sum.into_inner(), 20_000 * 6);
    }

    #[test]
    fn a_panic_is_an_error_of_its_job_only() {
        for n_threads in [1, 2] {
            let pool = Pool::new(n_threads);
            for _ in 0..3 {
                let outcome = pool.run(5, |n| assert_ne!(n, 3, "on purpose"));
                assert_eq!(outcome, Err(JobPanicked));
                assert_eq!(pool.run(5, |_| ()), Ok(()));
            }
        }
    }

    #[test]
    fn jobs_inside_jobs_and_of_several_callers_are_done() {
        let pool = Pool::new(2);
        let count = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        pool.run(3, |_| {
                            pool.run(2, |_| {
                                count.fetch_add(1, Ordering::Relaxed);
                            })
                            .unwrap();
                        })
                        .unwrap();
                    }
                });
            }
        });
        assert_eq!(count.into_inner(), 4 * 200 * 6);
    }
}

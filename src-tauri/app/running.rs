//! Work that the user can stop.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// The stoppable work that goes on now, each under a key.
#[derive(Debug, Default)]
pub struct Running(Mutex<Vec<(String, Weak<AtomicBool>)>>);

/// Held by the work itself: it asks now and then whether to go on. Dropping it ends the entry.
#[derive(Debug)]
pub struct Ticket(Arc<AtomicBool>);

impl Running {
    pub fn start(&self, key: &str) -> Ticket {
        let stopped = Arc::new(AtomicBool::new(false));
        let mut entries = self.entries();
        entries.retain(|(_, flag)| flag.strong_count() > 0);
        entries.push((key.to_owned(), Arc::downgrade(&stopped)));
        Ticket(stopped)
    }

    /// Asks all work under `key` to end; nothing happens if there is none.
    pub fn stop(&self, key: &str) {
        for (_, flag) in self.entries().iter().filter(|(k, _)| k == key) {
            if let Some(stopped) = flag.upgrade() {
                stopped.store(true, Ordering::Relaxed);
            }
        }
    }

    fn entries(&self) -> MutexGuard<'_, Vec<(String, Weak<AtomicBool>)>> {
        // The list is whole at any time, so a panic elsewhere does not matter.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    pub fn goes_on(&self) -> bool {
        !self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stop_reaches_its_key_alone() {
        let running = Running::default();
        let (a, b) = (running.start("a"), running.start("b"));
        running.stop("a");
        running.stop("unknown");
        assert!(!a.goes_on());
        assert!(b.goes_on());
    }

    #[test]
    fn a_second_start_is_not_stopped_by_an_earlier_stop() {
        let running = Running::default();
        drop(running.start("a"));
        running.stop("a");
        assert!(running.start("a").goes_on());
        assert_eq!(running.entries().len(), 1, "ended work is forgotten");
    }
}

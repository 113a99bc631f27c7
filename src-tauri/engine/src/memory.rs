//! How much memory this process takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often the system is asked.
const INTERVAL: Duration = Duration::from_millis(10);

/// What Linux says about this process; other systems have no such file.
pub fn process_status() -> Option<String> {
    std::fs::read_to_string("/proc/self/status").ok()
}

/// A size in the text of `/proc/PID/status`, such as that of `RssAnon:`.
pub fn status_bytes(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// Watches the memory of this process until it is asked for the most that it saw.
pub(crate) struct MemoryWatch {
    most: Arc<Most>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Most {
    resident: AtomicU64,
    anonymous: AtomicU64,
    done: AtomicBool,
}

/// Bytes of memory that hold something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryPeak {
    /// Pages of files that are mapped counted, too.
    pub resident: u64,
    /// Without them: what the program allocated.
    pub anonymous: u64,
}

impl MemoryWatch {
    pub fn start() -> Self {
        let most = Arc::new(Most::default());
        let theirs = Arc::clone(&most);
        // Without the thread there is no watch, and the peaks are unknown.
        let thread = std::thread::Builder::new()
            .name("memory".into())
            .spawn(move || {
                while !theirs.done.load(Ordering::Relaxed) {
                    theirs.look();
                    std::thread::sleep(INTERVAL);
                }
            })
            .ok();
        Self { most, thread }
    }

    /// The highest values since the start; none where the system does not tell.
    pub fn peak(mut self) -> Option<MemoryPeak> {
        self.most.look();
        self.stop();
        let peak = MemoryPeak {
            resident: self.most.resident.load(Ordering::Relaxed),
            anonymous: self.most.anonymous.load(Ordering::Relaxed),
        };
        (peak.resident > 0).then_some(peak)
    }

    fn stop(&mut self) {
        self.most.done.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for MemoryWatch {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Most {
    fn look(&self) {
        let Some(status) = process_status() else {
            return;
        };
        for (name, most) in [("VmHWM:", &self.resident), ("RssAnon:", &self.anonymous)] {
            let bytes = status_bytes(&status, name).unwrap_or(0);
            most.fetch_max(bytes, Ordering::Relaxed);
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn an_allocation_is_seen() {
        const SIZE: usize = 64 << 20;
        let watch = MemoryWatch::start();
        let taken = std::hint::black_box(vec![1u8; SIZE]);
        let peak = watch.peak().unwrap();
        drop(taken);
        assert!(peak.anonymous >= SIZE as u64);
        assert!(peak.resident >= peak.anonymous);
    }
}

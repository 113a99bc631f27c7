//! How much memory Sotto takes, and how much there is.

use engine::{MachineMemory, process_status, status_bytes};
use serde::{Deserialize, Serialize};
use specta::Type;
use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System};

use crate::types::Number;

/// In bytes. The processes of the system's web view, which draw the page, are not Sotto's and not in it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Type)]
pub struct MemoryFigures {
    /// What this process has in memory.
    #[specta(type = Number)]
    pub resident: f64,
    /// How that is made up; none where the system does not tell.
    pub kinds: Option<ResidentKinds>,
    /// What programs can still get without anything being written to disk.
    #[specta(type = Number)]
    pub available: f64,
    #[specta(type = Number)]
    pub total: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Type)]
pub struct ResidentKinds {
    /// Parts of files, the model's above all: the system takes them back when it needs the room.
    #[specta(type = Number)]
    pub file_backed: f64,
    /// Sotto's own: it stays until Sotto lets go of it.
    #[specta(type = Number)]
    pub anonymous: f64,
}

/// Measured now. None if the system does not say.
pub fn memory_figures() -> Option<MemoryFigures> {
    let machine = MachineMemory::read()?;
    let pid = sysinfo::get_current_pid().ok()?;
    let mut system = System::new().ok()?;
    let what = ProcessRefreshKind::nothing().with_memory();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), false, what);
    Some(MemoryFigures {
        resident: system.process(pid)?.memory() as f64,
        kinds: resident_kinds(),
        available: machine.available as f64,
        total: machine.total as f64,
    })
}

/// Only Linux tells them apart.
fn resident_kinds() -> Option<ResidentKinds> {
    parse_status(&process_status()?)
}

/// From the text of `/proc/PID/status`.
fn parse_status(text: &str) -> Option<ResidentKinds> {
    let bytes = |name| status_bytes(text, name).map(|bytes| bytes as f64);
    Some(ResidentKinds {
        file_backed: bytes("RssFile:")? + bytes("RssShmem:")?,
        anonymous: bytes("RssAnon:")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kinds_are_told_apart() {
        let text = "Name:\tsotto\nVmRSS:\t    3072 kB\nRssAnon:\t    1024 kB\nRssFile:\t    1536 kB\nRssShmem:\t     512 kB\n";
        let kinds = parse_status(text).expect("all lines are there");
        assert_eq!(kinds.file_backed, 2048.0 * 1024.0);
        assert_eq!(kinds.anonymous, 1024.0 * 1024.0);
        assert_eq!(parse_status("VmRSS:\t3072 kB\n"), None);
        assert_eq!(parse_status("RssAnon:\tmany\n"), None);
    }

    #[test]
    fn what_a_process_takes_shows() {
        let before = memory_figures().expect("this system tells");
        let block = vec![1u8; 64 << 20];
        let after = memory_figures().expect("this system tells");
        assert!(
            after.resident - before.resident > 48e6,
            "{before:?} {after:?}"
        );
        assert!(after.resident < after.total && after.available < after.total);
        assert_eq!(std::hint::black_box(block)[1 << 20], 1);
        if let (Some(before), Some(after)) = (before.kinds, after.kinds) {
            assert!(after.anonymous - before.anonymous > 48e6);
        }
    }
}

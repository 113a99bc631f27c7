//! How much memory a model may take on this machine now.

use sysinfo::{Process, ProcessRefreshKind, ProcessesToUpdate, System, get_current_pid};

/// What the rest of the system keeps, at least, and as a share of all memory.
const LEAST_RESERVE: u64 = 512 << 20;
const RESERVE_SHARE: u64 = 20; // one part in so many

/// Memory of the machine, or of the control group that this process is confined to, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MachineMemory {
    pub total: u64,
    /// What a program could take without others being swapped out; file pages that can be dropped count as free.
    pub available: u64,
}

impl MachineMemory {
    /// `None` where the system does not tell.
    pub fn read() -> Option<Self> {
        let mut system = System::new().ok()?;
        system.refresh_memory();
        let mut memory = Self {
            total: system.total_memory(),
            available: system.available_memory(),
        };
        let process = get_current_pid().ok()?;
        let only = ProcessesToUpdate::Some(&[process]);
        system.refresh_processes_specifics(only, false, ProcessRefreshKind::nothing());
        if let Some(group) = system.process(process).and_then(Process::cgroup_limits) {
            memory.total = memory.total.min(group.total_memory);
            let free = group.total_memory.saturating_sub(group.rss);
            memory.available = memory.available.min(free);
        }
        Some(memory)
    }

    /// What a model may take: all that is available and what our own model would give back, less a reserve; never above `cap`.
    pub fn budget(self, own: u64, cap: Option<u64>) -> u64 {
        let reserve = LEAST_RESERVE.max(self.total / RESERVE_SHARE);
        let free = self.available + own;
        free.saturating_sub(reserve).min(cap.unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn the_budget_leaves_a_reserve_and_counts_what_we_hold() {
        let memory = MachineMemory {
            total: 16 * GIB,
            available: 4 * GIB,
        };
        let reserve = 16 * GIB / RESERVE_SHARE;
        assert_eq!(memory.budget(0, None), 4 * GIB - reserve);
        assert_eq!(memory.budget(GIB, None), 5 * GIB - reserve);
        assert_eq!(memory.budget(GIB, Some(3 * GIB)), 3 * GIB);
        let full = MachineMemory {
            total: 4 * GIB,
            available: GIB / 4,
        };
        assert_eq!(full.budget(0, None), 0);
    }

    #[test]
    fn the_machine_has_memory() {
        let memory = MachineMemory::read().unwrap();
        assert!(
            memory.total > 0 && memory.available <= memory.total,
            "{memory:?}"
        );
    }
}

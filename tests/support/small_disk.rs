//! A disk that a test can fill.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use super::Desktop;

/// A disk of 6 MB at the place of Sotto's data folder.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// None where that takes more rights than the test has.
    pub fn mount(desktop: &Desktop) -> Option<Self> {
        let folder = desktop.home.path().join("data");
        fs::create_dir_all(&folder).unwrap();
        let disk = Self(folder);
        let mounted = disk.mount_with("size=6m", &["-t", "tmpfs", "sotto-test"]);
        if !mounted {
            eprintln!("left out: a disk can be mounted by root only");
            std::mem::forget(disk); // there is nothing to unmount
            return None;
        }
        Some(disk)
    }

    fn mount_with(&self, options: &str, args: &[&str]) -> bool {
        let mut mount = Command::new("mount");
        mount.args(["-o", options]).args(args).arg(&self.0);
        mount.output().is_ok_and(|output| output.status.success())
    }

    pub fn set_read_only(&self, read_only: bool) {
        let options = if read_only {
            "remount,ro"
        } else {
            "remount,rw"
        };
        assert!(self.mount_with(options, &[]), "{options}");
    }

    /// Leaves no room for a single byte more.
    pub fn fill(&self) {
        let mut file = fs::File::create(self.filler()).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
        while file.write_all(&[0]).is_ok() {}
    }

    pub fn free(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

//! What is left when the process is killed, or the disk gives out, in the middle of an answer.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use library::{Ending, Error, Library, Part, State};

/// Set in the process that is going to be killed.
const FOLDER: &str = "SOTTO_TEST_LIBRARY";

/// Words appended every ten milliseconds, until someone ends the process.
fn write_without_end(folder: &Path) -> ! {
    let library = Library::open(folder).unwrap();
    let (_, mut answer) = library
        .ask(None, None, &[Part::Text("Count!".into())], None)
        .unwrap();
    for n in 0.. {
        answer.append(&format!("{n} ")).unwrap();
        println!("{n}");
        thread::sleep(Duration::from_millis(10));
    }
    unreachable!()
}

#[test]
fn a_kill_loses_less_than_the_last_second() {
    if let Some(folder) = env::var_os(FOLDER) {
        write_without_end(Path::new(&folder));
    }
    let folder = tempfile::tempdir().unwrap();
    for round in 1..=3 {
        let mut child = Command::new(env::current_exe().unwrap())
            .args([
                "--exact",
                "a_kill_loses_less_than_the_last_second",
                "--nocapture",
            ])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // When each number was said, to know which ones are older than a second.
        let mut said = Vec::new();
        let end = Instant::now() + Duration::from_millis(1500 + 130 * round);
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            if let Ok(n) = line.unwrap().parse::<u32>() {
                said.push((n, Instant::now()));
            }
            if !said.is_empty() && Instant::now() > end {
                break;
            }
        }
        let killed = Instant::now();
        child.kill().unwrap(); // SIGKILL
        child.wait().unwrap();

        let library = Library::open(folder.path()).unwrap();
        let threads = library.threads().unwrap();
        assert_eq!(threads.len(), round as usize);
        let messages = library.conversation(&threads[0].id).unwrap();
        assert_eq!(messages[0].text(), "Count!");
        assert_eq!(messages[1].state, State::Interrupted);
        let text = messages[1].text();
        let kept: Vec<u32> = text
            .split_whitespace()
            .map(|n| n.parse().unwrap())
            .collect();
        assert!(kept.iter().copied().eq(0..kept.len() as u32), "{text}");
        let old = said
            .iter()
            .filter(|(_, at)| killed - *at > Duration::from_secs(1));
        assert!(kept.len() >= old.count(), "{} of {said:?}", kept.len());
        assert_eq!(library.search("count").unwrap().len(), round as usize);
    }
}

/// Mounts a file system of one megabyte; None where that is not allowed.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"])
            .arg(folder.path())
            .stderr(Stdio::null())
            .status();
        status.is_ok_and(|s| s.success()).then_some(Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_is_said_and_loses_nothing_that_was_stored() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("not allowed to mount a small disk: skipped");
        return;
    };
    let library = Library::open(disk.0.path()).unwrap();
    let (_, mut answer) = library
        .ask(None, None, &[Part::Text("Long?".into())], None)
        .unwrap();
    answer.append("kept ").unwrap();
    answer.flush().unwrap();
    // Something else fills the disk.
    let filler = disk.0.path().join("filler");
    let mut size = 1 << 20;
    while size > 0 {
        let mut file = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&filler)
            .unwrap();
        if std::io::Write::write_all(&mut file, &vec![1; size]).is_err() {
            size /= 2;
        }
    }
    let long = "word ".repeat(40_000);
    answer.append(&long).ok();
    let error = answer.flush().unwrap_err();
    assert!(matches!(error, Error::DiskFull), "{error}");
    let error = library
        .ask(None, None, &[Part::Text(long.clone())], None)
        .err()
        .unwrap();
    assert!(matches!(error, Error::DiskFull), "{error}");
    let error = library.add_bytes(&[7; 300_000], "a.png").unwrap_err();
    assert!(matches!(error, Error::DiskFull), "{error}");
    let shown = |library: &Library| {
        let thread = library.threads().unwrap().remove(0);
        library.conversation(&thread.id).unwrap()[1].text()
    };
    assert_eq!(shown(&library), "kept ");

    // With room again, the answer that waited is written whole.
    fs::remove_file(&filler).unwrap();
    let end = Ending {
        state: State::Complete,
        figures: None,
        failure: None,
    };
    answer.end(&end).unwrap();
    assert_eq!(shown(&library), format!("kept {long}"));
}

//! A second start that meets a Sotto which is just ending.

use std::env;
use std::process::{Command, ExitCode};
use std::thread::sleep;
use std::time::Duration;

/// Counts the attempts of one start.
const ATTEMPT: &str = "SOTTO_START_ATTEMPT";

const ATTEMPTS: u32 = 10;

/// How long the other Sotto gets to be gone.
const PAUSE: Duration = Duration::from_millis(300);

/// Starts this program anew: what a window needs in a process is used up by an attempt that failed.
pub fn start_again(error: &str) -> ExitCode {
    let attempt = env::var(ATTEMPT).ok().and_then(|n| n.parse().ok());
    let attempt: u32 = attempt.unwrap_or(1);
    let program = match env::current_exe() {
        Ok(program) if attempt < ATTEMPTS => program,
        _ => {
            eprintln!(
                "sotto: another Sotto is open and does not answer ({error}). End it and try again."
            );
            return ExitCode::FAILURE;
        }
    };
    sleep(PAUSE);
    let mut command = Command::new(program);
    command
        .args(env::args_os().skip(1))
        .env(ATTEMPT, (attempt + 1).to_string());
    replace(command)
}

/// In the same process, as whoever started it expects.
#[cfg(unix)]
fn replace(mut command: Command) -> ExitCode {
    use std::os::unix::process::CommandExt;
    let error = command.exec();
    eprintln!("sotto: could not start again ({error})");
    ExitCode::FAILURE
}

#[cfg(not(unix))]
fn replace(mut command: Command) -> ExitCode {
    match command.spawn() {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sotto: could not start again ({error})");
            ExitCode::FAILURE
        }
    }
}

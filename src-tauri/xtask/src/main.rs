//! The developer's commands, from a fresh machine on: `cargo xtask run`, `cargo xtask test` and a few more.
//!
//! Standard library only, so that it compiles in a second and before any system library is there.

use std::env;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Instant;

/// To build the app.
const BUILD_PACKAGES: &[&str] = &[
    "build-essential",
    "libasound2-dev",
    "libwebkit2gtk-4.1-dev",
    "pkg-config",
];

/// To open a window where nobody sees it.
const WINDOW_TEST_PACKAGES: &[&str] = &[
    "dbus-daemon",
    "imagemagick",
    "webkit2gtk-driver",
    "xdotool",
    "xvfb",
];

/// To open the page without the window.
const BROWSER_TEST_PACKAGES: &[&str] = &["chromium"];

/// To play and record where there is no sound card.
const SOUND_TEST_PACKAGES: &[&str] = &["pulseaudio", "pulseaudio-utils"];

const USAGE: &str = "\
cargo xtask run [ARGS]  install what is missing, build Sotto and start it: `cargo xtask run -- MODEL`
cargo xtask test        install what is missing, then every check and every test
cargo xtask bindings    write the TypeScript side of the commands anew
cargo xtask screenshots take the pictures of the README anew";

/// An error is a sentence.
type Outcome = Result<(), String>;

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    env::set_current_dir(root).expect("this crate lies in the repository");
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match args.as_slice() {
        ["run", "--", args @ ..] | ["run", args @ ..] => run(args),
        ["test"] => test(),
        ["bindings"] => bindings(),
        ["screenshots"] => screenshots(),
        _ => Err(format!("there is no such command.\n\n{USAGE}")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("xtask: {sentence}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[&str]) -> Outcome {
    install_packages(BUILD_PACKAGES)?;
    step("cargo", &[&["run", "--release", "--"], args].concat(), ".")
}

fn test() -> Outcome {
    let start = Instant::now();
    let packages = [
        BUILD_PACKAGES,
        WINDOW_TEST_PACKAGES,
        BROWSER_TEST_PACKAGES,
        SOUND_TEST_PACKAGES,
    ];
    install_packages(&packages.concat())?;
    step("cargo", &["fmt", "--all", "--check"], ".")?;
    deny()?;
    // Builds the UI on the way, and so installs what the npm steps need.
    let lints = ["--workspace", "--all-targets", "--locked"];
    step(
        "cargo",
        &[&["clippy"], &lints[..], &["--", "-D", "warnings"]].concat(),
        ".",
    )?;
    // One of the tests compares the bindings.
    step("cargo", &["test", "--workspace", "--locked"], ".")?;
    step("npm", &["run", "check"], "ui")?;
    step("npm", &["run", "lint"], "ui")?;
    step("npm", &["test"], "ui")?;
    step("npm", &["run", "test:browser"], "ui")?;
    eprintln!(
        "\nxtask: all is well, after {} s",
        start.elapsed().as_secs()
    );
    Ok(())
}

/// The test that finds stale bindings writes them if asked to.
fn bindings() -> Outcome {
    install_packages(BUILD_PACKAGES)?;
    let mut command = Command::new("cargo");
    command
        .args([
            "test",
            "--package",
            "sotto",
            "--lib",
            "bindings_are_current",
        ])
        .env("SOTTO_BINDINGS", "write");
    run_command(&mut command)
}

/// A test that is left out otherwise goes through the real window and photographs it.
fn screenshots() -> Outcome {
    install_packages(&[BUILD_PACKAGES, WINDOW_TEST_PACKAGES].concat())?;
    let folder = env::current_dir().map_err(|e| format!("there is no working directory: {e}."))?;
    let mut command = Command::new("cargo");
    command
        .args(["test", "--package", "sotto", "--test", "window", "--"])
        .args(["--ignored", "pictures_of_the_readme"])
        .env("SOTTO_SCREENSHOTS", folder.join("assets"));
    run_command(&mut command)
}

/// Licences, sources and banned crates; advisories where their database is at hand.
fn deny() -> Outcome {
    const TOOL: &str = "target/tools/bin/cargo-deny";
    if !Path::new(TOOL).exists() {
        // Unoptimised it compiles with half the work (105 instead of 207 CPU seconds), and has little to do.
        let install = [
            "install",
            "cargo-deny",
            "--locked",
            "--debug",
            "--root",
            "target/tools",
        ];
        step("cargo", &install, ".")?;
    }
    // The licences of crates that only other systems build, too; cargo-deny itself stays offline.
    step("cargo", &["fetch", "--locked", "--quiet"], ".")?;
    let mut checks = vec!["--offline", "check", "licenses", "bans", "sources"];
    if advisory_database_is_here() {
        checks.push("advisories");
    } else {
        eprintln!("xtask: no advisory database on this machine, so advisories are not checked");
    }
    step(TOOL, &checks, ".")
}

fn advisory_database_is_here() -> bool {
    let cargo_home = env::var_os("CARGO_HOME").map(Into::into);
    let cargo_home = cargo_home.or_else(|| env::home_dir().map(|home| home.join(".cargo")));
    cargo_home.is_some_and(|home| home.join("advisory-dbs").is_dir())
}

/// Installs the Debian packages that are missing; does nothing where there is no apt.
fn install_packages(wanted: &[&str]) -> Outcome {
    if !Path::new("/usr/bin/apt-get").exists() {
        return Ok(());
    }
    let missing: Vec<&str> = wanted
        .iter()
        .copied()
        .filter(|p| !is_installed(p))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    apt(&["update"])?;
    apt(&[
        &["install", "-y", "--no-install-recommends"],
        missing.as_slice(),
    ]
    .concat())
}

fn is_installed(package: &str) -> bool {
    let query = ["-W", "-f", "${db:Status-Abbrev}", package];
    let output = Command::new("dpkg-query").args(query).output();
    output.is_ok_and(|output| output.stdout.starts_with(b"ii"))
}

fn apt(args: &[&str]) -> Outcome {
    let id = Command::new("id").arg("-u").output();
    if id.is_ok_and(|output| output.stdout.trim_ascii() == b"0") {
        step("apt-get", args, ".")
    } else {
        step("sudo", &[&["apt-get"], args].concat(), ".")
    }
}

fn step(program: &str, args: &[&str], dir: &str) -> Outcome {
    run_command(Command::new(program).args(args).current_dir(dir))
}

fn run_command(command: &mut Command) -> Outcome {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for arg in command.get_args() {
        line = format!("{line} {}", arg.to_string_lossy());
    }
    eprintln!("\n$ {line}");
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(format!("`{line}` failed; its own words are above.")),
        Err(e) => Err(format!("`{line}` could not be started: {e}.")),
    }
}

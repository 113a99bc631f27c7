//! Builds the UI, then lets Tauri embed it. The working directory is the repository root.

use std::path::Path;
use std::process::Command;
use std::time::SystemTime;
use std::{env, fs};

const UI_INPUTS: &[&str] = &[
    "ui/src",
    "ui/public",
    "ui/index.html",
    "ui/overlay.html",
    "ui/vite.config.ts",
    "ui/svelte.config.js",
    "ui/tsconfig.json",
    "ui/package.json",
    "ui/package-lock.json",
    "assets/logo.svg",
];

fn main() {
    for input in UI_INPUTS {
        // Cargo takes a path that does not exist for one that has changed, every time.
        if Path::new(input).exists() {
            println!("cargo:rerun-if-changed={input}");
        }
    }
    println!("cargo:rerun-if-changed=src-tauri/app/permissions");

    // `tauri dev` serves the UI from Vite.
    if env::var("DEP_TAURI_DEV").as_deref() != Ok("true") {
        build_ui();
    }

    // Commands are named by hand in `permissions/`: Tauri's generator would write into the repository root.
    let manifest = tauri_build::AppManifest::new()
        .permissions_path_pattern("src-tauri/app/permissions/*.toml");
    tauri_build::try_build(tauri_build::Attributes::new().app_manifest(manifest))
        .expect("tauri-build can read tauri.conf.json, icons/ and permissions/");

    // Editor schemas, which nothing here reads.
    let _ = fs::remove_dir_all("gen/schemas");
    let _ = fs::remove_dir("gen");
}

fn build_ui() {
    if newest("ui/package-lock.json") > newest("ui/node_modules/.package-lock.json") {
        npm(&["ci", "--no-audit", "--no-fund"]);
    }
    let built = newest("ui/dist/index.html");
    if UI_INPUTS.iter().any(|input| newest(input) > built) {
        npm(&["run", "build"]);
    }
}

fn npm(args: &[&str]) {
    let npm = if cfg!(windows) { "npm.cmd" } else { "npm" };
    let status = Command::new(npm).args(args).current_dir("ui").status();
    match status {
        Ok(status) if status.success() => {}
        Ok(_) => panic!("npm {} failed in ui/", args.join(" ")),
        Err(e) => panic!("cannot start npm ({e}): install Node 20.19 or newer"),
    }
}

/// When something at or below `path` was last changed; long ago if there is nothing.
fn newest(path: impl AsRef<Path>) -> SystemTime {
    let path = path.as_ref();
    let Ok(meta) = fs::metadata(path) else {
        return SystemTime::UNIX_EPOCH;
    };
    if meta.is_file() {
        return meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    }
    let Ok(entries) = fs::read_dir(path) else {
        return SystemTime::UNIX_EPOCH;
    };
    entries
        .flatten()
        .map(|entry| newest(entry.path()))
        .max()
        .unwrap_or(SystemTime::UNIX_EPOCH)
}

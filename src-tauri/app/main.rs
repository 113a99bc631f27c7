#![cfg_attr(not(debug_assertions), windows_subsystem = "windows")]

use std::env;
use std::process::ExitCode;

fn main() -> ExitCode {
    sotto_app::main(env::args_os().skip(1))
}

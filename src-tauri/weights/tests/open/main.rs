//! Everything through the public door: files written to a folder, then opened.

#![allow(clippy::unwrap_used, reason = "a failing test")]

mod damage;
mod export;
mod files;
mod folder;
mod import;
mod package;

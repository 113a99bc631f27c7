//! Everything through the public door: files written to a folder, then opened.

mod damage;
mod export;
mod files;
mod folder;
mod package;

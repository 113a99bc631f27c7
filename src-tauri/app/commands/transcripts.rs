//! Stored transcripts.

use std::path::PathBuf;

use api::{
    ApiError, ChannelName, MarkInfo, StoredLine, TranscriptFile, TranscriptHit, TranscriptInfo,
    TranscriptText, TranscriptView,
};
use tauri::State;

use super::blocking;
use crate::Shell;

#[tauri::command]
#[specta::specta]
pub async fn transcripts(shell: State<'_, Shell>) -> Result<Vec<TranscriptInfo>, ApiError> {
    let api = shell.api.clone();
    blocking(move || api.transcripts()).await
}

#[tauri::command]
#[specta::specta]
pub async fn open_transcript(
    shell: State<'_, Shell>,
    transcript: String,
) -> Result<TranscriptView, ApiError> {
    let api = shell.api.clone();
    blocking(move || api.open_transcript(&transcript)).await
}

#[tauri::command]
#[specta::specta]
pub async fn search_transcripts(
    shell: State<'_, Shell>,
    query: String,
) -> Result<Vec<TranscriptHit>, ApiError> {
    let api = shell.api.clone();
    blocking(move || api.search_transcripts(&query)).await
}

#[tauri::command]
#[specta::specta]
pub async fn rename_transcript(
    shell: State<'_, Shell>,
    transcript: String,
    title: String,
) -> Result<(), ApiError> {
    let api = shell.api.clone();
    blocking(move || api.rename_transcript(&transcript, &title)).await
}

/// With its sound.
#[tauri::command]
#[specta::specta]
pub async fn delete_transcript(
    shell: State<'_, Shell>,
    transcript: String,
) -> Result<(), ApiError> {
    let api = shell.api.clone();
    blocking(move || api.delete_transcript(&transcript)).await
}

/// Deletes the sound and keeps the words.
#[tauri::command]
#[specta::specta]
pub async fn delete_sound(shell: State<'_, Shell>, transcript: String) -> Result<(), ApiError> {
    let api = shell.api.clone();
    blocking(move || api.delete_sound(&transcript)).await
}

/// Takes a recovered or unfinished transcript as it is.
#[tauri::command]
#[specta::specta]
pub async fn accept_transcript(
    shell: State<'_, Shell>,
    transcript: String,
) -> Result<(), ApiError> {
    let api = shell.api.clone();
    blocking(move || api.accept_transcript(&transcript)).await
}

#[tauri::command]
#[specta::specta]
pub async fn write_notes(
    shell: State<'_, Shell>,
    transcript: String,
    notes: String,
) -> Result<(), ApiError> {
    let api = shell.api.clone();
    blocking(move || api.write_notes(&transcript, &notes)).await
}

#[tauri::command]
#[specta::specta]
pub async fn add_mark(
    shell: State<'_, Shell>,
    transcript: String,
    at_ms: u32,
    note: String,
) -> Result<MarkInfo, ApiError> {
    let api = shell.api.clone();
    blocking(move || api.add_mark(&transcript, at_ms, &note)).await
}

#[tauri::command]
#[specta::specta]
pub async fn write_mark(
    shell: State<'_, Shell>,
    mark: String,
    note: String,
) -> Result<(), ApiError> {
    let api = shell.api.clone();
    blocking(move || api.write_mark(&mark, &note)).await
}

#[tauri::command]
#[specta::specta]
pub async fn delete_mark(shell: State<'_, Shell>, mark: String) -> Result<(), ApiError> {
    let api = shell.api.clone();
    blocking(move || api.delete_mark(&mark)).await
}

/// Puts the user's words into a line.
#[tauri::command]
#[specta::specta]
pub async fn edit_line(
    shell: State<'_, Shell>,
    line: String,
    text: String,
) -> Result<StoredLine, ApiError> {
    let api = shell.api.clone();
    blocking(move || api.edit_line(&line, &text)).await
}

/// Has the model write a line down once more, from its sound.
#[tauri::command]
#[specta::specta]
pub async fn hear_line_again(
    shell: State<'_, Shell>,
    line: String,
) -> Result<StoredLine, ApiError> {
    let api = shell.api.clone();
    blocking(move || api.hear_line_again(&line)).await
}

/// A stretch of the sound, at most 30 s of it, as a data: address.
#[tauri::command]
#[specta::specta]
pub async fn play_transcript(
    shell: State<'_, Shell>,
    transcript: String,
    channel: ChannelName,
    start_ms: u32,
    end_ms: u32,
) -> Result<String, ApiError> {
    let api = shell.api.clone();
    blocking(move || api.play_transcript(&transcript, channel, start_ms, end_ms)).await
}

/// What was said as plain text with speakers.
#[tauri::command]
#[specta::specta]
pub async fn transcript_text(
    shell: State<'_, Shell>,
    transcript: String,
) -> Result<TranscriptText, ApiError> {
    let api = shell.api.clone();
    blocking(move || api.transcript_text(&transcript)).await
}

#[tauri::command]
#[specta::specta]
pub async fn export_transcript(
    shell: State<'_, Shell>,
    transcript: String,
    format: TranscriptFile,
    to: PathBuf,
) -> Result<(), ApiError> {
    let api = shell.api.clone();
    blocking(move || api.export_transcript(&transcript, format, &to)).await
}

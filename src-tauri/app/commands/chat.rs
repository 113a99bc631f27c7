//! Questions and their answers.

use api::{ApiError, ChatEvent, Retry, Send, ThreadEntry};
use tauri::State;
use tauri::ipc::Channel;

use super::blocking;
use crate::Shell;

/// Stores a question and answers it. Replies when the answer has ended; the events come before.
#[tauri::command]
#[specta::specta]
pub async fn send(
    shell: State<'_, Shell>,
    mut send: Send,
    events: Channel<ChatEvent>,
) -> Result<(), ApiError> {
    let api = shell.api.clone();
    let ticket = shell.answering.start(&send.run);
    send.options = shell.settings.get().generation.complete(send.options);
    blocking(move || {
        api.send(send, &mut |event| {
            // An answer is written to its end even if the page is gone: it is stored.
            let _ = events.send(event);
            ticket.goes_on()
        })
    })
    .await
}

/// Answers a stored question once more.
#[tauri::command]
#[specta::specta]
pub async fn retry(
    shell: State<'_, Shell>,
    mut retry: Retry,
    events: Channel<ChatEvent>,
) -> Result<(), ApiError> {
    let api = shell.api.clone();
    let ticket = shell.answering.start(&retry.run);
    retry.options = shell.settings.get().generation.complete(retry.options);
    blocking(move || {
        api.retry(retry, &mut |event| {
            let _ = events.send(event);
            ticket.goes_on()
        })
    })
    .await
}

/// Has the model title a thread that still goes by its first question; none if it keeps its title.
#[tauri::command]
#[specta::specta]
pub async fn title_thread(
    shell: State<'_, Shell>,
    thread: String,
    run: String,
) -> Result<Option<ThreadEntry>, ApiError> {
    let api = shell.api.clone();
    let ticket = shell.answering.start(&run);
    blocking(move || api.title_thread(&thread, &|| ticket.goes_on())).await
}

/// What was said in a thread, for a new one to go on from.
#[tauri::command]
#[specta::specta]
pub async fn summarise_thread(
    shell: State<'_, Shell>,
    thread: String,
    run: String,
) -> Result<String, ApiError> {
    let api = shell.api.clone();
    let ticket = shell.answering.start(&run);
    blocking(move || api.summarise_thread(&thread, &|| ticket.goes_on())).await
}

/// Asks what was begun as `run` to end.
#[tauri::command]
#[specta::specta]
pub fn stop(shell: State<'_, Shell>, run: String) {
    shell.answering.stop(&run);
}

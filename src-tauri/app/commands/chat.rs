//! Questions and their answers.

use api::{ApiError, Ask, ChatEvent, Retry, Send};
use tauri::State;
use tauri::ipc::Channel;

use super::blocking;
use crate::Shell;

/// Answers a question that is not stored. Replies when the answer has ended; the events come before.
#[tauri::command]
#[specta::specta]
pub async fn ask(
    shell: State<'_, Shell>,
    mut ask: Ask,
    events: Channel<ChatEvent>,
) -> Result<(), ApiError> {
    let api = shell.api.clone();
    let ticket = shell.answering.start(&ask.conversation);
    ask.options = shell.settings.get().generation.complete(ask.options);
    blocking(move || {
        api.ask(ask, &mut |event| {
            events.send(event).is_ok() && ticket.goes_on()
        })
    })
    .await
}

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

/// Asks the answer that was begun as `run`, or in the conversation `run`, to end.
#[tauri::command]
#[specta::specta]
pub fn stop(shell: State<'_, Shell>, run: String) {
    shell.answering.stop(&run);
}

//! Questions and their answers.

use api::{ApiError, Ask, ChatEvent};
use tauri::State;
use tauri::ipc::Channel;

use super::blocking;
use crate::Shell;

/// Replies when the answer has ended; the events come before.
#[tauri::command]
#[specta::specta]
pub async fn ask(
    shell: State<'_, Shell>,
    ask: Ask,
    events: Channel<ChatEvent>,
) -> Result<(), ApiError> {
    let api = shell.api.clone();
    let ticket = shell.answering.start(&ask.conversation);
    blocking(move || {
        api.ask(ask, &mut |event| {
            events.send(event).is_ok() && ticket.goes_on()
        })
    })
    .await
}

/// Asks the answer that is being written in `conversation` to end.
#[tauri::command]
#[specta::specta]
pub fn stop(shell: State<'_, Shell>, conversation: String) {
    shell.answering.stop(&conversation);
}

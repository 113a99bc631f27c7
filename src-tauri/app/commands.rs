//! What the window may call. Commands translate and nothing more; `permissions/` names them once again.

use api::{ApiError, ErrorCode};

pub mod captions;
pub mod chat;
pub mod library;
pub mod machine;
pub mod model;
pub mod outside;
pub mod overlay;
pub mod settings;
pub mod transcripts;

/// Does work that blocks, away from the thread that draws the window.
///
/// A panic in it becomes an error, so every call gets its reply and Sotto lives on.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    match tauri::async_runtime::spawn_blocking(work).await {
        Ok(result) => result,
        Err(_) => Err(ApiError::new(
            ErrorCode::Internal,
            "Sotto made a mistake and could not finish this. Try again; if it happens again, restart Sotto.",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run<T: Send + 'static>(
        work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        tauri::async_runtime::block_on(blocking(work))
    }

    #[test]
    fn a_panic_is_an_error() {
        let error = run::<()>(|| panic!("a test's panic")).expect_err("it panicked");
        assert_eq!(error.code, ErrorCode::Internal);
        assert!(!error.message.contains("panic"));
        assert_eq!(run(|| Ok(1)), Ok(1), "the next call works");
    }
}

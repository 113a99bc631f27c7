//! What opens in other programs.
//!
//! The page cannot reach the opener itself: only files of the library and addresses of the web leave through here.

use std::path::Path;

use api::{ApiError, ErrorCode};

use super::blocking;

/// Addresses that may be opened. Others start programs or show files, and come from a model.
const SCHEMES: [&str; 3] = ["http", "https", "mailto"];

/// Opens an address in the user's browser or mail program; the page asks the user first.
#[tauri::command]
#[specta::specta]
pub async fn open_link(address: String) -> Result<(), ApiError> {
    blocking(move || {
        if !is_web_address(&address) {
            return Err(ApiError::new(
                ErrorCode::Unsupported,
                "Sotto opens only addresses of the web and of mail.",
            ));
        }
        opened(tauri_plugin_opener::open_url(&address, None::<&str>))
    })
    .await
}

/// Opens a file in the program that the system has for it.
pub(super) fn open(path: &Path) -> Result<(), ApiError> {
    opened(tauri_plugin_opener::open_path(path, None::<&str>))
}

fn opened(result: Result<(), tauri_plugin_opener::Error>) -> Result<(), ApiError> {
    result.map_err(|e| {
        let message = format!("No program of this computer opened it ({e}).");
        ApiError::new(ErrorCode::Unsupported, message)
    })
}

fn is_web_address(address: &str) -> bool {
    let Some((scheme, rest)) = address.split_once(':') else {
        return false;
    };
    let known = SCHEMES.iter().any(|s| scheme.eq_ignore_ascii_case(s));
    known && !rest.is_empty() && !address.contains(|c: char| c.is_control() || c.is_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_web_and_mail() {
        for (address, expected) in [
            ("https://example.org/a?b=c#d", true),
            ("HTTP://example.org", true),
            ("mailto:ada@example.org", true),
            ("file:///etc/passwd", false),
            ("javascript:alert(1)", false),
            ("/etc/passwd", false),
            ("https:", false),
            ("https://a b", false),
            ("--help", false),
        ] {
            assert_eq!(is_web_address(address), expected, "{address}");
        }
    }
}

//! The command line: `sotto [--toggle-captions | --toggle-overlay | --toggle-click-through] [MODEL]`.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::actions::Toggle;

const HELP: &str = "\
Sotto: a private assistant that runs on this computer

Usage: sotto [OPTION] [MODEL]

  MODEL          a Gemma 3n model: a folder with config.json, or a .gguf file.
                 Without it, Sotto opens the model that was open last.

  --toggle-captions       begin captions, or end them
  --toggle-overlay        open the overlay of captions, or close it
  --toggle-click-through  let the mouse through the overlay, or not any more
                 These reach the Sotto that is running, for shortcuts of the desktop;
                 without one, Sotto starts.

  -h, --help     print this
  -V, --version  print the version";

#[derive(Debug, PartialEq)]
pub enum Args {
    Print(String),
    Window {
        model: Option<PathBuf>,
        /// What to do at once.
        action: Option<Toggle>,
    },
}

impl Args {
    /// `args` without the program's name; an error is a sentence for the user.
    pub fn parse(args: impl Iterator<Item = OsString>) -> Result<Args, String> {
        let mut model = None;
        let mut action = None;
        let mut only_paths = false;
        for arg in args {
            let text = arg.to_string_lossy();
            match &*text {
                "-h" | "--help" if !only_paths => return Ok(Args::Print(HELP.to_owned())),
                "-V" | "--version" if !only_paths => {
                    return Ok(Args::Print(format!("sotto {}", env!("CARGO_PKG_VERSION"))));
                }
                "--" if !only_paths => only_paths = true,
                option if option.starts_with('-') && !only_paths => {
                    let named = option.strip_prefix("--").and_then(Toggle::from_name);
                    if named.is_some() && action.is_none() {
                        action = named;
                        continue;
                    }
                    if named.is_some() {
                        return Err("one thing at a time, please. Try sotto --help.".to_owned());
                    }
                    return Err(format!("there is no option {option}. Try sotto --help."));
                }
                _ if model.is_some() => {
                    return Err("one model at a time, please. Try sotto --help.".to_owned());
                }
                _ => model = Some(PathBuf::from(arg)),
            }
        }
        Ok(Args::Window { model, action })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Args, String> {
        Args::parse(args.iter().map(OsString::from))
    }

    fn window(model: Option<&str>) -> Result<Args, String> {
        Ok(Args::Window {
            model: model.map(PathBuf::from),
            action: None,
        })
    }

    #[test]
    fn at_most_one_model() {
        assert_eq!(parse(&[]), window(None));
        assert_eq!(parse(&["a b/model.gguf"]), window(Some("a b/model.gguf")));
        assert_eq!(parse(&["--", "-odd"]), window(Some("-odd")));
        assert!(parse(&["one", "two"]).is_err());
    }

    #[test]
    fn what_to_do_at_once() {
        for action in Toggle::ALL {
            let expected = Args::Window {
                model: None,
                action: Some(action),
            };
            assert_eq!(parse(&[&format!("--{}", action.name())]), Ok(expected));
        }
        assert!(parse(&["--toggle-captions", "--toggle-overlay"]).is_err());
    }

    #[test]
    fn options() {
        assert!(matches!(parse(&["--help"]), Ok(Args::Print(text)) if text.contains("Usage")));
        assert!(matches!(parse(&["x", "-V"]), Ok(Args::Print(text)) if text.starts_with("sotto ")));
        assert!(parse(&["--hlep"]).is_err_and(|e| e.contains("--hlep")));
    }
}

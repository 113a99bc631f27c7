//! An evaluation set: a folder with `items.jsonl`, and the sounds and pictures that its lines name.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use api::AskPart;
use serde::Deserialize;

use super::measures::words;
use crate::{Failure, usage};

const ITEMS: &str = "items.jsonl";

/// A question and the answer that is right.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    pub id: String,
    pub task: Task,
    pub group: String,
    pub parts: Vec<AskPart>,
    /// Of a translation of speech the translation alone; empty where nothing is to be said.
    pub answer: String,
    /// Longest answer in tokens, if not the usual.
    pub max_tokens: Option<u32>,
}

/// What is asked, and with it how answers are measured.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Task {
    Transcription,
    /// The answer says what was said, then the translation behind the language's name.
    SpeechTranslation {
        language: String,
    },
    Translation,
    Notes,
    Chat,
    Picture,
    Reading,
    /// Silence, noise, music.
    Nothing,
}

impl Task {
    const NAMES: [&str; 8] = [
        "transcription",
        "speech_translation",
        "translation",
        "notes",
        "chat",
        "picture",
        "reading",
        "nothing",
    ];

    fn new(name: &str, language: Option<String>) -> Result<Self, String> {
        Ok(match name {
            "transcription" => Self::Transcription,
            "speech_translation" => Self::SpeechTranslation {
                language: language
                    .filter(|language| !language.is_empty())
                    .ok_or("a speech_translation needs a language")?,
            },
            "translation" => Self::Translation,
            "notes" => Self::Notes,
            "chat" => Self::Chat,
            "picture" => Self::Picture,
            "reading" => Self::Reading,
            "nothing" => Self::Nothing,
            _ => {
                let names = Self::NAMES.join(", ");
                return Err(format!("the task {name:?} is none of {names}"));
            }
        })
    }

    pub fn name(&self) -> &'static str {
        match self {
            Self::Transcription => "transcription",
            Self::SpeechTranslation { .. } => "speech_translation",
            Self::Translation => "translation",
            Self::Notes => "notes",
            Self::Chat => "chat",
            Self::Picture => "picture",
            Self::Reading => "reading",
            Self::Nothing => "nothing",
        }
    }

    /// The part of an answer that is measured.
    pub fn measured<'a>(&self, answer: &'a str) -> &'a str {
        match self {
            Self::SpeechTranslation { language } => translation(answer, language).unwrap_or(""),
            _ => answer,
        }
        .trim()
    }
}

/// What follows `German: `.
fn translation<'a>(answer: &'a str, language: &str) -> Option<&'a str> {
    let (_, translation) = answer.split_once(&format!("{language}:"))?;
    Some(translation.trim())
}

/// A line as it is written. Fields that are not named here are the set's own affair.
#[derive(Deserialize)]
struct Line {
    id: String,
    task: String,
    group: String,
    parts: Vec<Part>,
    #[serde(default)]
    answer: String,
    language: Option<String>,
    max_tokens: Option<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Part {
    Text(String),
    Audio(PathBuf),
    Image(PathBuf),
}

/// Reads the set in `folder`, of every group of a task the first `limit` items. Looks at every line and for every file
/// before it returns.
pub fn read(folder: &Path, limit: Option<usize>) -> Result<Vec<Item>, Failure> {
    let file = folder.join(ITEMS);
    let text = std::fs::read_to_string(&file)
        .map_err(|e| usage(format!("{} cannot be read as text ({e}).", file.display())))?;
    parse(&text, folder, limit).map_err(|sentence| usage(format!("{}{sentence}.", file.display())))
}

fn parse(text: &str, folder: &Path, limit: Option<usize>) -> Result<Vec<Item>, String> {
    let mut items = Vec::new();
    let mut ids = HashSet::new();
    let mut taken = BTreeMap::new();
    for (n, line) in (1..).zip(text.lines()) {
        if line.trim().is_empty() {
            continue;
        }
        let item = item(line, folder).map_err(|reason| format!(", line {n}: {reason}"))?;
        if !ids.insert(item.id.clone()) {
            return Err(format!(
                ", line {n}: the id {:?} stands there twice",
                item.id
            ));
        }
        let taken = taken
            .entry((item.task.name(), item.group.clone()))
            .or_insert(0);
        *taken += 1;
        if limit.is_none_or(|limit| *taken <= limit) {
            items.push(item);
        }
    }
    if items.is_empty() {
        return Err(" has no item to evaluate".into());
    }
    Ok(items)
}

fn item(line: &str, folder: &Path) -> Result<Item, String> {
    let line: Line = serde_json::from_str(line).map_err(|error| {
        // Where in the line is said in columns; that it is the first of one line says nothing.
        error.to_string().replace(" at line 1 column", " at column")
    })?;
    let task = Task::new(&line.task, line.language)?;
    let answer = match &task {
        // The whole answer may be given, or the translation alone.
        Task::SpeechTranslation { language } => translation(&line.answer, language),
        _ => None,
    }
    .unwrap_or(&line.answer)
    .trim()
    .to_owned();
    match &task {
        Task::Nothing if !answer.is_empty() => {
            return Err("the right answer to nothing is no answer".into());
        }
        Task::Nothing => {}
        Task::Transcription if words(&answer).is_empty() => {
            return Err("its answer has no word".into());
        }
        _ if answer.is_empty() => return Err("it has no answer".into()),
        _ => {}
    }
    if line.parts.is_empty() {
        return Err("it has no parts".into());
    }
    if line.max_tokens == Some(0) {
        return Err("max_tokens is 0".into());
    }
    let file = |path: PathBuf| {
        let found = folder.join(&path);
        if found.is_file() {
            Ok(found)
        } else {
            Err(format!("there is no file {}", path.display()))
        }
    };
    let parts = line.parts.into_iter().map(|part| {
        Ok(match part {
            Part::Text(text) => AskPart::Text { text },
            Part::Audio(path) => AskPart::Audio { path: file(path)? },
            Part::Image(path) => AskPart::Image { path: file(path)? },
        })
    });
    Ok(Item {
        id: line.id,
        task,
        group: line.group,
        parts: parts.collect::<Result<_, String>>()?,
        answer,
        max_tokens: line.max_tokens,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        r#"{"id":"a","task":"chat","group":"g","parts":[{"text":"Hi"}],"answer":"Hello."}"#;

    #[test]
    fn a_line_is_read() {
        let line = r#"{"id":"a","task":"speech_translation","group":"g","language":"German","voice":"f1",
            "parts":[{"text":"Hi"}],"answer":"The end.\nGerman: Das Ende.","max_tokens":7}"#;
        let read = item(&line.replace('\n', " "), Path::new(".")).unwrap();
        assert_eq!(read.answer, "Das Ende.");
        assert_eq!(read.max_tokens, Some(7));
        let text = "Hi".to_owned();
        assert_eq!(read.parts, [AskPart::Text { text }]);
        for (answer, expected) in [
            ("The end.\nGerman: Das Ende.", "Das Ende."),
            ("German:Das Ende.\n", "Das Ende."),
            ("Das Ende.", ""),
            ("The end.\nFrench: Fin.", ""),
        ] {
            assert_eq!(read.task.measured(answer), expected);
        }
        let alone = line.replace('\n', " ").replace("The end.\\nGerman: ", "");
        assert_eq!(item(&alone, Path::new(".")).unwrap().answer, "Das Ende.");
    }

    #[test]
    fn every_group_has_its_limit() {
        let lines: Vec<String> = (0..12)
            .map(|n| {
                TEXT.replace(r#""a""#, &format!(r#""{n}""#))
                    .replace(r#""g""#, if n % 3 == 0 { r#""x""# } else { r#""y""# })
            })
            .collect();
        let ids = |limit| -> Vec<String> {
            let items = parse(&lines.join("\n\n"), Path::new("."), limit).unwrap();
            items.into_iter().map(|item| item.id).collect()
        };
        assert_eq!(ids(None).len(), 12);
        assert_eq!(ids(Some(2)), ["0", "1", "2", "3"]);
    }

    #[test]
    fn wrong_lines_are_named() {
        for (change, to, expected) in [
            (
                r#""chat""#,
                r#""poetry""#,
                r#", line 2: the task "poetry" is none of transcription, "#,
            ),
            (
                r#""chat""#,
                r#""speech_translation""#,
                "a speech_translation needs a language",
            ),
            (
                r#""chat""#,
                r#""nothing""#,
                "the right answer to nothing is no answer",
            ),
            (r#""Hello.""#, r#"" ""#, "it has no answer"),
            (r#"{"text":"Hi"}"#, "", "it has no parts"),
            (
                r#"{"text":"Hi"}"#,
                r#"{"audio":"no.wav"}"#,
                "there is no file no.wav",
            ),
            (
                r#"{"text":"Hi"}"#,
                r#"{"video":"no.avi"}"#,
                "unknown variant `video`",
            ),
            (
                r#""group":"g","#,
                "",
                ", line 2: missing field `group` at column ",
            ),
            (
                r#""id":"b""#,
                r#""id":"a""#,
                r#", line 2: the id "a" stands there twice"#,
            ),
            (
                r#""answer""#,
                r#""max_tokens":0,"answer""#,
                "max_tokens is 0",
            ),
            ("}]", "}", ", line 2: "),
        ] {
            let second = TEXT.replace(r#""id":"a""#, r#""id":"b""#);
            assert!(second.contains(change), "{change}");
            let text = format!("{TEXT}\n{}", second.replace(change, to));
            let sentence = parse(&text, Path::new("/nowhere"), None).unwrap_err();
            assert!(sentence.contains(expected), "{sentence}");
        }
        let nothing = parse("\n\n", Path::new("."), None).unwrap_err();
        assert_eq!(nothing, " has no item to evaluate");
    }
}

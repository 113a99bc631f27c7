//! Threads as files for other programs, and for another Sotto.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;
use std::fs;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use crate::Library;
use crate::error::{Error, Result};
use crate::files::StoredFile;
use crate::messages::{Failure, Figures, Message, Part, Role, State};

/// What a thread is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The branch that is shown, to read.
    Markdown,
    /// Every branch with its files, to take back in.
    Json,
}

/// Counts changes that an older Sotto could not take in.
pub(crate) const EXPORT_VERSION: u32 = 1;

/// What a thread's attachments may have together to go into its JSON file: an import reads that as a whole.
const MAX_BYTES_IN_JSON: u64 = 160 << 20;

/// A thread as JSON.
#[derive(Serialize, Deserialize)]
pub(crate) struct ThreadFile {
    pub sotto_thread: u32,
    pub id: String,
    pub title: String,
    pub pinned: bool,
    pub created_ms: i64,
    pub updated_ms: i64,
    /// The last message of the branch that is shown.
    pub leaf: Option<String>,
    /// A message comes after the one that it follows.
    pub messages: Vec<MessageFile>,
    /// The attachments in base64 by their names, where the file stands alone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct MessageFile {
    pub id: String,
    pub parent: Option<String>,
    pub role: String,
    pub state: String,
    pub created_ms: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    pub parts: Vec<PartFile>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub figures: Option<Figures>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum PartFile {
    Text {
        text: String,
    },
    Quote {
        name: String,
        text: String,
    },
    Picture {
        name: String,
        file: String,
        bytes: u64,
    },
    Sound {
        name: String,
        file: String,
        bytes: u64,
    },
}

impl Library {
    /// Writes a thread to a file, which is replaced if it is there. As JSON it has its attachments in it.
    pub fn export_thread(&self, thread: &str, format: Format, to: &Path) -> Result<()> {
        let text = match format {
            Format::Markdown => self.markdown(thread, None)?,
            Format::Json => self.json(thread, true)?,
        };
        fs::write(to, text).map_err(|e| Error::io(to, e))
    }

    /// Writes everything into a folder: each thread to read and to take in again, and the attachments.
    ///
    /// Returns the number of threads. The folder is made if it is not there; what else lies in it stays.
    pub fn export_all(&self, folder: &Path) -> Result<usize> {
        let threads_folder = folder.join("threads");
        let attachments = folder.join("attachments");
        for folder in [&threads_folder, &attachments] {
            fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
        }
        let threads = self.threads()?;
        let mut taken = HashSet::new();
        for thread in &threads {
            let name = file_name(&thread.title, "thread", &mut taken);
            for (extension, text) in [
                ("md", self.markdown(&thread.id, Some("../attachments"))?),
                ("json", self.json(&thread.id, false)?),
            ] {
                let path = threads_folder.join(format!("{name}.{extension}"));
                fs::write(&path, text).map_err(|e| Error::io(&path, e))?;
            }
            for file in attached(&self.all_messages(&thread.id)?) {
                let to = attachments.join(&file.file);
                fs::copy(self.file_path(&file.file)?, &to).map_err(|e| Error::io(&to, e))?;
            }
        }
        Ok(threads.len())
    }

    /// `alone`: with the attachments in it.
    fn json(&self, id: &str, alone: bool) -> Result<String> {
        let thread = self.thread(id)?;
        let leaf = self.conversation(id)?.pop().map(|message| message.id);
        let messages = self.all_messages(id)?;
        let files = if alone {
            self.encoded(&messages)?
        } else {
            BTreeMap::new()
        };
        let file = ThreadFile {
            sotto_thread: EXPORT_VERSION,
            id: thread.id,
            title: thread.title,
            pinned: thread.pinned,
            created_ms: thread.created_ms,
            updated_ms: thread.updated_ms,
            leaf,
            messages: messages.into_iter().map(message_file).collect(),
            files,
        };
        let mut text = serde_json::to_string_pretty(&file).expect("every key is a string");
        text.push('\n');
        Ok(text)
    }

    fn encoded(&self, messages: &[Message]) -> Result<BTreeMap<String, String>> {
        let mut files = BTreeMap::new();
        let mut bytes = 0;
        for file in attached(messages) {
            if files.contains_key(&file.file) {
                continue;
            }
            bytes += file.bytes;
            if bytes > MAX_BYTES_IN_JSON {
                return Err(Error::TooLargeForOneFile);
            }
            let path = self.file_path(&file.file)?;
            let content = fs::read(&path).map_err(|source| Error::Io { path, source })?;
            files.insert(file.file.clone(), BASE64.encode(content));
        }
        Ok(files)
    }

    /// `attachments`: where the files lie, seen from the text; without it they are only named.
    fn markdown(&self, id: &str, attachments: Option<&str>) -> Result<String> {
        let thread = self.thread(id)?;
        let mut text = format!(
            "# {}\n\n*{}, written with Sotto.*\n",
            thread.title,
            date(thread.created_ms)
        );
        let messages = self.conversation(id)?;
        if attachments.is_none() && attached(&messages).next().is_some() {
            text.push_str(
                "\nIts pictures and sounds are not part of this file: \
                 export it as JSON, or everything, to take them along.\n",
            );
        }
        for message in messages {
            let who = match message.role {
                Role::User => "You",
                Role::Assistant => "Sotto",
            };
            let _ = write!(text, "\n## {who}\n");
            for part in &message.parts {
                let part = match part {
                    Part::Text(part) => part.trim_end().to_owned(),
                    Part::Quote { name, text } => quoted(name, text),
                    Part::Picture(file) | Part::Sound(file) => {
                        let kind = match part {
                            Part::Picture(_) => "Picture",
                            _ => "Sound",
                        };
                        match attachments {
                            Some(folder) => {
                                format!("{kind}: [{}]({folder}/{})", file.name, file.file)
                            }
                            None => format!("{kind}: {} (in Sotto)", file.name),
                        }
                    }
                };
                if !part.is_empty() {
                    let _ = write!(text, "\n{part}\n");
                }
            }
            let ending = match message.state {
                State::Complete | State::Streaming => None,
                State::Cut => Some("Cut at the length limit."),
                State::Stopped => Some("Stopped."),
                State::Interrupted => Some("Interrupted: Sotto was ended."),
                State::Failed => Some(match &message.failure {
                    Some(failure) => failure.message.as_str(),
                    None => "Failed.",
                }),
            };
            if let Some(ending) = ending {
                let _ = write!(text, "\n*{ending}*\n");
            }
        }
        Ok(text)
    }
}

/// The attachments of messages; one that several have comes several times.
fn attached(messages: &[Message]) -> impl Iterator<Item = &StoredFile> {
    let parts = messages.iter().flat_map(|message| &message.parts);
    parts.filter_map(|part| match part {
        Part::Picture(file) | Part::Sound(file) => Some(file),
        Part::Text(_) | Part::Quote { .. } => None,
    })
}

fn message_file(message: Message) -> MessageFile {
    MessageFile {
        id: message.id,
        parent: message.parent,
        role: message.role.name().to_owned(),
        state: message.state.name().to_owned(),
        created_ms: message.created_ms,
        model: message.model,
        parts: message.parts.into_iter().map(part_file).collect(),
        figures: message.figures,
        failure: message.failure,
    }
}

fn part_file(part: Part) -> PartFile {
    match part {
        Part::Text(text) => PartFile::Text { text },
        Part::Quote { name, text } => PartFile::Quote { name, text },
        Part::Picture(f) => PartFile::Picture {
            name: f.name,
            file: f.file,
            bytes: f.bytes,
        },
        Part::Sound(f) => PartFile::Sound {
            name: f.name,
            file: f.file,
            bytes: f.bytes,
        },
    }
}

/// A fence that the text itself does not contain.
fn quoted(name: &str, text: &str) -> String {
    let mut fence = "```".to_owned();
    while text.contains(&fence) {
        fence.push('`');
    }
    format!("{name}:\n\n{fence}\n{}\n{fence}", text.trim_end())
}

/// The title as a file name that every system takes, made unique by a number; `unnamed` where nothing is left of it.
pub(crate) fn file_name(title: &str, unnamed: &str, taken: &mut HashSet<String>) -> String {
    let plain: String = title
        .chars()
        .map(|c| {
            if c.is_alphanumeric() || c == '-' {
                c
            } else {
                ' '
            }
        })
        .collect();
    let words: Vec<&str> = plain.split_whitespace().take(8).collect();
    let name: String = words.join("-").chars().take(60).collect();
    let name = if name.is_empty() {
        unnamed.to_owned()
    } else {
        name
    };
    let mut unique = name.clone();
    let mut n = 1;
    // Some systems do not tell capitals from small letters.
    while !taken.insert(unique.to_lowercase()) {
        n += 1;
        unique = format!("{name}-{n}");
    }
    unique
}

/// "2026-11-24 08:44 UTC".
fn date(ms: i64) -> String {
    let minutes = ms.div_euclid(60_000);
    let (days, minute) = (minutes.div_euclid(1440), minutes.rem_euclid(1440));
    // Howard Hinnant, "chrono-compatible low-level date algorithms": civil_from_days.
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02} UTC",
        minute / 60,
        minute % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (ms, expected) in [
            (0, "1970-01-01 00:00 UTC"),
            (951_826_140_000, "2000-02-29 12:09 UTC"),
            (1_795_509_852_000, "2026-11-24 08:44 UTC"),
        ] {
            assert_eq!(date(ms), expected);
        }
    }

    #[test]
    fn file_names_are_plain_and_differ() {
        let mut taken = HashSet::new();
        let names = ["../../etc: passwd?", "Etc passwd", "空は青い", "?!"];
        let names = names.map(|title| file_name(title, "thread", &mut taken));
        assert_eq!(names, ["etc-passwd", "Etc-passwd-2", "空は青い", "thread"]);
    }
}

//! Refuses answers that cannot be what was said.

use std::collections::HashSet;
use std::fmt;

use whatlang::{Script, detect, detect_script};

use crate::Language;
use crate::prompts::CHATTER;
use crate::words::words;

/// Why an answer is not what was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Objection {
    /// It says the same again and again.
    Loop,
    /// It did not end, or is more than anyone says in that time.
    TooMuch,
    /// It speaks of the task.
    Chatter,
    WrongLanguage,
}

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Loop => "the model repeated itself",
            Self::TooMuch => "the model wrote more than can be said in that time",
            Self::Chatter => "the model answered instead of writing down",
            Self::WrongLanguage => "the model wrote in another language",
        })
    }
}

impl Objection {
    pub const ALL: [Self; 4] = [
        Self::Loop,
        Self::TooMuch,
        Self::Chatter,
        Self::WrongLanguage,
    ];

    /// Its name where it is stored.
    pub fn code(self) -> &'static str {
        match self {
            Self::Loop => "loop",
            Self::TooMuch => "too_much",
            Self::Chatter => "chatter",
            Self::WrongLanguage => "wrong_language",
        }
    }

    /// A name that is not known, of another version of Sotto, counts as the vaguest.
    pub fn of_code(code: &str) -> Self {
        let mut all = Self::ALL.into_iter();
        let known = all.find(|objection| objection.code() == code);
        known.unwrap_or(Self::TooMuch)
    }
}

/// Fast speakers reach 7 syllables and 25 letters a second; nobody says so many.
const MOST_LETTERS_PER_SECOND: f64 = 40.0;

/// Letters that need no time: a detector can miss half of a short "Good morning".
const FREE_LETTERS: f64 = 20.0;

/// In a text of so many words, at least this share of all runs of three words comes for the first time.
const LONG: usize = 24;
const LEAST_NEW: f64 = 0.6;

/// A text shorter than this tells its language only by its script.
const LEAST_LETTERS: usize = 60;

/// Looks at an answer about so many seconds of speech. `complete`: the model ended it by itself.
pub(crate) fn objection(
    text: &str,
    complete: bool,
    speech_seconds: f64,
    language: Option<Language>,
) -> Option<Objection> {
    let text = text.trim();
    if loops(text) {
        return Some(Objection::Loop);
    }
    let letters = text.chars().filter(|c| c.is_alphanumeric()).count();
    let most = FREE_LETTERS + speech_seconds * MOST_LETTERS_PER_SECOND;
    if !complete || letters as f64 > most {
        return Some(Objection::TooMuch);
    }
    let lower = text.to_lowercase().replace('\u{2019}', "'");
    if CHATTER.iter().any(|beginning| lower.starts_with(beginning)) {
        return Some(Objection::Chatter);
    }
    let wrong = |language: Language| {
        let script: Option<Script> = detect_script(text);
        if script.is_some_and(|script| !language.scripts.contains(&script)) {
            return true;
        }
        letters >= LEAST_LETTERS
            && detect(text)
                .is_some_and(|info| info.is_reliable() && info.lang() != language.detected_as)
    };
    language
        .filter(|language| wrong(*language))
        .map(|_| Objection::WrongLanguage)
}

/// Whether a run of words comes so often in a row that no speaker means it.
///
/// A single word may come seven times ("no, no, no ..."; digits), a run of two or more three times.
/// A long text that is made of a few runs in changing order is a loop as well.
fn loops(text: &str) -> bool {
    let plain = |word: &str| -> String {
        let letters = word.chars().filter(|c| c.is_alphanumeric());
        letters.flat_map(char::to_lowercase).collect()
    };
    let mut all: Vec<String> = words(text).into_iter().map(plain).collect();
    all.retain(|word| !word.is_empty());
    let triples: HashSet<&[String]> = all.windows(3).collect();
    if all.len() >= LONG && (triples.len() as f64) < LEAST_NEW * (all.len() - 2) as f64 {
        return true;
    }
    (1..=all.len() / 4).any(|length| {
        let most = if length == 1 { 7 } else { 3 };
        // How many words in a row are those `length` before them.
        let mut same = 0;
        (length..all.len()).any(|at| {
            same = if all[at] == all[at - length] {
                same + 1
            } else {
                0
            };
            same >= length * most
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, seconds: f64, language: Option<&str>, expected: Option<Objection>) {
        let language = language.map(|name| Language::named(name).unwrap());
        assert_eq!(objection(text, true, seconds, language), expected, "{text}");
    }

    #[test]
    fn a_stored_objection_is_known_again() {
        for objection in Objection::ALL {
            assert_eq!(Objection::of_code(objection.code()), objection);
        }
        assert_eq!(Objection::of_code("of tomorrow"), Objection::TooMuch);
    }

    #[test]
    fn what_people_say_passes() {
        for text in [
            "",
            "No, no, no, no, no, no!",
            "Five five four five four five four.",
            "Thank you. Thank you. Thank you.",
            "I can't hear you.",
            "The number is one zero one one six four five.",
        ] {
            check(text, 3.0, Some("English"), None);
        }
        check("会議は十時に始まります。", 2.0, Some("Japanese"), None);
        check("Zażółć gęślą jaźń.", 1.0, Some("Polish"), None);
    }

    #[test]
    fn loops_are_noticed() {
        check(&"thank you. ".repeat(4), 30.0, None, Some(Objection::Loop));
        check(&"so ".repeat(9), 30.0, None, Some(Objection::Loop));
        check(
            &format!("It is {}", "on the way to Rome ".repeat(4)),
            30.0,
            None,
            Some(Objection::Loop),
        );
        check(&"哈".repeat(12), 30.0, None, Some(Objection::Loop));
        check(&"それは".repeat(5), 30.0, None, Some(Objection::Loop));
    }

    #[test]
    fn a_long_text_of_few_phrases_is_a_loop() {
        let stuck = "Nine update the video on Sunday. Nine percent. Nine update the report on Sunday. Nine update the \
                     design on Sunday. Nine update the video on Sunday. Nine percent. Nine update the video on Sunday.";
        check(stuck, 20.0, None, Some(Objection::Loop));
        let meeting = "The meeting is on Monday, the dinner is on Tuesday, the party is on Friday, and the meeting after \
                       that is on Monday again, in the room where the last meeting was.";
        check(meeting, 20.0, None, None);
    }

    #[test]
    fn more_than_can_be_said_is_noticed() {
        let sentence = "The train to Munich leaves at quarter past five, and nobody knows when it will be there.";
        check(sentence, 4.0, None, None);
        check(sentence, 0.3, None, Some(Objection::TooMuch));
        assert_eq!(objection("Yes", false, 9.0, None), Some(Objection::TooMuch));
    }

    #[test]
    fn chatter_is_noticed() {
        check(
            "Please provide the audio file you would like me to write down.",
            9.0,
            None,
            Some(Objection::Chatter),
        );
        check(
            "I\u{2019}m unable to transcribe this.",
            9.0,
            None,
            Some(Objection::Chatter),
        );
    }

    #[test]
    fn the_wrong_language_is_noticed() {
        let wrong = Some(Objection::WrongLanguage);
        check("会議は十時に始まります。", 9.0, Some("English"), wrong);
        check("Добрый день", 9.0, Some("German"), wrong);
        let german = "Die Besprechung beginnt morgen um halb neun, und wir müssen vorher noch die Rechnung ändern.";
        check(german, 9.0, Some("English"), wrong);
        check(german, 9.0, Some("German"), None);
        check(german, 9.0, None, None);
        // Names and numbers have no language.
        check("Maria, Oscar, Daniel.", 9.0, Some("French"), None);
        check("1, 2, 3", 9.0, Some("Japanese"), None);
    }
}

//! What the model is asked, all in one place.
//!
//! The wordings are those of Google's documentation of audio for Gemma 3n, and the demo model knows them.
//! They stay short: words of a long instruction leak into transcripts.

use crate::Language;

/// To write down speech; the second is for another try.
const TRANSCRIBE: [&str; 2] = [
    "Transcribe the following speech segment in {language}:",
    "Transcribe the following speech segment in {language}.",
];

/// The same where nobody said which language is spoken.
const TRANSCRIBE_ANY: [&str; 2] = [
    "Transcribe the following speech segment.",
    "Transcribe this audio.",
];

const TRANSLATE: &str = "Translate the following text into {language}:\n{text}";

/// Beginnings of answers about the task instead of the speech, in lower case.
///
/// They are ones that a speaker hardly begins with: "I can't hear you" is said in every meeting.
pub(crate) const CHATTER: [&str; 14] = [
    "please provide",
    "please upload",
    "as an ai",
    "as a language model",
    "as a large language model",
    "i am a language model",
    "i cannot transcribe",
    "i can't transcribe",
    "i'm unable to transcribe",
    "i am unable to transcribe",
    "here is the transcription",
    "here's the transcription",
    "the speech segment",
    "the audio contains",
];

/// The question for speech; `attempt` counts from 0.
pub(crate) fn transcribe(language: Option<Language>, attempt: usize) -> String {
    match language {
        Some(language) => TRANSCRIBE[attempt].replace("{language}", language.name),
        None => TRANSCRIBE_ANY[attempt].to_owned(),
    }
}

pub(crate) fn translate(text: &str, into: Language) -> String {
    let prompt = TRANSLATE.replace("{language}", into.name);
    prompt.replace("{text}", text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_name_what_they_are_about() {
        let german = Language::named("German").unwrap();
        assert_eq!(
            transcribe(Some(german), 0),
            "Transcribe the following speech segment in German:"
        );
        assert_eq!(transcribe(None, 1), "Transcribe this audio.");
        // What is translated is not looked into.
        let prompt = translate("Say {language}.", german);
        assert_eq!(
            prompt,
            "Translate the following text into German:\nSay {language}."
        );
    }
}

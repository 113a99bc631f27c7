//! Finished segments, and the files that they are written to.

use std::fmt::Write;

use crate::captioner::Channel;
use crate::guard::Objection;
use crate::words::{sentences, words};

/// One stretch of speech and what was said in it.
#[derive(Clone, Debug, PartialEq)]
pub struct TranscriptSegment {
    pub start_ms: u32,
    pub end_ms: u32,
    pub channel: Channel,
    /// Empty if nothing could be made out.
    pub text: String,
    /// One for each sentence of the text, or none at all.
    pub translations: Vec<String>,
    /// Why this is not, or not all, of what was said.
    pub unclear: Option<Objection>,
}

/// Segments in the order of their beginnings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Transcript {
    segments: Vec<TranscriptSegment>,
}

/// What players show at once: two lines of this many characters.
const LINE: usize = 42;
const UNCLEAR: &str = "(unclear)";

/// A piece of a subtitle file.
struct Cue {
    start_ms: u32,
    end_ms: u32,
    speaker: Option<&'static str>,
    lines: Vec<String>,
}

impl Transcript {
    /// Puts a segment where it belongs; one without any text is left out unless it was unclear.
    pub fn push(&mut self, segment: TranscriptSegment) {
        if segment.text.is_empty() && segment.unclear.is_none() {
            return;
        }
        let after =
            |s: &TranscriptSegment| (s.start_ms, s.channel) <= (segment.start_ms, segment.channel);
        let at = self.segments.iter().rposition(after).map_or(0, |at| at + 1);
        self.segments.insert(at, segment);
    }

    pub fn segments(&self) -> &[TranscriptSegment] {
        &self.segments
    }

    /// The translations of sentences as one text.
    pub(crate) fn joined(translations: &[String]) -> Option<String> {
        let sentences = translations.iter().map(String::as_str);
        let sentences: Vec<&str> = sentences.filter(|sentence| !sentence.is_empty()).collect();
        (!sentences.is_empty()).then(|| sentences.join(" "))
    }

    /// One paragraph a segment, with its translation under it.
    pub fn to_txt(&self) -> String {
        let mut out = String::new();
        for segment in &self.segments {
            if let Some(speaker) = segment.channel.speaker() {
                let _ = write!(out, "{speaker}: ");
            }
            let _ = writeln!(out, "{}", segment.shown());
            if let Some(translation) = segment.translation() {
                let _ = writeln!(out, "{translation}\n");
            }
        }
        out
    }

    pub fn to_markdown(&self) -> String {
        let mut out = String::new();
        for segment in &self.segments {
            let seconds = segment.start_ms / 1000;
            let (h, m, s) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
            let _ = write!(out, "- **{h:02}:{m:02}:{s:02}** ");
            if let Some(speaker) = segment.channel.speaker() {
                let _ = write!(out, "{speaker}: ");
            }
            let _ = writeln!(out, "{}", escaped(&segment.shown(), "\\`*_[]<>#|"));
            if let Some(translation) = segment.translation() {
                let _ = writeln!(out, "  \\\n  *{}*", escaped(&translation, "\\`*_[]<>#|"));
            }
        }
        out
    }

    pub fn to_srt(&self) -> String {
        let mut out = String::new();
        for (n, cue) in self.cues().enumerate() {
            let (start, end) = (clock(cue.start_ms, ','), clock(cue.end_ms, ','));
            let _ = writeln!(out, "{}\n{start} --> {end}", n + 1);
            let speaker = cue.speaker.map(|speaker| format!("{speaker}: "));
            let _ = writeln!(
                out,
                "{}{}\n",
                speaker.unwrap_or_default(),
                cue.lines.join("\n")
            );
        }
        out
    }

    pub fn to_vtt(&self) -> String {
        let mut out = "WEBVTT\n".to_owned();
        for cue in self.cues() {
            let (start, end) = (clock(cue.start_ms, '.'), clock(cue.end_ms, '.'));
            let _ = writeln!(out, "\n{start} --> {end}");
            let speaker = cue.speaker.map(|speaker| format!("<v {speaker}>"));
            let text = cue.lines.join("\n").replace('&', "&amp;");
            let text = text.replace('<', "&lt;").replace('>', "&gt;");
            let _ = writeln!(out, "{}{text}", speaker.unwrap_or_default());
        }
        out
    }

    fn cues(&self) -> impl Iterator<Item = Cue> {
        self.segments.iter().flat_map(TranscriptSegment::cues)
    }
}

impl Channel {
    fn speaker(self) -> Option<&'static str> {
        match self {
            Self::Me => Some("Me"),
            Self::Others => Some("Others"),
            Self::File => None,
        }
    }
}

impl TranscriptSegment {
    pub fn translation(&self) -> Option<String> {
        Transcript::joined(&self.translations)
    }

    fn shown(&self) -> String {
        let text = on_one_line(&self.text);
        match self.unclear {
            None => text,
            Some(_) if text.is_empty() => UNCLEAR.to_owned(),
            Some(_) => format!("{text} {UNCLEAR}"),
        }
    }

    /// The segment in pieces that fit a screen; the time is shared out by length.
    fn cues(&self) -> Vec<Cue> {
        let shown = self.shown();
        let mut pieces: Vec<Vec<String>> = Vec::new();
        if self.translation().is_some() {
            for (n, sentence) in sentences(&self.text).into_iter().enumerate() {
                let mut lines = wrapped(sentence);
                let translation = self.translations.get(n);
                lines.extend(translation.into_iter().flat_map(|t| wrapped(t)));
                pieces.push(lines);
            }
            // A text that was edited may have fewer sentences than its translation.
            let rest = self.translations.iter().skip(pieces.len());
            let rest: Vec<String> = rest.flat_map(|t| wrapped(t)).collect();
            match pieces.last_mut() {
                Some(last) => last.extend(rest),
                None => pieces.push(rest),
            }
        } else {
            let lines = wrapped(&shown);
            pieces.extend(lines.chunks(2).map(<[String]>::to_vec));
        }
        let length =
            |lines: &Vec<String>| lines.iter().map(|l| l.chars().count()).sum::<usize>() as u64;
        let total = pieces.iter().map(length).sum::<u64>().max(1);
        let duration = u64::from(self.end_ms.saturating_sub(self.start_ms));
        let mut done = 0;
        let mut at = |part: u64| {
            done += part;
            self.start_ms + (duration * done / total) as u32
        };
        let mut start_ms = at(0);
        let cues = pieces.into_iter().map(|lines| {
            let end_ms = at(length(&lines));
            let cue = Cue {
                start_ms,
                end_ms,
                speaker: self.channel.speaker(),
                lines,
            };
            start_ms = end_ms;
            cue
        });
        cues.collect()
    }
}

/// Lines of at most [`LINE`] characters, unless a word is longer. An arrow would end a subtitle's text.
fn wrapped(text: &str) -> Vec<String> {
    let text = on_one_line(&text.replace("-->", "→"));
    let mut lines: Vec<String> = Vec::new();
    for word in words(&text) {
        match lines.last_mut() {
            Some(line) if line.chars().count() + word.trim_end().chars().count() <= LINE => {
                line.push_str(word)
            }
            _ => lines.push(word.trim_start().to_owned()),
        }
    }
    lines
}

/// A user may have made paragraphs of it, and an empty line would end a subtitle.
fn on_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn escaped(text: &str, special: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if special.contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// `01:02:03,004`
fn clock(ms: u32, point: char) -> String {
    let (h, m, s) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    format!("{h:02}:{m:02}:{s:02}{point}{:03}", ms % 1000)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;
    use srtlib::Subtitles;
    use vtt::WebVtt;

    use super::*;

    fn segment(start_ms: u32, end_ms: u32, channel: Channel, text: &str) -> TranscriptSegment {
        TranscriptSegment {
            start_ms,
            end_ms,
            channel,
            text: text.to_owned(),
            translations: Vec::new(),
            unclear: None,
        }
    }

    fn transcript(segments: &[TranscriptSegment]) -> Transcript {
        let mut transcript = Transcript::default();
        for segment in segments {
            transcript.push(segment.clone());
        }
        transcript
    }

    #[test]
    fn segments_lie_in_the_order_of_their_beginnings() {
        let transcript = transcript(&[
            segment(5000, 6000, Channel::Me, "Late"),
            segment(1000, 2000, Channel::Others, "Early"),
            segment(1000, 3000, Channel::Me, "Both"),
            segment(2000, 2500, Channel::Me, ""),
        ]);
        assert_eq!(transcript.to_txt(), "Me: Both\nOthers: Early\nMe: Late\n");
    }

    #[test]
    fn subtitles_in_both_formats() {
        let transcript = transcript(&[
            segment(1234, 3_661_005, Channel::File, "1 < 2 & 3 --> 4"),
            TranscriptSegment {
                unclear: Some(Objection::Loop),
                ..segment(3_662_000, 3_663_000, Channel::Me, "")
            },
        ]);
        assert_eq!(
            transcript.to_srt(),
            "1\n00:00:01,234 --> 01:01:01,005\n1 < 2 & 3 → 4\n\n\
             2\n01:01:02,000 --> 01:01:03,000\nMe: (unclear)\n\n"
        );
        assert_eq!(
            transcript.to_vtt(),
            "WEBVTT\n\n00:00:01.234 --> 01:01:01.005\n1 &lt; 2 &amp; 3 → 4\n\n\
             01:01:02.000 --> 01:01:03.000\n<v Me>(unclear)\n"
        );
    }

    #[test]
    fn long_segments_become_several_cues_in_turn() {
        let text = "word ".repeat(40);
        let transcript = transcript(&[segment(10_000, 20_000, Channel::File, text.trim())]);
        let cues: Vec<Cue> = transcript.cues().collect();
        assert_eq!(cues.len(), 3);
        assert_eq!((cues[0].start_ms, cues[2].end_ms), (10_000, 20_000));
        assert!(
            cues.windows(2)
                .all(|pair| pair[0].end_ms == pair[1].start_ms)
        );
        assert!(
            cues.iter()
                .all(|cue| cue.lines.len() <= 2 && cue.lines.iter().all(|l| l.len() <= LINE))
        );
        let said: Vec<String> = cues.into_iter().flat_map(|cue| cue.lines).collect();
        assert_eq!(said.join(" "), text.trim());
    }

    #[test]
    fn a_translation_goes_with_its_sentence() {
        let two = TranscriptSegment {
            translations: vec!["Ja.".to_owned(), "Es *ist* so.".to_owned()],
            ..segment(61_000, 62_000, Channel::File, "Yes. It is [so].")
        };
        let transcript = transcript(&[two]);
        assert_eq!(
            transcript.to_txt(),
            "Yes. It is [so].\nJa. Es *ist* so.\n\n"
        );
        assert_eq!(
            transcript.to_markdown(),
            "- **00:01:01** Yes. It is \\[so\\].\n  \\\n  *Ja. Es \\*ist\\* so.*\n"
        );
        let srt = transcript.to_srt();
        assert!(
            srt.contains("\nYes.\nJa.\n\n2\n") && srt.ends_with("\nIt is [so].\nEs *ist* so.\n\n"),
            "{srt}"
        );
    }

    /// A cue as a reader of subtitles gives it: times in ms, and its text.
    type Read = (u32, u32, String);

    fn read_srt(file: &str) -> Vec<Read> {
        let read = Subtitles::parse_from_str(file.to_owned()).unwrap();
        let ms = |time: srtlib::Timestamp| {
            let (h, m, s, ms) = time.get();
            srtlib::Timestamp::convert_to_milliseconds(h, m, s, ms)
        };
        let cues = read.to_vec().into_iter().enumerate();
        let cue = |(at, cue): (usize, srtlib::Subtitle)| {
            assert_eq!(cue.num, at + 1);
            (ms(cue.start_time), ms(cue.end_time), cue.text)
        };
        cues.map(cue).collect()
    }

    fn read_vtt(file: &str) -> Vec<Read> {
        let read: WebVtt = file.parse().unwrap();
        let ms = |time: &vtt::VttTimestamp| time.as_duration().as_millis() as u32;
        let cue = |cue: vtt::VttCue| {
            let text = cue.payload.replace("&lt;", "<").replace("&gt;", ">");
            (ms(&cue.start), ms(&cue.end), text.replace("&amp;", "&"))
        };
        read.cues.into_iter().map(cue).collect()
    }

    fn without_spaces(text: &str) -> String {
        text.split_whitespace().collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Whatever is said, or written by the user in its place.
        #[test]
        fn readers_of_subtitles_find_every_word_in_its_time(
            said in vec((0..9000u32, 1..30_000u32, vec(select(&PIECES[..]), 1..40)), 1..6)
        ) {
            let mut transcript = Transcript::default();
            let mut end_ms = 0;
            for (pause, length, pieces) in said {
                let start_ms = end_ms + pause;
                end_ms = start_ms + length;
                let text = pieces.concat();
                if !text.trim().is_empty() {
                    transcript.push(segment(start_ms, end_ms, Channel::File, &text));
                }
            }
            for cues in [read_srt(&transcript.to_srt()), read_vtt(&transcript.to_vtt())] {
                let mut cues = cues.into_iter();
                for segment in transcript.segments() {
                    let expected = without_spaces(&segment.text.replace("-->", "→"));
                    let mut found = String::new();
                    let mut until = segment.start_ms;
                    while found.len() < expected.len() {
                        let (start_ms, end_ms, text) = cues.next().expect("another cue");
                        prop_assert_eq!(start_ms, until);
                        until = end_ms;
                        found += &without_spaces(&text);
                    }
                    prop_assert_eq!(found, expected);
                    prop_assert_eq!(until, segment.end_ms);
                }
                prop_assert_eq!(cues.next(), None);
            }
        }
    }

    const PIECES: [&str; 16] = [
        "word",
        " word",
        " and",
        ". ",
        "\n",
        "\n\n",
        " ",
        "-->",
        " --> ",
        "<b>",
        "&",
        " 12",
        "会議",
        " NOTE",
        "WEBVTT",
        " 00:00:01,000",
    ];
}

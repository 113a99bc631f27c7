use audio::FRAME;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// Loud is speech.
struct Loudness;

impl VoiceDetector for Loudness {
    fn probability(&mut self, frame: &[f32; FRAME]) -> f32 {
        if frame.iter().any(|s| s.abs() > 0.1) {
            0.9
        } else {
            0.1
        }
    }
}

/// What a scripted model is asked, and answers.
enum Line {
    Listen {
        seconds: f64,
        prompt: usize,
        begun: &'static str,
        draft: &'static str,
        answer: &'static str,
    },
    Loop,
    Answer {
        prompt: &'static str,
        answer: &'static str,
    },
    Fail,
}

struct Script(VecDeque<Line>);

impl Script {
    fn next(&mut self) -> Line {
        self.0.pop_front().expect("nothing more is asked")
    }
}

fn heard(text: &str) -> Heard {
    Heard {
        text: text.to_owned(),
        complete: true,
    }
}

impl Recogniser for Script {
    type Error = &'static str;

    fn listen(&mut self, listen: &Listen) -> Result<Heard, Self::Error> {
        match self.next() {
            Line::Listen {
                seconds,
                prompt,
                begun,
                draft,
                answer,
            } => {
                let found = listen.samples.len() as f64 / 16_000.0;
                assert!(
                    (found - seconds).abs() < 0.05,
                    "{found} s, expected {seconds}"
                );
                let english = Language::named("English").ok();
                assert_eq!(listen.prompt, prompts::transcribe(english, prompt));
                assert_eq!((listen.begun, listen.draft), (begun, draft));
                Ok(heard(answer))
            }
            Line::Loop => Ok(heard(&"and so ".repeat(9))),
            Line::Answer { .. } => panic!("asked about sound, expected a question in text"),
            Line::Fail => Err("out of order"),
        }
    }

    fn answer(&mut self, prompt: &str, _: usize) -> Result<Heard, Self::Error> {
        match self.next() {
            Line::Answer {
                prompt: expected,
                answer,
            } => {
                assert_eq!(prompt, expected);
                Ok(heard(answer))
            }
            _ => panic!("asked {prompt}"),
        }
    }
}

fn settings() -> Settings {
    Settings {
        language: Language::named("English").ok(),
        ..Settings::default()
    }
}

fn captioner(settings: Settings) -> Captioner<Loudness> {
    let segmenter = Segmenter::new(Loudness, SegmentRules::default());
    Captioner::with(Channel::Me, settings, segmenter)
}

fn speech(seconds: f64) -> Vec<f32> {
    vec![0.5; (seconds * 16_000.0) as usize]
}

fn silence(seconds: f64) -> Vec<f32> {
    vec![0.0; (seconds * 16_000.0) as usize]
}

/// Works until there is nothing to do.
fn captions(captioner: &mut Captioner<Loudness>, script: &mut Script) -> Vec<Caption> {
    let mut out = Vec::new();
    while captioner
        .work(script, &mut |caption| out.push(caption))
        .unwrap()
    {}
    out
}

/// Committed and tentative text, and whether it is the end of the segment.
fn texts(captions: &[Caption]) -> Vec<(&str, &str, bool)> {
    let text = |c: &'_ Caption| c.finished.is_some();
    captions
        .iter()
        .map(|c| (c.committed.as_str(), c.tentative.as_str(), text(c)))
        .collect()
}

#[test]
fn interim_hypotheses_settle_and_the_pause_ends_them() {
    let mut script = Script(VecDeque::from([
        Line::Listen {
            seconds: 0.5,
            prompt: 0,
            begun: "",
            draft: "",
            answer: "Good mor",
        },
        Line::Listen {
            seconds: 1.5,
            prompt: 0,
            begun: "",
            draft: "Good mor",
            answer: "Good morning old",
        },
        Line::Listen {
            seconds: 2.5,
            prompt: 0,
            begun: "Good",
            draft: " morning old",
            answer: " morning all.",
        },
        Line::Listen {
            seconds: 3.25,
            prompt: 0,
            begun: "Good morning",
            draft: " all.",
            answer: " all of you.",
        },
    ]));
    let mut captioner = captioner(settings());
    let mut out = Vec::new();
    for part in [
        speech(0.52),
        speech(1.01),
        speech(1.01),
        speech(0.1),
        silence(1.0),
    ] {
        captioner.hear(&part);
        out.extend(captions(&mut captioner, &mut script));
    }
    assert!(script.0.is_empty());
    assert_eq!(
        texts(&out),
        [
            ("", "Good mor", false),
            ("Good", "morning old", false),
            ("Good morning", "all.", false),
            ("Good morning all of you.", "", true),
        ]
    );
    let last = out.last().unwrap();
    let segment = last.finished.as_ref().unwrap();
    assert_eq!((segment.start_ms, segment.end_ms / 50), (0, 2640 / 50));
    assert_eq!(
        (last.segment, last.heard_ms, segment.channel),
        (0, 3640, Channel::Me)
    );
}

#[test]
fn a_recogniser_that_is_behind_finishes_segments_first_and_in_order() {
    let line = |seconds, answer| Line::Listen {
        seconds,
        prompt: 0,
        begun: "",
        draft: "",
        answer,
    };
    let mut script = Script(VecDeque::from([
        line(1.6, "One."),
        line(2.9, "Two."),
        line(2.3, "Three"),
    ]));
    let mut captioner = captioner(settings());
    for part in [
        speech(1.0),
        silence(1.0),
        speech(2.0),
        silence(1.0),
        speech(2.0),
    ] {
        captioner.hear(&part);
    }
    assert_eq!(captioner.n_waiting(), 2);
    let out = captions(&mut captioner, &mut script);
    assert_eq!(
        texts(&out),
        [("One.", "", true), ("Two.", "", true), ("", "Three", false)]
    );
    assert_eq!(out.iter().map(|c| c.segment).collect::<Vec<_>>(), [0, 1, 2]);
    assert!(script.0.is_empty());
}

#[test]
fn without_live_captions_only_the_end_is_asked_about() {
    let mut script = Script(VecDeque::from([Line::Listen {
        seconds: 3.0,
        prompt: 0,
        begun: "",
        draft: "",
        answer: "All of it.",
    }]));
    let mut captioner = captioner(Settings {
        live: false,
        ..settings()
    });
    for _ in 0..30 {
        captioner.hear(&speech(0.1));
        assert!(captions(&mut captioner, &mut script).is_empty());
    }
    captioner.end();
    assert_eq!(
        texts(&captions(&mut captioner, &mut script)),
        [("All of it.", "", true)]
    );
    // Nothing is left, and nothing comes twice.
    captioner.end();
    assert!(captions(&mut captioner, &mut script).is_empty());
}

#[test]
fn a_loop_is_asked_again_in_other_words() {
    let mut script = Script(VecDeque::from([
        Line::Loop,
        Line::Listen {
            seconds: 1.6,
            prompt: 1,
            begun: "",
            draft: "",
            answer: "Good morning.",
        },
    ]));
    let mut captioner = captioner(Settings {
        live: false,
        ..settings()
    });
    captioner.hear(&[speech(1.0), silence(1.0)].concat());
    let out = captions(&mut captioner, &mut script);
    assert_eq!(texts(&out), [("Good morning.", "", true)]);
    assert_eq!(out[0].finished.as_ref().unwrap().unclear, None);
}

#[test]
fn what_stays_unclear_is_said_to_be_and_keeps_what_was_committed() {
    let mut script = Script(VecDeque::from([
        Line::Listen {
            seconds: 0.5,
            prompt: 0,
            begun: "",
            draft: "",
            answer: "Good morning",
        },
        Line::Listen {
            seconds: 1.5,
            prompt: 0,
            begun: "",
            draft: "Good morning",
            answer: "Good morning all",
        },
        Line::Loop,
        Line::Loop,
        Line::Loop,
        // The next segment starts from nothing.
        Line::Listen {
            seconds: 2.9,
            prompt: 0,
            begun: "",
            draft: "",
            answer: "",
        },
    ]));
    let mut captioner = captioner(settings());
    let mut out = Vec::new();
    for part in [speech(0.52), speech(1.01), speech(1.01), silence(1.0)] {
        captioner.hear(&part);
        out.extend(captions(&mut captioner, &mut script));
    }
    assert_eq!(
        texts(&out),
        [
            ("", "Good morning", false),
            ("Good", "morning all", false),
            ("Good", "", true)
        ]
    );
    assert_eq!(
        out[2].finished.as_ref().unwrap().unclear,
        Some(Objection::Loop)
    );
    // Where the model hears nothing, there is nothing to show.
    captioner.hear(&[speech(2.0), silence(1.0)].concat());
    assert!(captions(&mut captioner, &mut script).is_empty());
    assert!(script.0.is_empty());
}

#[test]
fn committed_sentences_are_translated_once() {
    const ASK: &str = "Translate the following text into German:\n";
    let ask = |text: &str, answer| Line::Answer {
        prompt: format!("{ASK}{text}").leak(),
        answer,
    };
    let mut script = Script(VecDeque::from([
        Line::Listen {
            seconds: 0.5,
            prompt: 0,
            begun: "",
            draft: "",
            answer: "Yes. It is so",
        },
        Line::Listen {
            seconds: 1.5,
            prompt: 0,
            begun: "",
            draft: "Yes. It is so",
            answer: "Yes. It is so late.",
        },
        ask("Yes.", "Ja."),
        Line::Listen {
            seconds: 2.15,
            prompt: 0,
            begun: "Yes. It is",
            draft: " so late.",
            answer: " late.",
        },
        ask("It is late.", "Es ist spät."),
    ]));
    let mut captioner = captioner(Settings {
        translate: Language::named("de").ok(),
        ..settings()
    });
    let mut out = Vec::new();
    for part in [speech(0.52), speech(1.01), silence(1.0)] {
        captioner.hear(&part);
        out.extend(captions(&mut captioner, &mut script));
    }
    let translations: Vec<Option<&str>> = out.iter().map(|c| c.translation.as_deref()).collect();
    assert_eq!(
        translations,
        [
            None,
            None,
            Some("Ja."),
            Some("Ja."),
            Some("Ja. Es ist spät.")
        ]
    );
    // What was said does not wait for what it means.
    assert_eq!(
        (out[3].committed.as_str(), out[3].finished.is_none()),
        ("Yes. It is late.", true)
    );
    assert_eq!(
        out[4].finished.as_ref().unwrap().translations,
        ["Ja.", "Es ist spät."]
    );
}

#[test]
fn after_an_error_nothing_is_lost() {
    let again = || Line::Listen {
        seconds: 1.6,
        prompt: 0,
        begun: "",
        draft: "",
        answer: "Good morning.",
    };
    let mut script = Script(VecDeque::from([Line::Fail, again()]));
    let mut captioner = captioner(Settings {
        live: false,
        ..settings()
    });
    captioner.hear(&[speech(1.0), silence(1.0)].concat());
    assert_eq!(
        captioner.work(&mut script, &mut |_| panic!("no caption")),
        Err("out of order")
    );
    assert_eq!(
        texts(&captions(&mut captioner, &mut script)),
        [("Good morning.", "", true)]
    );
}

/// A model that says whatever it likes, and sometimes does not come to an end.
struct Fickle {
    answers: Vec<(String, bool)>,
    n_asked: usize,
}

impl Recogniser for Fickle {
    type Error = std::convert::Infallible;

    fn listen(&mut self, listen: &Listen) -> Result<Heard, Self::Error> {
        let (text, repeats) = &self.answers[self.n_asked % self.answers.len()];
        self.n_asked += 1;
        let text = if *repeats {
            format!("{}{text}", listen.draft)
        } else {
            text.clone()
        };
        let complete = !self.n_asked.is_multiple_of(7);
        Ok(Heard { text, complete })
    }

    fn answer(&mut self, _: &str, _: usize) -> Result<Heard, Self::Error> {
        Ok(heard("Ja."))
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_a_model_says_a_committed_word_never_changes(
        answers in vec(("( [ab]{1,3}[.]?){0,6}", any::<bool>()), 1..20),
        stretches in vec((1..300usize, 1..90usize), 1..5),
    ) {
        let language = Language::named("German").unwrap();
        let settings = Settings { translate: Some(language), ..Settings::default() };
        let segmenter = Segmenter::new(Loudness, SegmentRules::default());
        let mut captioner = Captioner::with(Channel::Me, settings, segmenter);
        let mut fickle = Fickle { answers, n_asked: 0 };
        let mut shown: Vec<Caption> = Vec::new();
        for (loud, quiet) in stretches {
            let sound = [vec![0.5; loud * FRAME], vec![0.0; quiet * FRAME]].concat();
            for piece in sound.chunks(8000) {
                captioner.hear(piece);
                while captioner.work(&mut fickle, &mut |caption| shown.push(caption)).unwrap() {}
            }
        }
        captioner.end();
        while captioner.work(&mut fickle, &mut |caption| shown.push(caption)).unwrap() {}
        for pair in shown.windows(2) {
            let (before, after) = (&pair[0], &pair[1]);
            if before.segment == after.segment {
                prop_assert!(before.finished.is_none());
                prop_assert!(after.committed.starts_with(&before.committed));
            } else {
                // What was shown last of a segment is what is kept of it.
                let kept = before.finished.as_ref().map(|segment| segment.text.as_str());
                prop_assert_eq!(kept, Some(before.committed.as_str()));
                prop_assert_eq!(after.segment, before.segment + 1);
            }
        }
    }
}

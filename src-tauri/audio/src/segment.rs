//! Cuts a stream of sound into stretches of speech.
//!
//! A segment begins a *pre-roll* before the *onset* of speech and ends a *hangover* after the last of it.
//! Nobody speaks for long without a breath, so the longer a segment is, the shorter the pause that ends it;
//! one that never pauses is cut at the quietest place of its last second.

use std::collections::VecDeque;

use crate::voice::{Earshot, FRAME, VoiceDetector, samples};

/// When speech begins, ends, and is cut. Lengths are in samples of 16 kHz.
#[derive(Clone, Debug, PartialEq)]
pub struct SegmentRules {
    /// A frame at least so probable speaks for a beginning.
    pub onset_probability: f32,
    /// So many of them in a row are a beginning.
    pub onset_frames: usize,
    /// Within a segment, a frame below this is a pause.
    pub hold_probability: f32,
    /// Sound kept from before the onset.
    pub pre_roll: usize,
    /// A pause that ends a segment, by the length from which it is enough; in order of length.
    pub hangovers: Vec<(usize, usize)>,
    /// No segment is longer.
    pub longest: usize,
    /// A segment with less speech than this was a click or a cough, and is dropped.
    pub least_speech: usize,
}

impl Default for SegmentRules {
    fn default() -> Self {
        Self {
            onset_probability: 0.6,
            onset_frames: 4,
            hold_probability: 0.35,
            pre_roll: samples(300),
            hangovers: vec![
                (0, samples(600)),
                (samples(8_000), samples(320)),
                (samples(11_000), samples(128)),
                (samples(14_000), samples(64)),
            ],
            longest: samples(20_000),
            least_speech: samples(250),
        }
    }
}

/// A stretch of speech. Positions are in samples since the stream began.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    pub start: u64,
    pub samples: Vec<f32>,
    pub speech: Speech,
}

/// Where in the stream a segment's speech is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Speech {
    /// The first sample of speech.
    pub start: u64,
    /// Behind the last one.
    pub end: u64,
    /// Samples of speech in between, pauses left out.
    pub samples: usize,
}

/// The segment that is being spoken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OpenSegment<'a> {
    pub start: u64,
    pub samples: &'a [f32],
    pub speech: Speech,
}

/// Takes samples as they come, in pieces of any length, and gives segments as they end.
pub struct Segmenter<D = Earshot> {
    detector: D,
    rules: SegmentRules,
    pending: Vec<f32>, // Invariant: shorter than a frame.
    /// The stream from `start` on: the open segment, or what may become its pre-roll.
    buffer: VecDeque<f32>,
    start: u64,
    /// Frames in a row that speak for a beginning.
    n_onset: usize,
    open: Option<Speech>,
}

impl Default for Segmenter {
    fn default() -> Self {
        Self::new(Earshot::default(), SegmentRules::default())
    }
}

impl<D: VoiceDetector> Segmenter<D> {
    pub fn new(detector: D, rules: SegmentRules) -> Self {
        Self {
            detector,
            rules,
            pending: Vec::new(),
            buffer: VecDeque::new(),
            start: 0,
            n_onset: 0,
            open: None,
        }
    }

    /// Takes the next samples, and appends the segments that end within them to `out`.
    pub fn push(&mut self, samples: &[f32], out: &mut Vec<Segment>) {
        let mut rest = samples;
        while self.pending.len() + rest.len() >= FRAME {
            let (head, tail) = rest.split_at(FRAME - self.pending.len());
            self.pending.extend_from_slice(head);
            rest = tail;
            let pending = std::mem::take(&mut self.pending);
            let frame = pending[..].try_into().expect("one frame was put together");
            self.take_frame(frame, out);
        }
        self.pending.extend_from_slice(rest);
    }

    /// The stream is over: ends the open segment.
    pub fn finish(&mut self, out: &mut Vec<Segment>) {
        let pending = std::mem::take(&mut self.pending);
        self.buffer.extend(pending);
        if self.open.is_some() {
            self.close(self.buffer.len(), out);
        }
        self.drop_front(self.buffer.len());
        self.n_onset = 0;
    }

    /// The segment that is being spoken, if it holds enough speech not to be dropped.
    pub fn open(&mut self) -> Option<OpenSegment<'_>> {
        let speech = self.open?;
        (speech.samples >= self.rules.least_speech).then(|| OpenSegment {
            start: self.start,
            samples: self.buffer.make_contiguous(),
            speech,
        })
    }

    /// Samples that are kept: the open segment, or what may become its pre-roll.
    pub fn held(&self) -> usize {
        self.buffer.len() + self.pending.len()
    }

    fn take_frame(&mut self, frame: &[f32; FRAME], out: &mut Vec<Segment>) {
        let probability = self.detector.probability(frame);
        self.buffer.extend(frame);
        let end = self.start + self.buffer.len() as u64;
        let Some(speech) = &mut self.open else {
            self.look_for_onset(probability, end);
            return;
        };
        if probability >= self.rules.hold_probability {
            speech.end = end;
            speech.samples += FRAME;
        }
        let pause = (end - speech.end) as usize;
        let length = self.buffer.len();
        let enough = self.rules.hangovers.iter().rev();
        let enough = enough
            .clone()
            .find(|(from, _)| length >= *from)
            .map_or(usize::MAX, |(_, pause)| *pause);
        if pause >= enough {
            self.close(length, out);
        } else if length + FRAME > self.rules.longest {
            let cut = self.quietest();
            self.cut(cut, out);
        }
    }

    fn look_for_onset(&mut self, probability: f32, end: u64) {
        if probability < self.rules.onset_probability {
            self.n_onset = 0;
        } else {
            self.n_onset += 1;
        }
        if self.n_onset >= self.rules.onset_frames {
            let samples = self.n_onset * FRAME;
            let start = end - samples as u64;
            self.open = Some(Speech {
                start,
                end,
                samples,
            });
            self.n_onset = 0;
            let before = (start - self.start) as usize;
            self.drop_front(before.saturating_sub(self.rules.pre_roll));
        } else {
            let needed = self.rules.pre_roll + self.rules.onset_frames * FRAME;
            self.drop_front(self.buffer.len().saturating_sub(needed));
        }
    }

    /// Ends the open segment after `length` samples; the rest stays as the next one's pre-roll.
    fn close(&mut self, length: usize, out: &mut Vec<Segment>) {
        let speech = self.open.take().expect("only an open segment is closed");
        let start = self.start;
        let samples: Vec<f32> = self.buffer.drain(..length).collect();
        self.start += length as u64;
        if speech.samples >= self.rules.least_speech {
            out.push(Segment {
                start,
                samples,
                speech,
            });
        }
    }

    /// Ends the open segment in the middle of speech; the rest is the beginning of the next.
    fn cut(&mut self, length: usize, out: &mut Vec<Segment>) {
        let speech = self.open.expect("only an open segment is cut");
        let at = self.start + length as u64;
        let after = speech.end.saturating_sub(at) as usize;
        self.open = Some(Speech {
            end: speech.end.min(at),
            samples: speech.samples.saturating_sub(after),
            ..speech
        });
        self.close(length, out);
        self.open = Some(Speech {
            start: at,
            end: at + after as u64,
            samples: after,
        });
    }

    /// The middle of the quietest 300 ms of the last second.
    fn quietest(&mut self) -> usize {
        let window = samples(300);
        let sound = self.buffer.make_contiguous();
        let first = sound.len().saturating_sub(samples(1000));
        let energy = |from: usize| -> f64 {
            let window = &sound[from..(from + window).min(sound.len())];
            window.iter().map(|s| f64::from(*s).powi(2)).sum()
        };
        let last = sound.len().saturating_sub(window).max(first);
        (first..=last)
            .step_by(samples(10))
            .min_by(|a, b| energy(*a).total_cmp(&energy(*b)))
            .map_or(sound.len(), |from| from + window / 2)
    }

    fn drop_front(&mut self, n: usize) {
        self.buffer.drain(..n);
        self.start += n as u64;
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};
    use std::time::Duration;

    use super::*;

    /// Loud is speech.
    struct Loudness;

    impl VoiceDetector for Loudness {
        fn probability(&mut self, frame: &[f32; FRAME]) -> f32 {
            let loudest = frame.iter().fold(0.0f32, |loudest, s| loudest.max(s.abs()));
            if loudest > 0.1 { 0.9 } else { 0.1 }
        }
    }

    /// Speech and silence in turn, by their lengths in frames; speech is at the level that is given.
    fn sound(parts: &[(f32, usize)]) -> Vec<f32> {
        let part = |&(level, n): &(f32, usize)| {
            (0..n * FRAME).map(move |i| if i % 2 == 0 { level } else { -level })
        };
        parts.iter().flat_map(part).collect()
    }

    fn segments<D: VoiceDetector>(
        mut segmenter: Segmenter<D>,
        sound: &[f32],
        pieces: &[usize],
    ) -> Vec<Segment> {
        let mut out = Vec::new();
        let mut rest = sound;
        for piece in pieces.iter().cycle() {
            let (head, tail) = rest.split_at((*piece).min(rest.len()));
            segmenter.push(head, &mut out);
            rest = tail;
            if rest.is_empty() {
                break;
            }
        }
        segmenter.finish(&mut out);
        out
    }

    fn by_loudness(sound: &[f32]) -> Vec<Segment> {
        segments(
            Segmenter::new(Loudness, SegmentRules::default()),
            sound,
            &[1000],
        )
    }

    /// Where each segment starts and how long it is, in frames.
    fn places(segments: &[Segment]) -> Vec<(f64, f64)> {
        let frames = |n: f64| n / FRAME as f64;
        segments
            .iter()
            .map(|s| (frames(s.start as f64), frames(s.samples.len() as f64)))
            .collect()
    }

    #[test]
    fn a_segment_has_its_pre_roll_and_its_hangover() {
        let found = by_loudness(&sound(&[(0.0, 100), (0.5, 50), (0.0, 100)]));
        // 600 ms are 37.5 frames, and a frame is the smallest unit.
        assert_eq!(places(&found), [(100.0 - 18.75, 18.75 + 50.0 + 38.0)]);
        let speech = found[0].speech;
        assert_eq!(
            (speech.start, speech.end, speech.samples),
            (100 * 256, 150 * 256, 50 * 256)
        );
        // A pause shorter than the hangover does not end it, and counts as no speech.
        let found = by_loudness(&sound(&[
            (0.0, 100),
            (0.5, 50),
            (0.0, 37),
            (0.5, 10),
            (0.0, 50),
        ]));
        assert_eq!((found.len(), found[0].speech.samples), (1, 60 * 256));
        let found = by_loudness(&sound(&[(0.5, 50), (0.0, 38), (0.5, 20)]));
        assert_eq!(found.len(), 2);
        // The pre-roll of the second begins where the first has ended.
        assert_eq!(
            found[1].start,
            found[0].start + found[0].samples.len() as u64
        );
    }

    #[test]
    fn clicks_and_coughs_are_dropped() {
        assert!(by_loudness(&sound(&[(0.0, 50), (0.5, 3), (0.0, 50)])).is_empty());
        assert!(by_loudness(&sound(&[(0.0, 50), (0.5, 15), (0.0, 50)])).is_empty());
        assert_eq!(
            by_loudness(&sound(&[(0.0, 50), (0.5, 16), (0.0, 50)])).len(),
            1
        );
        assert!(by_loudness(&[]).is_empty());
    }

    #[test]
    fn long_speech_ends_at_shorter_pauses() {
        // 500 frames are 8 s, from where 320 ms are enough; 688 are 11 s, from where 128 ms are.
        let found = by_loudness(&sound(&[
            (0.5, 510),
            (0.0, 20),
            (0.5, 700),
            (0.0, 8),
            (0.5, 100),
        ]));
        assert_eq!(
            places(&found),
            [(0.0, 530.0), (530.0, 708.0), (1238.0, 100.0)]
        );
    }

    #[test]
    fn speech_without_a_pause_is_cut_where_it_is_quietest() {
        // Quieter from 19.2 s to 19.52 s, though not a pause.
        let found = by_loudness(&sound(&[(0.5, 1200), (0.2, 20), (0.5, 1000)]));
        let cut = 1210.0;
        assert!(
            (places(&found)[0].1 - cut).abs() < 2.0,
            "{:?}",
            places(&found)
        );
        let total: usize = found.iter().map(|s| s.samples.len()).sum();
        assert_eq!(total, 2220 * 256);
        assert!(found.iter().all(|s| s.samples.len() <= samples(20_000)));
        // Nothing is lost or doubled at the cut, neither samples nor speech.
        assert_eq!(found[1].start, found[0].samples.len() as u64);
        assert_eq!(
            found.iter().map(|s| s.speech.samples).sum::<usize>(),
            2220 * 256
        );
    }

    fn clip(path: &str) -> Vec<f32> {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/demo");
        let path: PathBuf = fixtures.join(path);
        crate::read_sound(&path, Duration::from_secs(60))
            .unwrap()
            .samples
    }

    /// Clips one second of silence apart.
    fn spoken(clips: &[&str]) -> (Vec<f32>, Vec<(u64, u64)>) {
        let mut sound = vec![0.0; samples(1000)];
        let mut places = Vec::new();
        for name in clips {
            let clip = clip(name);
            places.push((sound.len() as u64, (sound.len() + clip.len()) as u64));
            sound.extend(clip);
            sound.extend(vec![0.0; samples(1000)]);
        }
        (sound, places)
    }

    const CLIPS: [&str; 6] = [
        "held-out/clips/voice-000.flac",
        "held-out/clips/human-003.flac",
        "by-hand/clips/05.flac",
        "held-out/clips/voice-006-noisy.flac",
        "by-hand/clips/02.flac",
        "held-out/clips/voice-009.flac",
    ];

    #[test]
    fn every_clip_is_found_where_it_is() {
        let (sound, places) = spoken(&CLIPS);
        let found = segments(Segmenter::default(), &sound, &[1600]);
        assert_eq!(found.len(), places.len());
        for ((segment, name), (start, end)) in found.iter().zip(CLIPS).zip(places) {
            if name.contains("noisy") {
                continue;
            }
            // What can be heard of the clip: more than a twentieth of its loudest sample.
            let clip = &sound[start as usize..end as usize];
            let loudest = clip.iter().fold(0.0f32, |loudest, s| loudest.max(s.abs()));
            let heard = |s: &f32| s.abs() > loudest / 20.0;
            let first = start + clip.iter().position(heard).unwrap() as u64;
            let last = start + clip.iter().rposition(heard).unwrap() as u64;
            let milliseconds = |a: u64, b: u64| (a as i64 - b as i64) / 16;
            let onset = milliseconds(segment.speech.start, first);
            let end = milliseconds(segment.speech.end, last);
            // Two of the clips have reverberation, which goes on as long.
            assert!(
                onset.abs() < 200 && end.abs() < 350,
                "{name}: begins {onset} ms and ends {end} ms behind what can be heard"
            );
        }
    }

    #[test]
    fn the_pieces_that_sound_comes_in_do_not_matter() {
        let (sound, _) = spoken(&CLIPS[..3]);
        let expected = segments(Segmenter::default(), &sound, &[sound.len()]);
        for pieces in [&[1][..], &[7, 255, 256, 257, 3000], &[480], &[16_000, 1, 5]] {
            assert_eq!(
                segments(Segmenter::default(), &sound, pieces),
                expected,
                "{pieces:?}"
            );
        }
    }

    #[test]
    fn silence_and_noise_are_no_speech() {
        for name in [
            "held-out/clips/silence-00.flac",
            "held-out/clips/noise-00.flac",
        ] {
            assert!(
                segments(Segmenter::default(), &clip(name), &[512]).is_empty(),
                "{name}"
            );
        }
        // Not even what is no sound at all.
        let odd: Vec<f32> = (0..16_000)
            .map(|i| if i % 3 == 0 { f32::NAN } else { f32::INFINITY })
            .collect();
        assert!(segments(Segmenter::default(), &odd, &[512]).is_empty());
    }

    #[test]
    fn an_hour_of_silence_takes_no_memory() {
        let mut segmenter = Segmenter::new(Loudness, SegmentRules::default());
        let mut out = Vec::new();
        for _ in 0..3600 {
            segmenter.push(&[0.0; 16_000], &mut out);
        }
        assert!(out.is_empty() && segmenter.open().is_none());
        assert!(segmenter.buffer.capacity() < 64_000);
    }
}

//! Threads that bring sound to the disk, as fast as it comes.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ::library::Recording;
use audio::{Capture, Notice, SAMPLE_RATE};

use super::stage::{Control, Stage};
use super::types::{LiveEvent, LiveNotice, NoticeKind};
use crate::failure::{about, about_sound, sentence};
use crate::transcribe::ChannelName;
use crate::types::ErrorCode;

/// A device is read so often.
const READ: Duration = Duration::from_millis(50);

/// Levels are shown so often.
const LEVEL: Duration = Duration::from_millis(100);

/// Who can wait for a disk that is full tries it so often.
const DISK: Duration = Duration::from_millis(250);

/// Sound that waits in memory while the disk refuses it: ten minutes, 19 MB.
const MAX_WAITING: usize = 600 * SAMPLE_RATE as usize;

/// Where the sound of a channel comes from.
pub(super) enum Feed {
    Device(Box<dyn SoundDevice>),
    File(PathBuf),
}

/// A device that gives 16 kHz mono. Does not wait.
pub trait SoundDevice: Send {
    /// Appends the samples that have come, and says what happened.
    fn read(&mut self, out: &mut Vec<f32>) -> Vec<Notice>;
}

impl SoundDevice for Capture {
    fn read(&mut self, out: &mut Vec<f32>) -> Vec<Notice> {
        Self::read(self, out)
    }
}

/// How far a recording has come, for who reads it meanwhile.
#[derive(Default)]
pub(super) struct Written {
    pub samples: AtomicU64,
    /// No more come.
    pub ended: AtomicBool,
}

pub(super) struct Recorder {
    pub recording: Recording,
    pub channel: ChannelName,
    pub stage: Arc<Stage>,
    pub control: Arc<Control>,
    pub written: Arc<Written>,
    /// When the first sound of any channel came, so that their times agree.
    pub began: Arc<OnceLock<Instant>>,
    pub could_not_save: bool,
    /// Samples that neither the disk nor memory took.
    pub n_lost: usize,
}

impl Recorder {
    pub fn start(mut self, feed: Feed) -> JoinHandle<()> {
        let work = move || {
            // Also when a decoder or a device panics: who reads must not wait forever.
            let written = Arc::clone(&self.written);
            let _ended = Ended(&written);
            match feed {
                Feed::Device(device) => self.record(device),
                Feed::File(path) => self.decode(&path),
            }
            self.close();
        };
        std::thread::Builder::new()
            .name("recorder".into())
            .spawn(work)
            .expect("the system gives a thread")
    }

    fn record(&mut self, mut device: Box<dyn SoundDevice>) {
        let mut samples = Vec::new();
        let mut meter = Meter::default();
        let mut started = false;
        while !self.control.stop.load(Ordering::Relaxed) {
            for notice in device.read(&mut samples) {
                self.tell(kind(notice));
            }
            if !samples.is_empty() {
                if !started {
                    started = true;
                    self.align(samples.len());
                }
                if let Some(level) = meter.push(&samples) {
                    let channel = self.channel;
                    self.stage.show(LiveEvent::Level { channel, level });
                }
                self.keep(&samples);
                samples.clear();
            }
            std::thread::sleep(READ);
        }
    }

    /// A device that opened later than the other has been silent until then.
    fn align(&mut self, n_samples: usize) {
        let now = Instant::now();
        let length = Duration::from_secs_f64(n_samples as f64 / f64::from(SAMPLE_RATE));
        let first = now.checked_sub(length).unwrap_or(now);
        let late = first.saturating_duration_since(*self.began.get_or_init(|| first));
        let late = (late.as_secs_f64() * f64::from(SAMPLE_RATE)) as usize;
        self.keep(&vec![0.0; late]);
    }

    fn decode(&mut self, path: &Path) {
        let control = Arc::clone(&self.control);
        let read = audio::stream_sound(path, &mut |samples| {
            self.keep(samples);
            // The file can wait.
            self.wait_for_disk();
            !control.stop.load(Ordering::Relaxed)
        });
        match read {
            Ok(None) => {}
            Ok(Some(damage)) => {
                self.file_damaged(about(path, ErrorCode::InputUnreadable, damage).message);
            }
            Err(error) => self.file_damaged(about_sound(path, &error).message),
        }
    }

    fn file_damaged(&self, message: String) {
        self.tell(NoticeKind::FileDamaged { message });
    }

    fn keep(&mut self, samples: &[f32]) {
        if self.recording.waiting() >= MAX_WAITING {
            self.n_lost += samples.len();
            // The disk is tried all the same.
            return self.append(&[]);
        }
        if self.n_lost > 0 {
            let ms = self.n_lost * 1000 / SAMPLE_RATE as usize;
            let ms = ms.try_into().unwrap_or(u32::MAX);
            self.tell(NoticeKind::SoundLost { ms });
        }
        // Silence takes the place of what was lost, so that times stay right.
        while self.n_lost > 0 && self.recording.waiting() < MAX_WAITING {
            let silence = vec![0.0; self.n_lost.min(SAMPLE_RATE as usize)];
            self.n_lost -= silence.len();
            self.append(&silence);
        }
        self.append(samples);
    }

    fn append(&mut self, samples: &[f32]) {
        let appended = self.recording.append(samples);
        self.written
            .samples
            .store(self.recording.written(), Ordering::Release);
        match appended {
            Ok(()) if self.could_not_save => {
                self.could_not_save = false;
                self.tell(NoticeKind::SavedAgain);
            }
            Err(error) if !self.could_not_save => {
                self.could_not_save = true;
                let message = sentence(&error.to_string());
                self.tell(NoticeKind::NotSaved { message });
            }
            _ => {}
        }
    }

    /// Waits until a disk that is full takes what is there, unless that is to be left.
    fn wait_for_disk(&mut self) {
        while self.recording.waiting() > 0 && !self.control.leave.load(Ordering::Relaxed) {
            std::thread::sleep(DISK);
            self.append(&[]);
        }
    }

    fn close(mut self) {
        self.wait_for_disk();
        let (samples, waiting) = (self.recording.written(), self.recording.waiting());
        let closed = self.recording.close();
        let lost = if closed.is_ok() { 0 } else { waiting };
        self.written
            .samples
            .store(samples + (waiting - lost) as u64, Ordering::Release);
    }

    fn tell(&self, notice: NoticeKind) {
        self.stage.show(LiveEvent::Notice(LiveNotice {
            channel: Some(self.channel),
            notice,
        }));
    }
}

struct Ended<'a>(&'a Written);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.ended.store(true, Ordering::Release);
    }
}

/// The loudest sample of each stretch of time, on a scale that suits ears: 60 dB from 0 to 1.
#[derive(Default)]
struct Meter {
    peak: f32,
    shown: Option<Instant>,
}

impl Meter {
    fn push(&mut self, samples: &[f32]) -> Option<f32> {
        self.peak = samples.iter().fold(self.peak, |peak, s| peak.max(s.abs()));
        if self.shown.is_some_and(|shown| shown.elapsed() < LEVEL) {
            return None;
        }
        self.shown = Some(Instant::now());
        Some(loudness(std::mem::take(&mut self.peak)))
    }
}

fn loudness(peak: f32) -> f32 {
    if peak <= 0.0 {
        return 0.0;
    }
    (1.0 + 20.0 * peak.log10() / 60.0).clamp(0.0, 1.0)
}

fn kind(notice: Notice) -> NoticeKind {
    match notice {
        Notice::Listening { device } => NoticeKind::Hearing { device },
        Notice::Lost { device } => NoticeKind::DeviceLost { device },
        Notice::Silent => NoticeKind::Silent,
        Notice::Heard => NoticeKind::Heard,
        Notice::Overrun { ms } => NoticeKind::SoundLost { ms },
    }
}

#[test]
fn levels_suit_ears() {
    for (peak, level) in [(0.0, 0.0), (0.0005, 0.0), (0.1, 2.0 / 3.0), (1.0, 1.0)] {
        assert!((loudness(peak) - level).abs() < 1e-4, "{peak}");
    }
}

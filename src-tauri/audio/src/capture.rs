//! Sound as it happens: the microphone, and what the computer plays.
//!
//! A device's callback only copies into a ring without locks and counts what did not fit. Everything else
//! is done where [`Capture::read`] is called: mixing to mono, resampling to 16 kHz, filling gaps so that
//! a second of the clock stays a second of sound, noticing silence, and finding a device anew that was lost.

mod device;
mod patient;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use rtrb::Consumer;

use crate::{Error, Resampler, SAMPLE_RATE};
use device::Cpal;
use patient::Patient;

/// What to listen to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Microphone,
    /// What the computer plays.
    System,
}

/// What happened to the sound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Samples come from the device of this name.
    Listening { device: String },
    /// The device is gone; silence takes its place until there is one again.
    Lost { device: String },
    /// There is nothing but exact zeros, which no microphone in a room gives.
    Silent,
    /// Sound again after such silence.
    Heard,
    /// So many milliseconds were lost because nobody read them in time.
    Overrun { ms: u32 },
}

/// What differs from system to system.
trait Devices: Send {
    /// Opens the device that is the default now.
    fn open(&mut self, source: Source) -> Result<Opened, Error>;

    /// The id of the device that is the default now, if that is known.
    fn default_id(&mut self, source: Source) -> Option<String>;

    /// Whether the device of this id is there; also where that cannot be known.
    fn is_there(&mut self, id: &str) -> bool;
}

/// A device that delivers.
struct Opened {
    id: String,
    name: String,
    rate: u32,
    channels: usize,
    /// Interleaved.
    ring: Consumer<f32>,
    /// Samples that did not fit.
    overrun: Arc<AtomicU64>,
    /// A message ends the stream.
    failed: Receiver<()>,
    /// Ends with the last of it.
    stream: Option<Box<dyn Send>>,
}

impl Drop for Opened {
    fn drop(&mut self) {
        // A sound server can take its time to let go of a stream, and nobody is to wait for that.
        let stream = self.stream.take();
        let letting_go = std::thread::Builder::new().name("device".into());
        let _ = letting_go.spawn(move || drop(stream));
    }
}

/// 16 kHz mono from a device, as long as it is kept.
pub struct Capture {
    source: Source,
    devices: Box<dyn Devices>,
    stream: Option<Stream>,
    device: String,
    /// When the first samples came.
    since: Option<Instant>,
    n_out: u64,
    zeros: u64,
    silent: bool,
    checked: Instant,
}

struct Stream {
    opened: Opened,
    resampler: Resampler,
    announced: bool,
    n_overrun: u64,
}

/// A device is looked for, and the default one compared, so often.
const LOOK: Duration = Duration::from_secs(1);

/// Sound that is later than this is not coming: a device that plays nothing delivers nothing on some systems.
const GAP: u64 = SAMPLE_RATE as u64;

/// Exact zeros for so long are said.
const SILENT: u64 = 5 * SAMPLE_RATE as u64;

impl Capture {
    /// Opens the default device.
    pub fn open(source: Source) -> Result<Self, Error> {
        Self::with(
            source,
            Box::new(Patient::new(Cpal::default())),
            Instant::now(),
        )
    }

    fn with(source: Source, mut devices: Box<dyn Devices>, now: Instant) -> Result<Self, Error> {
        let stream = Stream::new(devices.open(source)?)?;
        Ok(Self {
            source,
            devices,
            device: stream.opened.name.clone(),
            stream: Some(stream),
            since: None,
            n_out: 0,
            zeros: 0,
            silent: false,
            checked: now,
        })
    }

    /// Appends the samples that have come, and says what happened. Does not wait; call it some times a second.
    pub fn read(&mut self, out: &mut Vec<f32>) -> Vec<Notice> {
        self.read_at(Instant::now(), out)
    }

    /// Appends what is left, and ends.
    pub fn finish(mut self, out: &mut Vec<f32>) {
        self.let_go(out);
    }

    fn read_at(&mut self, now: Instant, out: &mut Vec<f32>) -> Vec<Notice> {
        let mut notices = Vec::new();
        let first = out.len();
        if let Some(stream) = &mut self.stream {
            stream.read(out, &mut notices);
        }
        if out.len() > first {
            self.since.get_or_insert(now);
        }
        self.look_after_device(now, out, &mut notices);
        self.n_out += (out.len() - first) as u64;
        self.notice_silence(&out[first..], &mut notices);
        self.fill_gap(now, out);
        notices
    }

    fn look_after_device(&mut self, now: Instant, out: &mut Vec<f32>, notices: &mut Vec<Notice>) {
        let failed = |stream: &Stream| stream.opened.failed.try_recv().is_ok();
        if self.stream.as_ref().is_some_and(failed) {
            self.let_go(out);
            let device = self.device.clone();
            notices.push(Notice::Lost { device });
            // Another may be the default already.
            self.checked = now.checked_sub(LOOK).unwrap_or(now);
        }
        if now.duration_since(self.checked) < LOOK {
            return;
        }
        self.checked = now;
        if let Some(stream) = &self.stream {
            let default = self.devices.default_id(self.source);
            if default.as_ref() == Some(&stream.opened.id) {
                return;
            }
            // A server can move the stream of a device that is pulled out to another one, without a word.
            let is_there = self.devices.is_there(&stream.opened.id);
            if is_there && default.is_none() {
                return;
            }
            if !is_there {
                let device = self.device.clone();
                notices.push(Notice::Lost { device });
            }
            // Otherwise the user chose another device, and expects to be heard there.
            self.let_go(out);
        }
        let opened = self.devices.open(self.source).and_then(Stream::new);
        if let Ok(stream) = opened {
            self.device.clone_from(&stream.opened.name);
            self.stream = Some(stream);
        }
    }

    /// Takes what is left of a stream.
    fn let_go(&mut self, out: &mut Vec<f32>) {
        if let Some(mut stream) = self.stream.take() {
            stream.read(out, &mut Vec::new());
            stream.resampler.finish(out);
        }
    }

    fn notice_silence(&mut self, samples: &[f32], notices: &mut Vec<Notice>) {
        for &sample in samples {
            self.zeros = if sample == 0.0 { self.zeros + 1 } else { 0 };
            if self.zeros == SILENT {
                self.silent = true;
                notices.push(Notice::Silent);
            } else if self.silent && sample != 0.0 {
                self.silent = false;
                notices.push(Notice::Heard);
            }
        }
    }

    fn fill_gap(&mut self, now: Instant, out: &mut Vec<f32>) {
        let Some(since) = self.since else { return };
        let elapsed = now.duration_since(since).as_secs_f64();
        let expected = (elapsed * f64::from(SAMPLE_RATE)) as u64;
        if expected > self.n_out + GAP {
            // A little less, for what is still on its way.
            let missing = expected - self.n_out - GAP / 2;
            out.resize(out.len() + missing as usize, 0.0);
            self.n_out += missing;
        }
    }
}

impl Stream {
    fn new(opened: Opened) -> Result<Self, Error> {
        Ok(Self {
            resampler: Resampler::new(opened.rate)?,
            opened,
            announced: false,
            n_overrun: 0,
        })
    }

    fn read(&mut self, out: &mut Vec<f32>, notices: &mut Vec<Notice>) {
        let opened = &mut self.opened;
        let channels = opened.channels;
        let n = opened.ring.slots() / channels * channels;
        if n > 0 {
            if !self.announced {
                self.announced = true;
                let device = opened.name.clone();
                notices.push(Notice::Listening { device });
            }
            let chunk = opened.ring.read_chunk(n).expect("so many are there");
            let (a, b) = chunk.as_slices();
            let interleaved = [a, b].concat();
            chunk.commit_all();
            let frames = interleaved.chunks_exact(channels);
            let mono: Vec<f32> = frames.map(crate::mean).collect();
            self.resampler.push(&mono, out);
        }
        let n_overrun = opened.overrun.load(Ordering::Relaxed);
        if n_overrun > self.n_overrun {
            let frames = (n_overrun - self.n_overrun) / channels as u64;
            let ms = frames * 1000 / u64::from(opened.rate);
            let ms = ms.try_into().unwrap_or(u32::MAX);
            notices.push(Notice::Overrun { ms });
            self.n_overrun = n_overrun;
        }
    }
}

#[cfg(test)]
mod tests;

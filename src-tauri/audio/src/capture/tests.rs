use std::collections::VecDeque;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Sender, channel};

use rtrb::{Producer, RingBuffer};

use super::*;

/// The other end of a device that a test plays into.
struct Played {
    ring: Producer<f32>,
    overrun: Arc<AtomicU64>,
    failing: Sender<()>,
}

impl Played {
    fn play(&mut self, samples: &[f32]) {
        for sample in samples {
            self.ring.push(*sample).unwrap();
        }
    }
}

fn device(name: &str, rate: u32, channels: usize) -> (Opened, Played) {
    let (producer, ring) = RingBuffer::new(1 << 20);
    let (failing, failed) = channel();
    let overrun = Arc::new(AtomicU64::new(0));
    let opened = Opened {
        id: name.into(),
        name: name.into(),
        rate,
        channels,
        ring,
        overrun: Arc::clone(&overrun),
        failed,
        stream: None,
    };
    (
        opened,
        Played {
            ring: producer,
            overrun,
            failing,
        },
    )
}

/// Devices that become the default one after the other; `None` where there is none for a while.
struct Scripted {
    next: VecDeque<Option<Opened>>,
    pulled_out: Arc<AtomicBool>,
}

impl Devices for Scripted {
    fn open(&mut self, _: Source) -> Result<Opened, Error> {
        self.next.pop_front().flatten().ok_or(Error::NoMicrophone)
    }

    fn default_id(&mut self, _: Source) -> Option<String> {
        self.next.front()?.as_ref().map(|opened| opened.id.clone())
    }

    fn is_there(&mut self, _: &str) -> bool {
        !self.pulled_out.load(Ordering::Relaxed)
    }
}

fn scripted(devices: Vec<Option<Opened>>) -> Scripted {
    Scripted {
        next: devices.into(),
        pulled_out: Arc::default(),
    }
}

fn capture(devices: Vec<Option<Opened>>, now: Instant) -> Capture {
    Capture::with(Source::Microphone, Box::new(scripted(devices)), now).unwrap()
}

fn listening(device: &str) -> Notice {
    Notice::Listening {
        device: device.into(),
    }
}

#[test]
fn two_channels_become_one_at_16_khz() {
    let now = Instant::now();
    let (opened, mut played) = device("a", 48_000, 2);
    let mut capture = capture(vec![Some(opened)], now);
    let mut out = Vec::new();
    assert_eq!(capture.read_at(now, &mut out), []);
    for _ in 0..48_000 {
        played.play(&[0.75, 0.25]);
    }
    assert_eq!(capture.read_at(now, &mut out), [listening("a")]);
    // What the resampler holds back is less than its block.
    assert!((15_000..=16_000).contains(&out.len()), "{}", out.len());
    assert!(out[1000..14_000].iter().all(|s| (s - 0.5).abs() < 1e-3));
}

#[test]
fn a_gap_is_filled_so_that_times_stay_right() {
    let now = Instant::now();
    let (opened, mut played) = device("a", 16_000, 1);
    let mut capture = capture(vec![Some(opened)], now);
    let mut out = Vec::new();
    let at = |seconds: f64| now + Duration::from_secs_f64(seconds);
    // Before the first samples there is no time.
    assert!(capture.read_at(at(60.0), &mut out).is_empty() && out.is_empty());
    played.play(&[0.5; 1600]);
    capture.read_at(at(100.0), &mut out);
    capture.read_at(at(100.9), &mut out);
    assert_eq!(out.len(), 1600);
    capture.read_at(at(104.0), &mut out);
    played.play(&[0.5; 1600]);
    capture.read_at(at(104.1), &mut out);
    let n = out.len() as f64 / 16_000.0;
    assert!((3.5..4.2).contains(&n), "{n} s in 4.1 s");
    assert_eq!(out.iter().filter(|s| **s == 0.5).count(), 3200);
}

#[test]
fn a_lost_device_is_said_and_the_next_one_taken() {
    let now = Instant::now();
    let (first, mut a) = device("a", 16_000, 1);
    let (second, mut b) = device("b", 48_000, 1);
    let mut capture = capture(vec![Some(first), None, Some(second)], now);
    let mut out = Vec::new();
    let at = |seconds: f64| now + Duration::from_secs_f64(seconds);
    a.play(&[0.5; 100]);
    assert_eq!(capture.read_at(at(0.1), &mut out), [listening("a")]);
    a.play(&[0.25; 50]);
    a.failing.send(()).unwrap();
    assert_eq!(
        capture.read_at(at(0.2), &mut out),
        [Notice::Lost { device: "a".into() }]
    );
    // What it had delivered is kept.
    assert_eq!(out.len(), 150);
    b.play(&[0.5; 9600]);
    // There was none at once, and none is looked for until a second later.
    assert_eq!(capture.read_at(at(0.9), &mut out), []);
    assert_eq!(capture.read_at(at(1.3), &mut out), []);
    assert_eq!(capture.read_at(at(1.4), &mut out), [listening("b")]);
    assert!(out.len() > 1500);
}

#[test]
fn the_default_device_is_followed() {
    let now = Instant::now();
    let (first, mut a) = device("a", 16_000, 1);
    let (second, mut b) = device("b", 16_000, 1);
    let mut capture = capture(vec![Some(first), Some(second)], now);
    let mut out = Vec::new();
    a.play(&[0.5; 10]);
    capture.read_at(now, &mut out);
    a.play(&[0.25; 10]);
    b.play(&[0.125; 10]);
    capture.read_at(now + LOOK, &mut out);
    assert_eq!(capture.read_at(now + LOOK, &mut out), [listening("b")]);
    assert_eq!(out, [[0.5; 10], [0.25; 10], [0.125; 10]].concat());
}

/// A server that moves the stream elsewhere leaves it alive, and gives zeros or another device's sound.
#[test]
fn a_device_that_is_gone_without_an_error_is_lost_all_the_same() {
    let now = Instant::now();
    let (first, mut a) = device("a", 16_000, 1);
    let (second, mut b) = device("b", 16_000, 1);
    let devices = scripted(vec![Some(first), None, Some(second)]);
    let pulled_out = Arc::clone(&devices.pulled_out);
    let mut capture = Capture::with(Source::Microphone, Box::new(devices), now).unwrap();
    let mut out = Vec::new();
    a.play(&[0.5; 10]);
    capture.read_at(now, &mut out);
    // Without a default device the one at hand is still good.
    assert_eq!(capture.read_at(now + LOOK, &mut out), []);
    pulled_out.store(true, Ordering::Relaxed);
    let lost = Notice::Lost { device: "a".into() };
    assert_eq!(capture.read_at(now + 2 * LOOK, &mut out), [lost]);
    b.play(&[0.25; 10]);
    capture.read_at(now + 3 * LOOK, &mut out);
    assert_eq!(capture.read_at(now + 3 * LOOK, &mut out), [listening("b")]);
    assert!(out.ends_with(&[0.25; 10]));
}

#[test]
fn exact_silence_and_overruns_are_said_once() {
    let now = Instant::now();
    let (opened, mut played) = device("a", 16_000, 2);
    let mut capture = capture(vec![Some(opened)], now);
    let mut out = Vec::new();
    let mut notices = Vec::new();
    for second in 0..8 {
        played.play(&[0.0; 32_000]);
        notices.extend(capture.read_at(now + Duration::from_secs(second), &mut out));
    }
    assert_eq!(notices, [listening("a"), Notice::Silent]);
    played.play(&[1e-4; 2]);
    assert_eq!(
        capture.read_at(now + Duration::from_secs(8), &mut out),
        [Notice::Heard]
    );
    played.overrun.fetch_add(6400, Ordering::Relaxed);
    let later = now + Duration::from_secs(8);
    assert_eq!(
        capture.read_at(later, &mut out),
        [Notice::Overrun { ms: 200 }]
    );
    assert_eq!(capture.read_at(later, &mut out), []);
}

#[test]
fn no_device_is_a_sentence() {
    let none = Capture::with(
        Source::Microphone,
        Box::new(scripted(vec![None])),
        Instant::now(),
    );
    let sentence = none.err().unwrap().to_string();
    assert!(sentence.starts_with("there is no microphone"), "{sentence}");
}

/// A sound server that answers nothing until it is let go.
struct Hanging {
    go_on: Receiver<()>,
    first: Option<Opened>,
}

impl Devices for Hanging {
    fn open(&mut self, _: Source) -> Result<Opened, Error> {
        self.first.take().ok_or(Error::NoMicrophone)
    }

    fn default_id(&mut self, _: Source) -> Option<String> {
        let _ = self.go_on.recv();
        Some("a".into())
    }

    fn is_there(&mut self, _: &str) -> bool {
        false
    }
}

#[test]
fn a_sound_server_that_hangs_does_not_hold_up_what_is_recorded() {
    let now = Instant::now();
    let (first, mut a) = device("a", 16_000, 1);
    let (go_on, hangs) = channel();
    let devices = Patient::new(Hanging {
        go_on: hangs,
        first: Some(first),
    });
    let mut capture = Capture::with(Source::Microphone, Box::new(devices), now).unwrap();
    let mut out = Vec::new();
    // It hangs at the first of these looks, and at the others nobody asks it again.
    for second in 1..50 {
        a.play(&[0.5; 16]);
        let notices = capture.read_at(now + second * LOOK, &mut out);
        assert!(second == 1 || notices.is_empty(), "{notices:?}");
    }
    assert_eq!(out.iter().filter(|s| **s == 0.5).count(), 49 * 16);
    // Then it answers, and is asked again.
    drop(go_on);
    let mut devices = capture.devices;
    while devices.default_id(Source::Microphone).is_none() {
        std::thread::sleep(Duration::from_millis(5));
    }
}

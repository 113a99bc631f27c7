//! Devices by way of cpal.
//!
//! | system | what the computer plays |
//! |---|---|
//! | Linux | the monitor source of the default sink, on PulseAudio or PipeWire |
//! | Windows | an input stream on the default output device: WASAPI loopback |
//! | macOS 14.6 or newer | the same: a process tap, for which the system asks the user |

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use cpal::traits::{DeviceTrait, HostTrait, StreamTrait};
use cpal::{
    BufferSize, Device, ErrorKind, FromSample, Host, HostId, I24, Sample, SampleFormat,
    SizedSample, Stream, StreamConfig, SupportedStreamConfig, U24,
};
use rtrb::{Producer, RingBuffer};

use super::{Devices, Opened, Source};
use crate::Error;

/// Sound that the ring holds: as long as looking for devices may take.
const RING_SECONDS: usize = 10;

/// How long the system may take to open a stream.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The sound system, asked over one connection as long as that holds.
#[derive(Default)]
pub(super) struct Cpal {
    host: Option<Host>,
    /// Where the last device was found. Another system is not asked any more: while a server is busy or starts again
    /// it would be ALSA, which has other devices, and takes the server's from it.
    id: Option<HostId>,
}

impl Cpal {
    fn host(&mut self) -> Option<&Host> {
        if self.host.is_none() {
            self.host = match self.id {
                Some(id) => cpal::host_from_id(id).ok(),
                None => Some(cpal::default_host()),
            };
        }
        self.host.as_ref()
    }

    /// All devices, and none where the connection is lost, which is then made anew.
    fn devices(&mut self) -> Option<Vec<Device>> {
        let devices = self.host()?.devices();
        if devices.is_err() {
            self.host = None;
        }
        Some(devices.ok()?.collect())
    }

    fn open_now(&mut self, source: Source) -> Result<Opened, Error> {
        let host = self.host().ok_or_else(|| missing(source))?;
        let device = find(host, source).ok_or_else(|| missing(source))?;
        let explain = |error: cpal::Error| explain(source, &error);
        let supported = config(&device, source).map_err(explain)?;
        let (rate, channels) = (supported.sample_rate(), usize::from(supported.channels()));
        let (producer, ring) = RingBuffer::new(RING_SECONDS * rate as usize * channels.max(1));
        let overrun = Arc::new(AtomicU64::new(0));
        let (failing, failed) = channel();
        let mut intake = Intake {
            producer: Some(producer),
            channels: channels.max(1),
            overrun: Arc::clone(&overrun),
        };
        let stream = build(&device, supported, &mut intake, failing).map_err(explain)?;
        stream.play().map_err(explain)?;
        Ok(Opened {
            id: device.id().map(|id| id.to_string()).unwrap_or_default(),
            name: device.to_string(),
            rate,
            channels: channels.max(1),
            ring,
            overrun,
            failed,
            stream: Some(Box::new(stream)),
        })
    }
}

impl Devices for Cpal {
    fn open(&mut self, source: Source) -> Result<Opened, Error> {
        let opened = self.open_now(source);
        match &opened {
            Ok(_) => self.id = self.host.as_ref().map(Host::id),
            // The connection may be what failed.
            Err(_) => self.host = None,
        }
        opened
    }

    fn default_id(&mut self, source: Source) -> Option<String> {
        Some(find(self.host()?, source)?.id().ok()?.to_string())
    }

    fn is_there(&mut self, id: &str) -> bool {
        let same = |device: Device| device.id().is_ok_and(|other| other.to_string() == id);
        let devices = self.devices();
        devices.is_none_or(|devices| devices.into_iter().any(same))
    }
}

#[cfg(target_os = "linux")]
fn find(host: &Host, source: Source) -> Option<Device> {
    match source {
        // A server without a microphone gives what the computer plays as one.
        Source::Microphone => host
            .default_input_device()
            .filter(|device| !device.id().is_ok_and(|id| id.id().ends_with(".monitor"))),
        Source::System => {
            let sink = host.default_output_device()?.id().ok()?;
            let monitor = format!("{}.monitor", sink.id());
            let mut devices = host.devices().ok()?;
            devices.find(|device| device.id().is_ok_and(|id| id.id() == monitor))
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn find(host: &Host, source: Source) -> Option<Device> {
    match source {
        Source::Microphone => host.default_input_device(),
        Source::System => host.default_output_device(),
    }
}

fn config(device: &Device, source: Source) -> Result<SupportedStreamConfig, cpal::Error> {
    // Elsewhere what is played is read from the device that plays it, which has no configuration for input.
    if source == Source::System && !cfg!(target_os = "linux") {
        device.default_output_config()
    } else {
        device.default_input_config()
    }
}

/// What the callback has. The producer moves into the stream when that can be built.
struct Intake {
    producer: Option<Producer<f32>>,
    channels: usize,
    overrun: Arc<AtomicU64>,
}

fn build(
    device: &Device,
    supported: SupportedStreamConfig,
    intake: &mut Intake,
    failing: Sender<()>,
) -> Result<Stream, cpal::Error> {
    match supported.sample_format() {
        SampleFormat::I8 => build_as::<i8>(device, supported, intake, failing),
        SampleFormat::I16 => build_as::<i16>(device, supported, intake, failing),
        SampleFormat::I24 => build_as::<I24>(device, supported, intake, failing),
        SampleFormat::I32 => build_as::<i32>(device, supported, intake, failing),
        SampleFormat::U8 => build_as::<u8>(device, supported, intake, failing),
        SampleFormat::U16 => build_as::<u16>(device, supported, intake, failing),
        SampleFormat::U24 => build_as::<U24>(device, supported, intake, failing),
        SampleFormat::U32 => build_as::<u32>(device, supported, intake, failing),
        SampleFormat::F32 => build_as::<f32>(device, supported, intake, failing),
        SampleFormat::F64 => build_as::<f64>(device, supported, intake, failing),
        _ => Err(ErrorKind::UnsupportedConfig.into()),
    }
}

fn build_as<T>(
    device: &Device,
    supported: SupportedStreamConfig,
    intake: &mut Intake,
    failing: Sender<()>,
) -> Result<Stream, cpal::Error>
where
    T: SizedSample + Send + 'static,
    f32: FromSample<T>,
{
    let mut config: StreamConfig = supported.config();
    // 200 ms: servers' own choice is up to 2 s, and less loses sound on a busy machine.
    let wanted = BufferSize::Fixed(config.sample_rate / 5);
    config.buffer_size = match supported.buffer_size() {
        cpal::SupportedBufferSize::Range { min, max } => {
            BufferSize::Fixed((config.sample_rate / 5).clamp(*min, *max))
        }
        cpal::SupportedBufferSize::Unknown => wanted,
    };
    let mut producer = intake.producer.take().expect("a stream is built once");
    let channels = intake.channels;
    let overrun = Arc::clone(&intake.overrun);
    let copy = move |samples: &[T], _: &cpal::InputCallbackInfo| {
        // Whole frames only, so that the channels stay where they are.
        let room = producer.slots() / channels * channels;
        let n = samples.len().min(room);
        for sample in &samples[..n] {
            if producer.push(f32::from_sample(*sample)).is_err() {
                break;
            }
        }
        overrun.fetch_add((samples.len() - n) as u64, Ordering::Relaxed);
    };
    let failed = move |error: cpal::Error| match error.kind() {
        ErrorKind::Xrun | ErrorKind::RealtimeDenied | ErrorKind::DeviceChanged => {}
        // Nobody listens any more when the stream is being let go of.
        _ => drop(failing.send(())),
    };
    device.build_input_stream(config, copy, failed, Some(TIMEOUT))
}

fn missing(source: Source) -> Error {
    match source {
        Source::Microphone => Error::NoMicrophone,
        Source::System => Error::NoSystemSound,
    }
}

fn explain(source: Source, error: &cpal::Error) -> Error {
    match error.kind() {
        ErrorKind::PermissionDenied => Error::NotAllowed,
        ErrorKind::DeviceBusy => Error::DeviceBusy,
        ErrorKind::DeviceNotAvailable | ErrorKind::HostUnavailable => missing(source),
        _ => Error::Device(error.to_string()),
    }
}

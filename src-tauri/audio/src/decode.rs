//! Sound files to packets of samples, by way of Symphonia.

use std::io::ErrorKind;

use opus_decoder::OpusDecoder;
use symphonia::core::codecs::audio::well_known as codec;
use symphonia::core::codecs::audio::{
    AudioCodecId, AudioCodecParameters, AudioDecoder, AudioDecoderOptions,
};
use symphonia::core::errors::Error as SymphoniaError;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, Track, TrackType};
use symphonia::core::io::{MediaSource, MediaSourceStream};
use symphonia::core::meta::MetadataOptions;
use symphonia::core::packet::Packet;

use crate::Error;

/// A sound file that is being read.
pub(crate) struct Decoder {
    format: Box<dyn FormatReader>,
    track_id: u32,
    codec: Codec,
    samples: Vec<f32>, // Interleaved.
    n_frames: u64,
    n_expected: Option<u64>,
    damage: Option<String>,
}

enum Codec {
    Symphonia(Box<dyn AudioDecoder>),
    Opus(OpusTrack),
}

struct OpusTrack {
    decoder: Box<OpusDecoder>,
    channels: usize,
    skip: usize, // Frames of the encoder's run-up still to take off.
    /// Whether packets say in frames how much of them is filling; WebM counts milliseconds and does not say it.
    trims_in_frames: bool,
}

/// Samples of one packet.
pub(crate) struct Block<'a> {
    pub samples: &'a [f32], // Interleaved.
    pub channels: usize,
    pub rate: u32,
}

/// Opus runs at this rate, whatever was recorded.
const OPUS_RATE: u32 = 48_000;

impl Decoder {
    pub fn open(source: Box<dyn MediaSource>, extension: Option<&str>) -> Result<Self, Error> {
        if source.byte_len() == Some(0) {
            return Err(Error::Empty);
        }
        let mut hint = Hint::new();
        if let Some(extension) = extension {
            hint.with_extension(extension);
        }
        let stream = MediaSourceStream::new(source, Default::default());
        let format = symphonia::default::get_probe()
            .probe(
                &hint,
                stream,
                FormatOptions::default(),
                MetadataOptions::default(),
            )
            .map_err(|error| match error {
                SymphoniaError::DecodeError(reason) => Error::Damaged(reason.into()),
                _ => Error::NotASound,
            })?;
        let track = format
            .default_track(TrackType::Audio)
            .ok_or(Error::NoTrack)?;
        let params = track
            .codec_params
            .as_ref()
            .and_then(|params| params.audio())
            .ok_or(Error::NoTrack)?;
        let codec = make_codec(track, params)?;
        // Files written without knowing their length say "as long as can be".
        let n_expected = track.num_frames.filter(|n| *n < u64::from(u32::MAX) / 16);
        Ok(Self {
            track_id: track.id,
            codec,
            samples: Vec::new(),
            n_frames: 0,
            n_expected,
            damage: None,
            format,
        })
    }

    /// The next samples, or `None` at the end. What cannot be decoded in between is left out.
    pub fn next(&mut self) -> Result<Option<Block<'_>>, Error> {
        loop {
            let packet = match self.format.next_packet() {
                Ok(Some(packet)) => packet,
                Ok(None) => return Ok(None),
                Err(SymphoniaError::IoError(error)) if error.kind() == ErrorKind::UnexpectedEof => {
                    if self.n_expected.is_some() {
                        self.damage.get_or_insert("it is cut short".into());
                    }
                    return Ok(None);
                }
                Err(error) => {
                    self.damage.get_or_insert(error.to_string());
                    return Ok(None);
                }
            };
            if packet.track_id != self.track_id {
                continue;
            }
            match self.codec.decode(&packet, &mut self.samples) {
                Ok((_, 0)) => {}
                Ok((rate, channels)) => {
                    self.n_frames += (self.samples.len() / channels) as u64;
                    return Ok(Some(Block {
                        samples: &self.samples,
                        channels,
                        rate,
                    }));
                }
                Err(damage) => {
                    self.damage.get_or_insert(damage);
                }
            }
        }
    }

    /// What was wrong with the file so far; after the end, also whether some of it is missing.
    ///
    /// For MP3 files the expected length is often an estimate, so a fiftieth less is no damage.
    pub fn damage(&self) -> Option<String> {
        let missing = self
            .n_expected
            .is_some_and(|expected| expected > self.n_frames + expected / 50);
        self.damage
            .clone()
            .or_else(|| missing.then(|| "it is cut short".into()))
    }
}

impl Codec {
    /// Replaces `samples` with the packet's, and gives their rate and number of channels (0: no samples).
    fn decode(&mut self, packet: &Packet, samples: &mut Vec<f32>) -> Result<(u32, usize), String> {
        samples.clear();
        match self {
            Self::Symphonia(decoder) => {
                let buffer = decoder.decode(packet).map_err(|error| error.to_string())?;
                buffer.copy_to_vec_interleaved(samples);
                let channels = if samples.is_empty() {
                    0
                } else {
                    buffer.spec().channels().count()
                };
                Ok((buffer.spec().rate(), channels))
            }
            Self::Opus(track) => {
                track.decode(packet, samples)?;
                Ok((
                    OPUS_RATE,
                    if samples.is_empty() {
                        0
                    } else {
                        track.channels
                    },
                ))
            }
        }
    }
}

impl OpusTrack {
    fn new(track: &Track, params: &AudioCodecParameters) -> Result<Self, Error> {
        let channels = params
            .channels
            .as_ref()
            .map_or(2, |channels| channels.count());
        let decoder = OpusDecoder::new(OPUS_RATE, channels).map_err(|_| Error::UnusualFormat {
            rate: OPUS_RATE,
            channels,
        })?;
        // Symphonia finds the run-up but takes it off nowhere.
        let skip = match params.extra_data.as_deref() {
            Some(
                [
                    b'O',
                    b'p',
                    b'u',
                    b's',
                    b'H',
                    b'e',
                    b'a',
                    b'd',
                    _,
                    _,
                    low,
                    high,
                    ..,
                ],
            ) => usize::from(u16::from_le_bytes([*low, *high])),
            _ => track.delay.unwrap_or(0) as usize,
        };
        let trims_in_frames = track
            .time_base
            .is_some_and(|base| base.denom.get() == OPUS_RATE);
        Ok(Self {
            decoder: Box::new(decoder),
            channels,
            skip,
            trims_in_frames,
        })
    }

    fn decode(&mut self, packet: &Packet, samples: &mut Vec<f32>) -> Result<(), String> {
        samples.resize(OpusDecoder::MAX_FRAME_SIZE_48K * self.channels, 0.0);
        let n = self
            .decoder
            .decode_float(&packet.data, samples, false)
            .map_err(|error| error.to_string())?;
        let filling = if self.trims_in_frames {
            packet.trim_end.get() as usize
        } else {
            0
        };
        let start = self.skip.min(n);
        self.skip -= start;
        samples.truncate(n.saturating_sub(filling).max(start) * self.channels);
        samples.drain(..start * self.channels);
        Ok(())
    }
}

fn make_codec(track: &Track, params: &AudioCodecParameters) -> Result<Codec, Error> {
    if params.codec == codec::CODEC_ID_OPUS {
        return OpusTrack::new(track, params).map(Codec::Opus);
    }
    match symphonia::default::get_codecs()
        .make_audio_decoder(params, &AudioDecoderOptions::default())
    {
        Ok(decoder) => Ok(Codec::Symphonia(decoder)),
        Err(SymphoniaError::DecodeError(reason)) => Err(Error::Damaged(reason.into())),
        Err(_) => Err(Error::UnknownCodec {
            codec: codec_name(params.codec),
        }),
    }
}

fn codec_name(id: AudioCodecId) -> String {
    let name = match id {
        codec::CODEC_ID_AAC => "a kind of AAC other than AAC-LC",
        codec::CODEC_ID_AC3 => "Dolby Digital",
        codec::CODEC_ID_EAC3 => "Dolby Digital Plus",
        codec::CODEC_ID_AC4 => "Dolby AC-4",
        codec::CODEC_ID_DCA => "DTS",
        codec::CODEC_ID_WMA => "Windows Media Audio",
        codec::CODEC_ID_SPEEX => "Speex",
        codec::CODEC_ID_MUSEPACK => "Musepack",
        codec::CODEC_ID_WAVPACK => "WavPack",
        other => return format!("codec {other}"),
    };
    name.into()
}

//! Files for a question: taken into the library, and shown in small.

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use image::RgbImage;

use crate::Api;
use crate::ask::{read_picture, read_sound, unreadable};
use crate::failure::{about, about_picture};
use crate::library::message_part;
use crate::types::{ApiError, Attached, ErrorCode, MessagePart, Waveform};

/// About as much as the published models' context holds.
const MAX_TEXT_BYTES: u64 = 128 << 10;

/// What the model hears at once.
pub(crate) const MAX_HEARD_SECONDS: f64 = 30.0;

/// Stretches of a sound that are drawn as bars.
const PEAKS: usize = 48;

const PICTURES: &[&str] = &["png", "jpg", "jpeg", "webp", "gif", "bmp", "tif", "tiff"];

const SOUNDS: &[&str] = &[
    "wav", "mp3", "flac", "ogg", "oga", "opus", "m4a", "mp4", "aac", "aif", "aiff", "caf", "webm",
];

impl Api {
    /// Takes a picture, a sound or a text file into the library, if it can be read.
    pub fn attach(&self, path: &Path) -> Result<Attached, ApiError> {
        let library = self.library()?;
        let extension = path.extension().and_then(|e| e.to_str());
        let extension = extension.unwrap_or_default().to_ascii_lowercase();
        let name = path.file_name().unwrap_or(path.as_os_str());
        if path.is_dir() {
            let advice = "this is a folder; attach the files in it";
            return Err(about(path, ErrorCode::InputIsFolder, advice));
        }
        let mut notice = None;
        let part = if PICTURES.contains(&extension.as_str()) {
            read_picture(path)?;
            message_part(::library::Part::Picture(library.add_file(path)?))
        } else if SOUNDS.contains(&extension.as_str()) {
            let (samples, damage) = read_sound(path)?;
            let seconds = seconds(&samples);
            if seconds > MAX_HEARD_SECONDS {
                let limit = format!(
                    "the sound is {seconds:.1} s long; at most {MAX_HEARD_SECONDS} s can be heard at once"
                );
                return Err(about(path, ErrorCode::InputTooLong, limit));
            }
            notice = damage;
            message_part(::library::Part::Sound(library.add_file(path)?))
        } else {
            MessagePart::Quote {
                name: name.to_string_lossy().into_owned(),
                text: read_text(path)?,
            }
        };
        Ok(Attached { part, notice })
    }

    /// Takes in a picture from the clipboard, whose bytes come in base64.
    pub fn attach_pasted(&self, name: &str, base64: &str) -> Result<Attached, ApiError> {
        let library = self.library()?;
        let bytes = BASE64
            .decode(base64)
            .map_err(|e| ApiError::new(ErrorCode::Internal, e.to_string()))?;
        gemma3n::decode_picture(&bytes).map_err(|e| about_picture(Path::new(name), &e))?;
        let stored = library.add_bytes(&bytes, name)?;
        Ok(Attached {
            part: message_part(::library::Part::Picture(stored)),
            notice: None,
        })
    }

    /// Lets go of an attached file that was not sent.
    pub fn discard_file(&self, file: &str) -> Result<(), ApiError> {
        Ok(self.library()?.discard_file(file)?)
    }

    /// Where a file of the library lies.
    pub fn file_path(&self, file: &str) -> Result<PathBuf, ApiError> {
        Ok(self.library()?.file_path(file)?)
    }

    /// A picture of the library as a data: address, at most `side` pixels wide and high.
    pub fn preview(&self, file: &str, side: u32) -> Result<String, ApiError> {
        let path = self.file_path(file)?;
        let picture = read_picture(&path)?;
        let side = side.clamp(16, 2048);
        let small = fit(&picture, side);
        let mut png = Vec::new();
        small
            .write_to(&mut Cursor::new(&mut png), image::ImageFormat::Png)
            .map_err(|e| about(&path, ErrorCode::Internal, e))?;
        Ok(format!("data:image/png;base64,{}", BASE64.encode(png)))
    }

    /// How long a sound of the library is, and how loud where.
    pub fn waveform(&self, file: &str) -> Result<Waveform, ApiError> {
        let (samples, _) = read_sound(&self.file_path(file)?)?;
        let stretch = samples.len().div_ceil(PEAKS).max(1);
        let peak = |chunk: &[f32]| chunk.iter().fold(0.0, |peak: f32, s| peak.max(s.abs()));
        Ok(Waveform {
            seconds: seconds(&samples),
            peaks: samples.chunks(stretch).map(|c| peak(c).min(1.0)).collect(),
        })
    }
}

fn seconds(samples: &[f32]) -> f64 {
    samples.len() as f64 / f64::from(audio::SAMPLE_RATE)
}

/// Scaled down so that it fits a square; a smaller one stays as it is.
fn fit(picture: &RgbImage, side: u32) -> RgbImage {
    let (width, height) = picture.dimensions();
    let longer = width.max(height);
    if longer <= side {
        return picture.clone();
    }
    let scaled = |n: u32| ((u64::from(n) * u64::from(side) / u64::from(longer)) as u32).max(1);
    image::imageops::thumbnail(picture, scaled(width), scaled(height))
}

/// A text file in UTF-8 or, with its mark, UTF-16.
fn read_text(path: &Path) -> Result<String, ApiError> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_TEXT_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|e| unreadable(path, &e))?;
    if bytes.len() as u64 > MAX_TEXT_BYTES {
        let limit = format!(
            "the text is longer than {} KiB, more than the model can take in at once",
            MAX_TEXT_BYTES >> 10
        );
        return Err(about(path, ErrorCode::InputTooLarge, limit));
    }
    let units = |of: fn([u8; 2]) -> u16| {
        let (pairs, rest) = bytes[2..].as_chunks::<2>();
        let text = String::from_utf16(&pairs.iter().map(|pair| of(*pair)).collect::<Vec<_>>());
        text.ok().filter(|_| rest.is_empty())
    };
    let text = match bytes.as_slice() {
        [0xFF, 0xFE, ..] => units(u16::from_le_bytes),
        [0xFE, 0xFF, ..] => units(u16::from_be_bytes),
        [0xEF, 0xBB, 0xBF, rest @ ..] => String::from_utf8(rest.to_vec()).ok(),
        bytes => String::from_utf8(bytes.to_vec()).ok(),
    };
    let control = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\u{c}');
    match text.filter(|text| !text.contains(control)) {
        Some(text) if text.trim().is_empty() => {
            Err(about(path, ErrorCode::InputEmpty, "the file is empty"))
        }
        Some(text) => Ok(text.replace("\r\n", "\n")),
        None => Err(about(
            path,
            ErrorCode::InputUnknown,
            "this is neither a picture, a sound nor a text that Sotto can read",
        )),
    }
}

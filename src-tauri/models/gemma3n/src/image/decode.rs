//! Picture files to RGB, with limits against pictures that are made to exhaust memory.

use std::io::Cursor;
use std::num::NonZeroU64;
use std::panic::{AssertUnwindSafe, catch_unwind};

use image::error::{ImageError, LimitErrorKind};
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage};

use crate::InputError;

const MAX_SIDE: u32 = 16_384;
const MAX_BYTES: u64 = 512 << 20;

/// Decodes PNG, JPEG, WebP, GIF (its first frame), BMP and TIFF.
pub fn decode_picture(bytes: &[u8]) -> Result<RgbImage, InputError> {
    let format = image::guess_format(bytes).map_err(|_| InputError::NotAPicture)?;
    // The decoders read files from anywhere; a panic in one of them is a damaged file, not our end.
    catch_unwind(AssertUnwindSafe(|| match format {
        ImageFormat::Gif => decode_gif(bytes),
        ImageFormat::Jpeg if !jpeg_is_whole(bytes) => Err(InputError::PictureCutShort),
        _ => decode_any(bytes, format),
    }))
    .unwrap_or_else(|_| Err(InputError::PictureDamaged("its decoder gave up".into())))
}

fn decode_any(bytes: &[u8], format: ImageFormat) -> Result<RgbImage, InputError> {
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_BYTES);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits);
    let mut decoder = reader
        .into_decoder()
        .map_err(|error| explain(error, (0, 0)))?;
    let (width, height) = decoder.dimensions();
    check_size(width, height, decoder.total_bytes())?;
    let orientation = decoder
        .orientation()
        .map_err(|error| explain(error, (width, height)))?;
    let mut picture =
        DynamicImage::from_decoder(decoder).map_err(|error| explain(error, (width, height)))?;
    picture.apply_orientation(orientation);
    to_rgb(picture)
}

fn check_size(width: u32, height: u32, bytes: u64) -> Result<(), InputError> {
    if width > MAX_SIDE || height > MAX_SIDE {
        return Err(InputError::PictureTooWide {
            width,
            height,
            max: MAX_SIDE,
        });
    }
    if width == 0 || height == 0 {
        return Err(InputError::PictureDamaged("it has no pixels".into()));
    }
    if bytes > MAX_BYTES {
        return Err(InputError::PictureTooLarge {
            width,
            height,
            max_mib: MAX_BYTES >> 20,
        });
    }
    Ok(())
}

/// Converts as Pillow does: alpha is dropped, of 16-bit colours the high byte is kept, and 16-bit
/// grey is cut off at 255.
fn to_rgb(picture: DynamicImage) -> Result<RgbImage, InputError> {
    let (width, height) = (picture.width(), picture.height());
    let high = |value: u16| (value >> 8) as u8;
    let data: Vec<u8> = match picture {
        DynamicImage::ImageRgb8(picture) => return Ok(picture),
        DynamicImage::ImageRgba8(picture) => {
            picture.pixels().flat_map(|p| [p[0], p[1], p[2]]).collect()
        }
        DynamicImage::ImageLuma8(picture) => picture.pixels().flat_map(|p| [p[0]; 3]).collect(),
        DynamicImage::ImageLumaA8(picture) => picture.pixels().flat_map(|p| [p[0]; 3]).collect(),
        DynamicImage::ImageLuma16(picture) => picture
            .pixels()
            .flat_map(|p| [p[0].min(255) as u8; 3])
            .collect(),
        DynamicImage::ImageLumaA16(picture) => {
            picture.pixels().flat_map(|p| [high(p[0]); 3]).collect()
        }
        DynamicImage::ImageRgb16(picture) => picture.pixels().flat_map(|p| p.0.map(high)).collect(),
        DynamicImage::ImageRgba16(picture) => picture
            .pixels()
            .flat_map(|p| [high(p[0]), high(p[1]), high(p[2])])
            .collect(),
        other => {
            return Err(InputError::PictureUnsupported(format!(
                "its pixels are {:?}",
                other.color()
            )));
        }
    };
    Ok(RgbImage::from_raw(width, height, data).expect("every pixel became three bytes"))
}

/// The first frame, with the palette's colour also where the frame is transparent.
fn decode_gif(bytes: &[u8]) -> Result<RgbImage, InputError> {
    let mut options = gif::DecodeOptions::new();
    options.set_color_output(gif::ColorOutput::Indexed);
    options.set_memory_limit(gif::MemoryLimit::Bytes(
        NonZeroU64::new(MAX_BYTES).expect("the limit is not zero"),
    ));
    let mut decoder = options.read_info(Cursor::new(bytes)).map_err(explain_gif)?;
    let (screen_width, screen_height) = (u32::from(decoder.width()), u32::from(decoder.height()));
    let global = decoder.global_palette().map(<[u8]>::to_vec);
    let frame = decoder
        .read_next_frame()
        .map_err(explain_gif)?
        .ok_or(InputError::PictureCutShort)?;
    let (left, top) = (u32::from(frame.left), u32::from(frame.top));
    let (frame_width, frame_height) = (u32::from(frame.width), u32::from(frame.height));
    let (width, height) = (
        screen_width.max(left + frame_width),
        screen_height.max(top + frame_height),
    );
    check_size(width, height, u64::from(width) * u64::from(height) * 3)?;

    let palette = frame.palette.as_ref().or(global.as_ref());
    let colour = |index: u8| match palette {
        None => image::Rgb([index; 3]),
        Some(palette) => {
            let start = usize::from(index) * 3;
            image::Rgb(
                palette
                    .get(start..start + 3)
                    .map_or([0; 3], |c| [c[0], c[1], c[2]]),
            )
        }
    };
    let mut picture = RgbImage::from_pixel(width, height, colour(frame.transparent.unwrap_or(0)));
    for (y, row) in (top..).zip(frame.buffer.chunks_exact(frame_width.max(1) as usize)) {
        for (x, &index) in (left..).zip(row) {
            picture.put_pixel(x, y, colour(index));
        }
    }
    Ok(picture)
}

/// Whether the end-of-image marker is there; the decoder itself fills what is missing with grey.
fn jpeg_is_whole(bytes: &[u8]) -> bool {
    let mut pos = 2; // Behind the start-of-image marker.
    while let Some(&[first, marker]) = bytes.get(pos..pos + 2) {
        match (first, marker) {
            (0xFF, 0xD9) => return true,
            // Inside a scan: entropy-coded bytes, stuffed zeros and restart markers.
            (0xFF, 0x00 | 0x01 | 0xD0..=0xD8) => pos += 2,
            (0xFF, 0xFF) => pos += 1,
            // Any other marker starts a segment with a length; thumbnails with their own end hide in there.
            (0xFF, _) => match bytes.get(pos + 2..pos + 4) {
                Some(&[high, low]) => {
                    pos += 2 + usize::from(u16::from_be_bytes([high, low])).max(2)
                }
                _ => return false,
            },
            _ => pos += 1,
        }
    }
    false
}

fn explain(error: ImageError, (width, height): (u32, u32)) -> InputError {
    match error {
        ImageError::Limits(limit) => match limit.kind() {
            LimitErrorKind::DimensionError => InputError::PictureTooWide {
                width,
                height,
                max: MAX_SIDE,
            },
            _ => InputError::PictureTooLarge {
                width,
                height,
                max_mib: MAX_BYTES >> 20,
            },
        },
        ImageError::Unsupported(what) => {
            InputError::PictureUnsupported(lower_first(&what.to_string()))
        }
        ImageError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            InputError::PictureCutShort
        }
        other => InputError::PictureDamaged(lower_first(&other.to_string())),
    }
}

fn explain_gif(error: gif::DecodingError) -> InputError {
    match error {
        gif::DecodingError::Io(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            InputError::PictureCutShort
        }
        other => InputError::PictureDamaged(lower_first(&other.to_string())),
    }
}

/// Other libraries' sentences start with a capital and end with a full stop; ours do not.
fn lower_first(sentence: &str) -> String {
    let mut chars = sentence.trim_end_matches('.').chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_lowercase().chain(chars).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::tensors;

    #[test]
    fn decodes_as_the_reference_loader() {
        let goldens = tensors("pictures/pictures.safetensors");
        let (mut n_checked, mut wrong) = (0, Vec::new());
        for name in goldens.stems(".file") {
            let picture = match decode_picture(&goldens.bytes(&format!("{name}.file"))) {
                Ok(picture) => picture,
                Err(error) => {
                    wrong.push(format!("{name}: {error}"));
                    continue;
                }
            };
            let shape = goldens.shape(&format!("{name}.rgb"));
            assert_eq!(
                [picture.height() as usize, picture.width() as usize, 3],
                shape[..],
                "{name}"
            );
            let expected = goldens.bytes(&format!("{name}.rgb"));
            let worst = picture
                .as_raw()
                .iter()
                .zip(&expected)
                .map(|(a, b)| a.abs_diff(*b))
                .max()
                .unwrap();
            let tolerance = if name.ends_with("_jpeg") || name == "lossy_webp" {
                4
            } else {
                0
            };
            if worst > tolerance {
                wrong.push(format!("{name} differs by {worst}"));
            }
            n_checked += 1;
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
        assert!(n_checked > 40);
    }

    /// Every file is cut at every length: an error, or (when only trailing bytes are lost) the same picture.
    #[test]
    fn a_truncated_file_is_a_sentence() {
        let goldens = tensors("pictures/pictures.safetensors");
        for name in goldens.stems(".file") {
            let file = goldens.bytes(&format!("{name}.file"));
            let whole = decode_picture(&file).unwrap();
            for len in 0..file.len() {
                match decode_picture(&file[..len]) {
                    Ok(picture) => assert!(
                        picture == whole,
                        "{name} cut to {len} of {} bytes",
                        file.len()
                    ),
                    Err(error) => assert!(!error.to_string().is_empty()),
                }
            }
            if name.ends_with("_jpeg") || name.ends_with("_png") {
                let error = decode_picture(&file[..file.len() / 2]).unwrap_err();
                assert!(
                    matches!(
                        error,
                        InputError::PictureCutShort | InputError::PictureDamaged(_)
                    ),
                    "{name}: {error}"
                );
            }
        }
    }

    #[test]
    fn a_damaged_file_never_panics() {
        let goldens = tensors("pictures/pictures.safetensors");
        for name in goldens.stems(".file") {
            let file = goldens.bytes(&format!("{name}.file"));
            for pos in 0..file.len() {
                let mut damaged = file.clone();
                damaged[pos] ^= 0x5A;
                if let Err(error) = decode_picture(&damaged) {
                    assert!(!error.to_string().is_empty());
                }
            }
        }
    }

    #[test]
    fn a_huge_picture_is_a_sentence() {
        let mut png = tensors("pictures/pictures.safetensors").bytes("rgb_png.file");
        let mut claim = |width: u32, height: u32| {
            png[16..20].copy_from_slice(&width.to_be_bytes());
            png[20..24].copy_from_slice(&height.to_be_bytes());
            let checksum = crc32(&png[12..29]);
            png[29..33].copy_from_slice(&checksum.to_be_bytes());
            decode_picture(&png).unwrap_err().to_string()
        };
        assert_eq!(
            claim(20_000, 20_000),
            "the picture is 20000 x 20000 pixels; at most 16384 a side can be read"
        );
        assert_eq!(
            claim(100_000, 100_000),
            "the picture is 100000 x 100000 pixels; at most 16384 a side can be read"
        );
        assert_eq!(
            claim(16_384, 16_384),
            "the picture is 16384 x 16384 pixels and needs more than 512 MiB of memory"
        );
    }

    #[test]
    fn not_a_picture_is_a_sentence() {
        for bytes in [
            &b""[..],
            b"hello",
            b"RIFF\x10\0\0\0WAVEfmt ",
            b"<svg></svg>",
            b"GIF89a",
            b"\xFF\xD8\xFF",
        ] {
            assert!(!decode_picture(bytes).unwrap_err().to_string().is_empty());
        }
    }

    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0u32, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
                (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg())
            })
        })
    }
}

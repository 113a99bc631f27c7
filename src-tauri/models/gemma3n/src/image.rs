//! Pictures as the vision tower wants them: RGB, of one fixed size, values from 0 to 1.
//!
//! Decoding gives the pixels that the reference's loader gives (Pillow: orientation from the EXIF
//! data applied, then converted to RGB), so alpha is dropped, not blended. JPEG and lossy WebP may
//! differ by small steps, because their decoders round differently.

mod decode;
mod resize;

use image::RgbImage;
use serde_json::Value;

use crate::InputError;
use crate::settings::Settings;

pub use decode::decode_picture;

/// A picture ready for the vision tower.
#[derive(Debug, Clone, PartialEq)]
pub struct Pixels {
    pub width: usize,
    pub height: usize,
    pub data: Vec<f32>, // [height, width, 3]
}

/// What `preprocessor_config.json` says about pictures.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageProcessor {
    pub width: u32,
    pub height: u32,
    pub rescale_factor: f32,
    /// Mean and standard deviation per channel; the published files have them switched off.
    pub normalize: Option<([f32; 3], [f32; 3])>,
}

impl ImageProcessor {
    /// The published settings, for pictures of this size (768 x 768 in the published models).
    pub fn new(width: u32, height: u32) -> Self {
        Self {
            width,
            height,
            rescale_factor: 1.0 / 255.0,
            normalize: None,
        }
    }

    /// Reads `preprocessor_config.json`, or the newer `processor_config.json`.
    pub fn from_json(preprocessor_config: &Value) -> Result<Self, InputError> {
        let settings = Settings(
            preprocessor_config
                .get("image_processor")
                .unwrap_or(preprocessor_config),
        );
        settings.only("do_resize", true)?;
        settings.only("resample", 2)?; // bilinear, in Pillow's numbering
        let size = Settings(&settings.0["size"]);
        let mut processor = Self::new(size.side("width")?, size.side("height")?);
        if settings.bool("do_rescale", true)? {
            processor.rescale_factor = settings.number("rescale_factor", 1.0 / 255.0)? as f32;
        } else {
            processor.rescale_factor = 1.0;
        }
        if settings.bool("do_normalize", false)? {
            let triple = |key| -> Result<[f32; 3], InputError> {
                let found: Vec<f32> = settings.numbers(key)?.unwrap_or_default();
                found
                    .as_slice()
                    .try_into()
                    .map_err(|_| settings.unsupported(key, "a list of three numbers"))
            };
            let (mean, std) = (triple("image_mean")?, triple("image_std")?);
            if std.contains(&0.0) {
                return Err(settings.unsupported("image_std", "a list of three numbers above zero"));
            }
            processor.normalize = Some((mean, std));
        }
        Ok(processor)
    }

    pub fn process(&self, picture: &RgbImage) -> Pixels {
        let resized = self.resize(picture);
        // A channel has 256 values, so the arithmetic is done once for each.
        let tables: [Vec<f32>; 3] = std::array::from_fn(|channel| {
            let (mean, std) = self
                .normalize
                .map_or((0.0, 1.0), |(mean, std)| (mean[channel], std[channel]));
            (0..=255u8)
                .map(|value| (f32::from(value) * self.rescale_factor - mean) / std)
                .collect()
        });
        let data = resized
            .as_raw()
            .iter()
            .enumerate()
            .map(|(i, &value)| tables[i % 3][usize::from(value)])
            .collect();
        Pixels {
            width: self.width as usize,
            height: self.height as usize,
            data,
        }
    }

    /// Bilinear with antialiasing, in the reference's 16-bit integer arithmetic; the aspect ratio is not kept.
    pub fn resize(&self, picture: &RgbImage) -> RgbImage {
        if picture.dimensions() == (self.width, self.height) {
            return picture.clone();
        }
        resize::resize(picture, self.width, self.height)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{fixture, tensors};

    /// The pattern of `make_picture_goldens.py`.
    fn pattern(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| {
            image::Rgb(std::array::from_fn(|c| {
                let mixed = x.wrapping_mul(73_856_093)
                    ^ y.wrapping_mul(19_349_663)
                    ^ (c as u32).wrapping_mul(83_492_791);
                (mixed.wrapping_mul(2_654_435_761) >> 24) as u8
            }))
        })
    }

    #[test]
    fn resizes_exactly_as_the_reference() {
        let goldens = tensors("pictures/pictures.safetensors");
        let processor = ImageProcessor::new(24, 24);
        for (width, height) in [
            (1, 1),
            (3, 2000),
            (5000, 37),
            (10, 7),
            (24, 24),
            (24, 90),
            (333, 24),
            (131, 97),
        ] {
            let expected = goldens.bytes(&format!("resize.{width}x{height}"));
            assert!(
                processor.resize(&pattern(width, height)).into_raw() == expected,
                "{width} x {height}"
            );
        }
    }

    #[test]
    fn prepares_the_fixture_pictures_exactly() {
        let goldens = tensors("tiny/goldens/image_preprocess.safetensors");
        let processor = ImageProcessor::new(192, 192);
        for name in ["image_a", "image_b"] {
            let picture = decode_picture(&fixture(&format!("tiny/inputs/{name}.png"))).unwrap();
            let planes = goldens.bytes(&format!("{name}.resized_u8")); // [1, 3, 192, 192]
            let pixels = processor.process(&picture);
            assert_eq!(
                (pixels.width, pixels.height, pixels.data.len()),
                (192, 192, 192 * 192 * 3)
            );
            for (i, value) in pixels.data.iter().enumerate() {
                let expected = f32::from(planes[i % 3 * 192 * 192 + i / 3]) / 255.0;
                assert!((value - expected).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn reads_the_settings() {
        let tiny =
            serde_json::from_slice(&fixture("tiny/checkpoint/preprocessor_config.json")).unwrap();
        assert_eq!(
            ImageProcessor::from_json(&tiny).unwrap(),
            ImageProcessor::new(192, 192)
        );
        let nested =
            serde_json::from_slice(&fixture("tiny/checkpoint/processor_config.json")).unwrap();
        assert_eq!(
            ImageProcessor::from_json(&nested).unwrap(),
            ImageProcessor::new(192, 192)
        );

        let size = json!({"width": 2, "height": 1});
        let normalized = json!({
            "size": size, "do_normalize": true, "image_mean": [0.5, 0.5, 0.0], "image_std": [0.5, 1.0, 1.0]
        });
        let processor = ImageProcessor::from_json(&normalized).unwrap();
        let picture = RgbImage::from_raw(2, 1, vec![255, 0, 255, 0, 255, 0]).unwrap();
        assert_eq!(
            processor.process(&picture).data,
            [1.0, -0.5, 1.0, -1.0, 0.5, 0.0]
        );

        for refused in [
            json!({"size": size, "resample": 3}),
            json!({"size": size, "do_resize": false}),
            json!({"size": size, "do_normalize": true}),
            json!({"size": {"shortest_edge": 224}}),
            json!({"size": {"width": 0, "height": 5}}),
            json!({}),
        ] {
            let sentence = ImageProcessor::from_json(&refused).unwrap_err().to_string();
            assert!(sentence.starts_with("preprocessor setting "), "{sentence}");
        }
    }
}

//! Bilinear resize with antialiasing, bit for bit as the reference's image processor does it.
//!
//! It works on 8-bit values in two passes, rows first, and rounds to 8 bits after each. A weight is
//! a 16-bit integer: the real weight times the largest power of two that keeps all weights of the
//! pass in range. `fast_image_resize` and Pillow differ from it by up to one step of 255.

use std::ops::Range;

use image::RgbImage;

/// Resizes to exactly this size; the aspect ratio is not kept.
pub(super) fn resize(picture: &RgbImage, width: u32, height: u32) -> RgbImage {
    let (old_width, old_height) = (picture.width() as usize, picture.height() as usize);
    let (new_width, new_height) = (width as usize, height as usize);
    let columns = Pass::new(old_width, new_width);
    let rows = Pass::new(old_height, new_height);

    // [old_height, new_width, 3]
    let mut narrow = vec![0u8; old_height * new_width * 3];
    for (source, target) in picture
        .as_raw()
        .chunks_exact(old_width * 3)
        .zip(narrow.chunks_exact_mut(new_width * 3))
    {
        for ((taps, weights), pixel) in columns.iter().zip(target.as_chunks_mut::<3>().0) {
            let mut sums = [columns.half(); 3];
            for (source, weight) in source.as_chunks::<3>().0[taps].iter().zip(weights) {
                for (sum, value) in sums.iter_mut().zip(source) {
                    *sum += i32::from(*value) * i32::from(*weight);
                }
            }
            *pixel = sums.map(|sum| columns.round(sum));
        }
    }

    let stride = new_width * 3;
    let mut data = vec![0u8; new_height * stride];
    let mut sums = vec![0i32; stride];
    for ((taps, weights), target) in rows.iter().zip(data.chunks_exact_mut(stride)) {
        sums.fill(rows.half());
        for (source, weight) in narrow.chunks_exact(stride).skip(taps.start).zip(weights) {
            for (sum, value) in sums.iter_mut().zip(source) {
                *sum += i32::from(*value) * i32::from(*weight);
            }
        }
        for (value, sum) in target.iter_mut().zip(&sums) {
            *value = rows.round(*sum);
        }
    }
    RgbImage::from_raw(width, height, data).expect("every pixel got three bytes")
}

/// The source pixels and weights of every target pixel along one axis.
struct Pass {
    taps: Vec<Range<usize>>,
    weights: Vec<i16>, // Those of all target pixels, one after the other.
    precision: u32,    // A weight of 1.0 is `1 << precision`.
}

impl Pass {
    fn new(old: usize, new: usize) -> Self {
        let scale = old as f64 / new as f64;
        let support = scale.max(1.0); // Of the triangle filter, in source pixels to either side.
        let mut taps = Vec::with_capacity(new);
        let mut exact = Vec::new();
        for i in 0..new {
            let center = scale * (i as f64 + 0.5);
            // Casting cuts towards zero, as the reference's does.
            let start = (center - support + 0.5).max(0.0) as usize;
            let end = ((center + support + 0.5) as usize).min(old);
            let triangle = |j: usize| (1.0 - ((j as f64 - center + 0.5) / support).abs()).max(0.0);
            let total: f64 = (start..end).map(triangle).sum();
            exact.extend((start..end).map(|j| triangle(j) / total));
            taps.push(start..end);
        }
        let largest = exact.iter().copied().fold(0.0, f64::max);
        let fits = |precision: u32| (0.5 + largest * f64::from(1 << precision)) < 32768.0;
        let precision = (0..22)
            .find(|&precision| !fits(precision + 1))
            .unwrap_or(22);
        let weights = exact
            .iter()
            .map(|weight| (weight * f64::from(1 << precision) + 0.5) as i16)
            .collect();
        Self {
            taps,
            weights,
            precision,
        }
    }

    fn iter(&self) -> impl Iterator<Item = (Range<usize>, &[i16])> {
        let mut rest = self.weights.as_slice();
        self.taps.iter().map(move |taps| {
            let (weights, others) = rest.split_at(taps.len());
            rest = others;
            (taps.clone(), weights)
        })
    }

    fn half(&self) -> i32 {
        (1 << self.precision) >> 1
    }

    fn round(&self, sum: i32) -> u8 {
        (sum >> self.precision).clamp(0, 255) as u8
    }
}

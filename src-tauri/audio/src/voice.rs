//! Whether somebody speaks, told for every 16 ms.

use crate::SAMPLE_RATE;

/// Samples of one frame: 16 ms.
pub const FRAME: usize = 256;

/// Says how probable it is that a frame holds speech.
pub trait VoiceDetector {
    /// The probability, 0 to 1, for the next [`FRAME`] samples of 16 kHz mono.
    fn probability(&mut self, frame: &[f32; FRAME]) -> f32;
}

/// The detector of the crate `earshot`: a small recurrent network on log-mel features.
pub struct Earshot(Box<earshot::Detector>);

impl Default for Earshot {
    fn default() -> Self {
        Self(earshot::Detector::default_boxed())
    }
}

impl VoiceDetector for Earshot {
    fn probability(&mut self, frame: &[f32; FRAME]) -> f32 {
        // Anything but -1 to 1 is outside of what it promises to take.
        let frame = frame.map(|sample| {
            if sample.is_finite() {
                sample.clamp(-1.0, 1.0)
            } else {
                0.0
            }
        });
        self.0.predict_f32(&frame)
    }
}

/// Samples in so many milliseconds.
pub(crate) const fn samples(milliseconds: usize) -> usize {
    milliseconds * SAMPLE_RATE as usize / 1000
}

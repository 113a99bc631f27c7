//! Gemma 3n: text, vision and audio.

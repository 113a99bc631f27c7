//! Live captions.

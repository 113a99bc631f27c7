//! Sound files to 16 kHz mono.

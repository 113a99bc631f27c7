//! Any bytes as a safetensors file: an error, or tensors that lie inside the bytes.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use weights::safetensors;

fuzz_target!(|bytes: &[u8]| {
    let Ok(tensors) = safetensors::parse_header(bytes, Path::new("fuzzed.safetensors")) else { return };
    for tensor in tensors {
        let elements = tensor.shape.iter().product();
        assert_eq!(tensor.dtype.bytes_for(elements), Some(bytes[tensor.range].len()));
    }
});

//! Any bytes as a GGUF file: an error, or key-values and tensors that lie inside the bytes.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use weights::gguf;

fuzz_target!(|bytes: &[u8]| {
    let Ok(header) = gguf::parse(bytes, Path::new("fuzzed.gguf")) else { return };
    for tensor in header.tensors {
        let elements = tensor.shape.iter().product();
        assert_eq!(tensor.dtype.bytes_for(elements), Some(bytes[tensor.range].len()));
    }
    for key in header.metadata.keys() {
        // Every accessor answers or says why not.
        let _ = header.metadata.u64(key);
        let _ = header.metadata.f32(key);
        let _ = header.metadata.bool(key);
        let _ = header.metadata.string(key);
        let _ = header.metadata.f32_array(key);
        let _ = header.metadata.i32_array(key);
        let _ = header.metadata.bool_array(key);
        let _ = header.metadata.u64_or_array(key, 3);
        if let Ok(strings) = header.metadata.string_array(key) {
            assert_eq!(strings.iter().count(), strings.len());
        }
    }
});

//! Where the model runs.

use candle_core::Device;

/// The fastest device that this build and this machine have, and a notice if a GPU was hoped for in vain.
pub fn best_device() -> (Device, Option<String>) {
    let gpu = if cfg!(feature = "cuda") {
        Some(("CUDA", Device::new_cuda(0)))
    } else if cfg!(feature = "metal") {
        Some(("Metal", Device::new_metal(0)))
    } else {
        None
    };
    match gpu {
        None => (Device::Cpu, None),
        Some((_, Ok(device))) => (device, None),
        Some((kind, Err(error))) => (
            Device::Cpu,
            Some(format!(
                "{kind} could not be used ({error}); the model runs on the CPU"
            )),
        ),
    }
}

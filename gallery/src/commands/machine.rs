//! What can be seen of this machine.

use std::path::Path;

use countersign_gallery::capability::{self, Capability, Machine};
use countersign_oci::index::Platform;

/// The platform that this program runs on, in the words of OCI.
pub(crate) fn platform() -> Platform {
    let os = match std::env::consts::OS {
        "macos" => "darwin",
        other => other,
    };
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "x86" => "386",
        "aarch64" => "arm64",
        "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
        other => other,
    };
    Platform::new(os, architecture)
}

/// What this machine can run. Drivers and devices are asked for, no program is started.
///
/// Intel graphics are never assumed: nearly every machine has some, and few can run a model on it.
pub(crate) fn capability() -> Capability {
    let Platform { os, architecture, .. } = platform();
    let exists = |path: &str| Path::new(path).exists();
    let cuda = [13, 12].into_iter().find(|version| exists(&format!("/usr/local/cuda-{version}")));
    let mut machine = Machine::default();
    machine.nvidia = os == "linux" && (exists("/proc/driver/nvidia/version") || exists("/dev/nvidiactl"));
    machine.amd = os == "linux" && exists("/dev/kfd");
    (machine.os, machine.architecture, machine.cuda) = (os, architecture, cuda);
    capability::detect(&machine)
}

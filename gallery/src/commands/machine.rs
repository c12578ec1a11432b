//! What can be seen of this machine, and what its environment asks for.

use std::path::Path;

use countersign_cli::Failure;
use countersign_gallery::capability::{self, Capability, Machine};
use countersign_gallery::integrity::Strictness;
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

/// What the variables say about strict mode: strict where one of them does. A word that is neither yes nor no is
/// refused, since a wish for strictness must not get lost.
#[expect(clippy::disallowed_methods, reason = "the edge where the environment is read; flags cannot name a variable")]
pub(crate) fn strictness() -> Result<Strictness, Failure> {
    let mut strictness = Strictness::AsConfigured;
    for variable in STRICTNESS {
        if std::env::var_os(variable).map_or(Ok(false), |value| is_yes(variable, &value.to_string_lossy()))? {
            strictness = Strictness::Strict;
        }
    }
    Ok(strictness)
}

fn is_yes(variable: &str, value: &str) -> Result<bool, Failure> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" => Ok(true),
        "" | "0" | "false" | "no" => Ok(false),
        _ => {
            let hint = format!("set {variable} to 1, true or yes, to 0, false or no, or leave it out");
            Err(Failure::usage("malformed-variable", format!("{variable}={value} is neither yes nor no"), Some(hint)))
        }
    }
}

/// Ours, and the same in LocalAI.
const STRICTNESS: [&str; 2] = ["COUNTERSIGN_REQUIRE_BACKEND_INTEGRITY", "LOCALAI_REQUIRE_BACKEND_INTEGRITY"];

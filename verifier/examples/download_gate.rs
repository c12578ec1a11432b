//! A download gate: an image's layers reach the disk only when the image is verified.
//!
//! ```text
//! cargo run --example download_gate -- REPOSITORY:TAG POLICY TRUSTED_ROOT DIR
//! ```
//!
//! A model for programs that embed the verifier. What to take from it: a tag is resolved once; [`download`] takes a [`VerifiedImage`], which
//! only the verifier makes, so no path to the disk leads around the verification; every digest below it is read from bytes whose own digest
//! was verified; "no" and "could not tell" are different errors, and neither writes anything.

#![expect(clippy::print_stdout, reason = "a program")]
#![expect(clippy::disallowed_methods, reason = "a program reads its arguments and the clock")]

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use countersign_oci::index::{ImageManifest, Manifest};
use countersign_oci::{Class, ImageReference, Registry, RegistryError, RegistryOptions};
use countersign_policy::Policy;
use countersign_verifier::{
    Error, TrustedRoot, Verdict, VerifiedImage, Verifier, platforms, report, resolve, verify_image,
};
use jiff::Timestamp;

/// What this gate has room for, in bytes a layer.
const LAYER_BYTES: u64 = 64 << 20;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [reference, policy, root, folder] = arguments.as_slice() else {
        println!("usage: download_gate REPOSITORY:TAG POLICY TRUSTED_ROOT DIR");
        return ExitCode::from(2);
    };
    match run(reference, Path::new(policy), Path::new(root), Path::new(folder)).await {
        Ok(Answer::Downloaded(1)) => println!("1 layer of {reference} is in {folder}"),
        Ok(Answer::Downloaded(layers)) => println!("{layers} layers of {reference} are in {folder}"),
        Ok(Answer::Refused(why)) => {
            println!("{why}");
            return ExitCode::from(3);
        }
        Ok(Answer::Unknown(why)) => {
            println!("{why}");
            return ExitCode::from(4);
        }
        Err(error) => {
            return explain(error.as_ref());
        }
    }
    ExitCode::SUCCESS
}

enum Answer {
    Downloaded(usize),
    Refused(String),
    Unknown(String),
}

async fn run(reference: &str, policy: &Path, root: &Path, folder: &Path) -> Result<Answer, Box<dyn std::error::Error>> {
    let policy = Policy::from_yaml(&policy.display().to_string(), &read(policy)?)?;
    let root = TrustedRoot::from_json(&read(root)?, &root.display().to_string())?;
    let (verifier, registry) = (Verifier::new(root)?, Registry::new(RegistryOptions::default())?);

    let reference: ImageReference = reference.parse()?;
    let asked = resolve(&registry, &reference).await?;
    let verdict = verify_image(&registry, &verifier, &policy, &asked, Timestamp::now()).await?;
    match verdict {
        Verdict::Verified(image, _) => Ok(Answer::Downloaded(download(&registry, &image, folder).await?)),
        Verdict::Rejected(_) => Ok(Answer::Refused(report::text(&verdict))),
        _ => Ok(Answer::Unknown(report::text(&verdict))),
    }
}

fn read(path: &Path) -> Result<String, Box<dyn std::error::Error>> {
    std::fs::read_to_string(path).map_err(|cause| format!("cannot read {}: {cause}", path.display()).into())
}

/// Prints an error with its causes and what to do about it. The program ends with 4 where asking again may help, else with 2.
fn explain(error: &(dyn std::error::Error + 'static)) -> ExitCode {
    println!("error: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        println!("caused by: {cause}");
        source = cause.source();
    }
    let (class, hint) = match (error.downcast_ref::<Error>(), error.downcast_ref::<RegistryError>()) {
        (Some(error), _) => (error.class(), error.hint()),
        (None, Some(error)) => (error.class(), error.hint()),
        // A file, a policy or a name that cannot be used.
        (None, None) => (Class::Usage, None),
    };
    if let Some(hint) = hint {
        println!("hint: {hint}");
    }
    ExitCode::from(if class == Class::Usage { 2 } else { 4 })
}

/// Writes each layer of a verified image to a file named by its digest, and returns how many there are.
async fn download(
    registry: &Registry,
    image: &VerifiedImage,
    folder: &Path,
) -> Result<usize, Box<dyn std::error::Error>> {
    let manifest = own_platform(registry, image).await?;
    std::fs::create_dir_all(folder)?;
    for layer in &manifest.layers {
        // The registry's client compares size and digest with the descriptor.
        let bytes = registry.blob(image.reference().repository(), layer, LAYER_BYTES).await?;
        keep(&folder.join(layer.digest.hex()), &bytes)?;
    }
    Ok(manifest.layers.len())
}

/// Writes a new file: a link that somebody put in its place is taken away and never followed.
fn keep(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => Err(cause),
        _ => std::fs::File::options().write(true).create_new(true).open(path)?.write_all(bytes),
    }
}

/// Returns the manifest of the verified image for this machine. It is asked for by digest, and compared with it.
async fn own_platform(registry: &Registry, image: &VerifiedImage) -> Result<ImageManifest, Box<dyn std::error::Error>> {
    // Images name architectures as Go does.
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let wanted = format!("linux/{architecture}").parse()?;
    let repository = image.reference().repository();
    let chosen = platforms::platform_of(registry, repository, image, &wanted).await?;
    match registry.manifest(&repository.pin(chosen.digest())).await?.manifest {
        Manifest::Image(manifest) => Ok(manifest),
        _ => Err(format!("{} holds no image", chosen.reference()).into()),
    }
}

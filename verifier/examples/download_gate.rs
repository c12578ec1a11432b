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

use std::path::Path;
use std::process::ExitCode;

use countersign_oci::index::{ImageManifest, Manifest};
use countersign_oci::{ImageReference, Registry, RegistryOptions};
use countersign_policy::Policy;
use countersign_verifier::{TrustedRoot, Verdict, VerifiedImage, Verifier, report, resolve, verify_image};
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
            println!("error: {error}");
            return ExitCode::from(4);
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
    let policy = Policy::from_yaml(&policy.display().to_string(), &std::fs::read_to_string(policy)?)?;
    let root = TrustedRoot::from_json(&std::fs::read_to_string(root)?, &root.display().to_string())?;
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

/// Writes each layer of a verified image to a file named by its digest, and returns how many there are.
async fn download(
    registry: &Registry,
    image: &VerifiedImage,
    folder: &Path,
) -> Result<usize, Box<dyn std::error::Error>> {
    let manifest = first_platform(registry, image).await?;
    std::fs::create_dir_all(folder)?;
    for layer in &manifest.layers {
        // The registry's client compares size and digest with the descriptor.
        let bytes = registry.blob(image.reference().repository(), layer, LAYER_BYTES).await?;
        std::fs::write(folder.join(layer.digest.hex()), bytes)?;
    }
    Ok(manifest.layers.len())
}

/// Returns the image's manifest, or that of its first platform. Both are asked for by digest, and compared with it.
async fn first_platform(
    registry: &Registry,
    image: &VerifiedImage,
) -> Result<ImageManifest, Box<dyn std::error::Error>> {
    let mut manifest = registry.manifest(image.reference()).await?.manifest;
    if let Manifest::Index(index) = &manifest
        && let Some(child) = index.manifests.first()
    {
        manifest = registry.manifest(&image.reference().repository().pin(child.digest)).await?.manifest;
    }
    match manifest {
        Manifest::Image(manifest) => Ok(manifest),
        _ => Err(format!("{} holds no image", image.reference()).into()),
    }
}

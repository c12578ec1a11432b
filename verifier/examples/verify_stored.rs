//! Verifies the bundles in a folder on one core, and says how long that took: how fast is the library?
//!
//! ```text
//! cargo run --release --example verify_stored -- TRUSTED_ROOT POLICY DIR [PASSES]
//! ```
//!
//! The bundles are named `<hex of the image's sha256>-<number>.json`, such as the example `stored_bundles` makes. Whatever is not verified
//! ends the program. It needs neither network nor threads, so it runs as a WebAssembly module too: `--target wasm32-wasip1`, and folders that
//! the runtime lets it see.
//!
//! The library remembers 1,024 signature checks that succeeded. Where each bundle has a certificate of its own, measure one pass, or more
//! than 300 bundles: else later passes find everything remembered.

#![expect(clippy::print_stdout, reason = "a program")]
#![expect(clippy::disallowed_methods, reason = "a program reads the clock and its arguments")]

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use countersign_oci::{Digest, Repository};
use countersign_policy::Policy;
use countersign_verifier::{Asked, Evidence, TrustedRoot, Verdict, Verifier, report};
use jiff::Timestamp;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().ok_or("usage: verify_stored TRUSTED_ROOT POLICY DIR [PASSES]");
    let (root, policy, folder) = (next()?, next()?, next()?);
    let passes: usize = arguments.next().map_or(Ok(1), |text| text.parse())?;
    let policy = Policy::from_yaml(&policy, &std::fs::read_to_string(&policy)?)?;
    let verifier = Verifier::new(TrustedRoot::from_json(&std::fs::read_to_string(&root)?, &root)?)?;
    let stored = stored(Path::new(&folder))?;
    if stored.is_empty() {
        return Err("no bundle is named <hex>-<number>.json".into());
    }

    let now = Timestamp::now();
    let started = Instant::now();
    for (asked, evidence) in stored.iter().cycle().take(passes * stored.len()) {
        let verdict = verifier.verify(asked, evidence, &policy, now)?;
        if !matches!(verdict, Verdict::Verified(..)) {
            return Err(report::text(&verdict).into());
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    let verified = passes * stored.len();
    let document = serde_json::json!({
        "schema": "countersign.dev/verify-stored/v1",
        "bundles": stored.len(),
        "verified": verified,
        "seconds": seconds,
        "per_second": verified as f64 / seconds,
    });
    println!("{document}");
    Ok(())
}

fn stored(folder: &Path) -> Result<Vec<(Asked, Evidence)>, Box<dyn Error>> {
    let repository: Repository = "registry.example/stored".parse()?;
    let mut stored = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Some((hex, _)) = name.strip_suffix(".json").and_then(|rest| rest.split_once('-')) else { continue };
        let digest: Digest = format!("sha256:{hex}").parse()?;
        let asked = Asked { reference: repository.pin(digest), tag: None };
        stored.push((asked, Evidence::from_bundles([std::fs::read(&path)?.into()])));
    }
    Ok(stored)
}

//! The registry client against the sandbox: what it accepts, and beside it what it refuses.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod authentication;
mod blobs;
mod budget;
mod copy;
mod helpers;
mod layout;
mod manifests;
mod push;
mod redirects;
mod referrers;
mod retries;
mod support;
mod tag_schema;
mod tags;
mod tls;

#[test]
fn every_file_of_tests_is_part_of_the_run() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oci");
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let module = name.trim_end_matches(".rs");
        assert!(module == "main" || include_str!("main.rs").contains(&format!("\nmod {module};\n")), "{name}");
    }
}

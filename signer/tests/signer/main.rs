//! Everything about signing that needs no access to private parts: bytes first, then the whole call against the sandbox.

#![expect(clippy::panic, clippy::unwrap_used, reason = "helpers of tests fail loudly, as tests do")]

mod attest;
mod blob;
mod canary;
mod github;
mod inputs;
mod outage_of_the_log;
mod outages;
mod program;
mod providers;
mod publish;
mod referrer;
mod refusals;
mod repeated;
mod round_trip;
mod sign_blob;
mod sign_index;
mod signing_config;
mod statement;
mod subjects;
mod tag_schema;
mod time;
mod world;

#[test]
fn every_file_of_this_folder_is_part_of_the_run() {
    let main = include_str!("main.rs");
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/signer");
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let module = name.trim_end_matches(".rs");
        assert!(module == "main" || main.contains(&format!("mod {module};")), "{name} is not run");
    }
}

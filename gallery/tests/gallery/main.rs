//! The gallery against the sandbox's registry and Sigstore, over loopback.

#![expect(clippy::panic, clippy::unwrap_used, reason = "helpers of tests fail loudly, as tests do")]

mod command;
mod indexes;
mod installs;
mod meanwhile;
mod platforms;
mod refusals;
mod sources;
mod transfers;
mod world;

#[test]
fn every_file_of_this_folder_is_part_of_the_run() {
    let main = include_str!("main.rs");
    for file in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/gallery")).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        let module = name.strip_suffix(".rs").unwrap();
        assert!(module == "main" || main.contains(&format!("mod {module};")), "{name} is not run");
    }
}

//! The sandbox from the outside: every endpoint, and what each refuses.

#![expect(clippy::unwrap_used, reason = "clippy sees the tests' helpers as code that is no test")]
#![expect(clippy::disallowed_methods, reason = "tests are the edge that reads the clock")]

mod bundle;
mod faults;
mod fulcio;
mod oidc;
mod program;
mod registry;
mod registry_auth;
mod registry_habits;
mod registry_upload;
mod rekor_v1;
mod rekor_v2;
mod support;
mod tsa;
mod tuf;

#[test]
fn every_file_of_tests_is_part_of_the_run() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sandbox");
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let module = name.trim_end_matches(".rs");
        assert!(module == "main" || include_str!("main.rs").contains(&format!("\nmod {module};\n")), "{name}");
    }
}

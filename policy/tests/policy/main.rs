//! Policies as their readers meet them: what loads, what is refused, whom a policy admits.

#![expect(clippy::panic, clippy::unwrap_used, reason = "helpers of tests may fail loudly, as tests do")]

mod binding;
mod canonical;
mod cases;
mod claims;
mod explain;
mod exporting;
mod gallery_block;
mod gallery_index;
mod identities;
mod identity_attacks;
mod identity_matrix;
mod importing;
mod lint;
mod lint_together;
mod loading;
mod patterns;
mod readme;
mod reference;
mod schema;
mod source_repository;
mod strict_yaml;
mod support;
mod threshold;
mod times;
mod writing;

#[test]
fn every_file_of_this_folder_is_part_of_the_run() {
    let main = include_str!("main.rs");
    for file in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/policy")).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        let module = name.strip_suffix(".rs").unwrap();
        assert!(module == "main" || main.contains(&format!("mod {module};")), "{name} is not run");
    }
}

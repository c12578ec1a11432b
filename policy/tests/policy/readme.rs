//! The policies that the README shows are policies.

use countersign_policy::Policy;

#[test]
fn every_policy_of_the_readme_loads() {
    let readme = include_str!("../../../README.md");
    let blocks = readme.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let policies: Vec<&str> = blocks.filter(|block| block.starts_with("version: 1\n")).collect();
    assert_eq!(policies.len(), 2, "the short one and the whole one");
    for text in policies {
        Policy::from_yaml("README.md", text).unwrap();
    }
}

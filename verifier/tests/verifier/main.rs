//! The verifier against what real peers wrote, and against the sandbox.

#![expect(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests fail by panicking and say what they skip"
)]

mod attacks_by_mutation;
mod attacks_on_bundles;
mod attacks_on_registries;
mod attacks_on_time;
mod batch;
mod blob_bundles;
mod blob_refusals;
mod blobs;
mod containerd;
mod download_gate;
mod epoch;
mod forge;
mod identity_attacks;
mod inspect;
mod junk;
mod keeper;
mod layout;
mod limits;
mod offline;
mod peer_bundles;
mod platforms;
mod policy_commands;
mod policy_exchange;
mod program;
mod registry;
mod rotation;
mod schema;
mod signed_example;
mod time;
mod trust;
mod trust_attacks;
mod trust_command;
mod verify_blob;
mod world;

//! The verifier against what real peers wrote, and against the sandbox.

mod peer_bundles;
mod registry;
mod trust;
mod world;

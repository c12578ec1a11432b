//! Installs and upgrades OCI backends that verify against a policy.

pub mod capability;
pub mod config;
pub mod confine;
pub mod index;
mod limits;
pub mod name;
pub mod source;
pub mod unpack;

//! Installs and upgrades OCI backends that verify against a policy.

pub mod capability;
pub mod config;
pub mod confine;
mod exchange;
pub mod index;
mod limits;
pub mod name;
pub mod source;
pub mod store;
pub mod unpack;

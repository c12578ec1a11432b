//! Installs and upgrades OCI backends that verify against a policy.

pub mod capability;
pub mod catalogue;
pub mod config;
pub mod confine;
mod exchange;
pub mod index;
pub mod install;
pub mod integrity;
mod limits;
pub mod name;
mod platform;
mod pull;
pub mod source;
pub mod store;
pub mod unpack;

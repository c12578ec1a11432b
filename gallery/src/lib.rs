//! Installs and upgrades OCI backends that verify against a policy

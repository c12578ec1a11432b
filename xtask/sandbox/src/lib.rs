//! An OCI registry and a Sigstore stack on loopback, in process, for tests

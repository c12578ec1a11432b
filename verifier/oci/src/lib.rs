//! OCI digests, references and indexes as types; with the feature client, the registry

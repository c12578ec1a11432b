//! The sandbox from the outside: every endpoint, and what each refuses.

#![expect(clippy::unwrap_used, reason = "clippy sees the tests' helpers as code that is no test")]
#![expect(clippy::disallowed_methods, reason = "tests are the edge that reads the clock")]

mod bundle;
mod faults;
mod fulcio;
mod oidc;
mod program;
mod registry;
mod registry_auth;
mod registry_upload;
mod rekor_v1;
mod rekor_v2;
mod support;
mod tsa;
mod tuf;

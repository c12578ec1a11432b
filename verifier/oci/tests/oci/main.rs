//! The registry client against the sandbox: what it accepts, and beside it what it refuses.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod authentication;
mod blobs;
mod manifests;
mod push;
mod redirects;
mod referrers;
mod retries;
mod support;
mod tag_schema;

//! Everything about signing that needs no access to private parts: bytes first, then the whole call against the sandbox.

mod referrer;
mod signing_config;
mod statement;
mod subjects;

//! The gallery against the sandbox's registry and Sigstore, over loopback.

mod command;
mod indexes;
mod installs;
mod platforms;
mod refusals;
mod sources;
mod transfers;
mod world;

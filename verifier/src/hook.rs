//! What containerd asks before it pulls an image, and what it is answered.
//!
//! containerd runs every program in a folder before it fetches a layer, and pulls only when all of them end with 0. This module is
//! the pure half of ours: [`Call`] reads what containerd passes, [`Settings`] say what holds for which registry, [`Answer`] is what
//! containerd shows. Files, sockets and time are the command's (`countersign-verifier containerd-hook`).
//!
//! | module | holds |
//! |---|---|
//! | `call` | the arguments and the descriptor on standard input |
//! | `settings` | the one file: rules, registries, trust |
//! | `prefix` | which repositories a rule is for |
//! | `answer` | the exit code and the lines that a person reads |
//! | [`node`] | what makes a node pull without asking, or refuse everything |
//!
//! Whatever goes wrong is a refusal: only [`Outcome::Allowed`] ends with 0.

mod answer;
mod call;
pub mod node;
mod prefix;
mod settings;

pub use answer::{Answer, Outcome};
pub use call::{Call, CallError, DESCRIPTOR_BYTES, DESCRIPTOR_MEDIA_TYPE};
pub use prefix::{Prefix, PrefixError};
pub use settings::{PolicySource, RegistrySettings, Rule, Ruling, Settings, SettingsError, Unmatched};

/// Where the settings lie. containerd passes no flags of ours and its environment is not ours to rely on, so there is one place.
pub const SETTINGS_PATH: &str = "/etc/countersign/containerd-hook.yaml";

//! Installs OCI backends from galleries, and nothing that does not trace back to its release job.
//!
//! # Map
//!
//! | module | is |
//! |---|---|
//! | [`config`] | the operator's galleries: the one place where trust is stated |
//! | [`index`] | a gallery's index: fetched, hostile, bounded |
//! | [`catalogue`] | which entry a name means, and on this machine ([`capability`]) |
//! | [`source`] | the one classifier of every URI |
//! | [`integrity`] | what may be installed, as types |
//! | [`install`] | the whole way: resolve, verify, choose the platform, pull, unpack, activate, record |
//! | [`unpack`], [`confine`] | layers to files, inside one directory |
//! | [`store`] | the backends path: staging, exchange, recovery, receipts |
//!
//! # Where the security lives
//!
//! In [`integrity`]: only an [`integrity::Installable`] reaches the disk, and only verification or the operator's own
//! word makes one. In [`unpack`]: an archive is refused at the first thing that would have to be cleaned. In
//! [`confine`]: no path leaves its directory, and no link is followed. In [`store`]: a killed process leaves the old
//! backend or the new one.
//!
//! # Example
//!
//! ```
//! use countersign_gallery::config::Config;
//! use countersign_gallery::integrity::{self, Requirement, Strictness};
//!
//! let config = Config::from_yaml("galleries.yaml", "
//! - name: localai
//!   url: https://index.localai.io/backends
//!   verification:
//!     issuer: https://token.actions.githubusercontent.com
//!     identity: https://github.com/octo/app/.github/workflows/release.yml@refs/heads/main
//!     github:
//!       repository: octo/app
//! ")?;
//! let gallery = &config.galleries()[0];
//! assert!(matches!(integrity::require(gallery, Strictness::Strict)?, Requirement::Verify(_)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

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
mod spelling;
pub mod store;
pub mod unpack;

//! How services are reached by commands that ask no registry.

use std::collections::BTreeSet;

use clap::{ArgMatches, Args, Command, Error, FromArgMatches, Id};
use countersign_cli::flags::RegistryFlags;

/// The flags of [`RegistryFlags`]. Only those that services heed are shown; the others are accepted, so that a job can give every command
/// the same.
pub(crate) struct ServiceFlags(pub(crate) RegistryFlags);

const HEEDED: &str = "registry_ca";

impl Args for ServiceFlags {
    fn augment_args(command: Command) -> Command {
        hide(RegistryFlags::augment_args(command))
    }

    fn augment_args_for_update(command: Command) -> Command {
        hide(RegistryFlags::augment_args_for_update(command))
    }
}

impl FromArgMatches for ServiceFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        RegistryFlags::from_arg_matches(matches).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        self.0.update_from_arg_matches(matches)
    }
}

fn hide(command: Command) -> Command {
    let of_registries = RegistryFlags::augment_args(Command::new("registries"));
    let ids: BTreeSet<Id> = of_registries.get_arguments().map(|argument| argument.get_id().clone()).collect();
    command.mut_args(|argument| {
        let hidden = ids.contains(argument.get_id()) && argument.get_id().as_str() != HEEDED;
        if hidden { argument.hide(true) } else { argument }
    })
}

//! Images and their signatures are carried between registries that keep referrers in different ways.

use super::super::Bench;
use super::super::matrix::Section;
use super::super::stack::Stack;

pub(crate) fn run(_bench: &Bench<'_>, _stack: &Stack) -> Section {
    Section::new("Between registries")
}

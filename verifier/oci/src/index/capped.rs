use std::fmt;
use std::marker::PhantomData;

use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// The first `LIMIT` items of a list, and how many came after them: those are skipped, not stored.
pub(crate) struct Capped<T, const LIMIT: usize> {
    pub(crate) items: Vec<T>,
    pub(crate) beyond: usize,
}

impl<'de, T: Deserialize<'de>, const LIMIT: usize> Deserialize<'de> for Capped<T, LIMIT> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(List(PhantomData))
    }
}

struct List<T, const LIMIT: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const LIMIT: usize> Visitor<'de> for List<T, LIMIT> {
    type Value = Capped<T, LIMIT>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut capped = Capped { items: Vec::new(), beyond: 0 };
        while capped.items.len() < LIMIT {
            match list.next_element()? {
                Some(item) => capped.items.push(item),
                None => return Ok(capped),
            }
        }
        while list.next_element::<IgnoredAny>()?.is_some() {
            capped.beyond += 1;
        }
        Ok(capped)
    }
}

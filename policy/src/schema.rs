//! The JSON schema of the policy document, for editors and other programs.

/// JSON schema (draft 2020-12) of a policy of `version: 1`: `policy/schema/policy-v1.schema.json`.
///
/// Whatever [`Policy::from_yaml`](crate::Policy::from_yaml) accepts is valid under it. The other way round it cannot say everything: what a
/// pattern must fix, names given twice, a threshold above the number of signers.
pub const POLICY_SCHEMA: &str = include_str!("../schema/policy-v1.schema.json");

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::collections::BTreeSet;

    use serde::Deserialize;
    use serde::de::{Deserializer, Error, Visitor, value::Error as Refused};
    use serde_json::Value;

    use super::POLICY_SCHEMA;
    use crate::document::{DenyEntry, Document, GithubEntry, RequireEntry, SignerEntry, TrustEntry, TufEntry};

    /// Notes the keys that a type asks for, and reads nothing.
    struct Keys<'cell>(&'cell Cell<&'static [&'static str]>);

    impl<'de> Deserializer<'de> for Keys<'_> {
        type Error = Refused;

        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Refused> {
            Err(Refused::custom("nothing to read"))
        }

        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            fields: &'static [&'static str],
            visitor: V,
        ) -> Result<V::Value, Refused> {
            self.0.set(fields);
            self.deserialize_any(visitor)
        }

        fn deserialize_enum<V: Visitor<'de>>(
            self,
            _: &'static str,
            variants: &'static [&'static str],
            visitor: V,
        ) -> Result<V::Value, Refused> {
            self.0.set(variants);
            self.deserialize_any(visitor)
        }

        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct
            newtype_struct seq tuple tuple_struct map identifier ignored_any
        }
    }

    fn keys_of<'de, T: Deserialize<'de>>() -> BTreeSet<String> {
        let keys: Cell<&'static [&'static str]> = Cell::new(&[]);
        assert!(T::deserialize(Keys(&keys)).is_err());
        keys.get().iter().map(|key| (*key).to_owned()).collect()
    }

    fn properties(schema: &Value, pointer: &str) -> BTreeSet<String> {
        let block = schema.pointer(pointer).unwrap();
        assert_eq!(block["additionalProperties"], Value::Bool(false), "{pointer}");
        block["properties"].as_object().unwrap().keys().cloned().collect()
    }

    #[test]
    fn the_schema_has_the_keys_that_the_reader_has() {
        let schema: Value = serde_json::from_str(POLICY_SCHEMA).unwrap();
        for (pointer, keys) in [
            ("", keys_of::<Document>()),
            ("/$defs/signer", keys_of::<SignerEntry>()),
            ("/$defs/github", keys_of::<GithubEntry>()),
            ("/properties/deny", keys_of::<DenyEntry>()),
            ("/properties/require", keys_of::<RequireEntry>()),
            ("/properties/trust/oneOf/2/properties/tuf", keys_of::<TufEntry>()),
        ] {
            assert!(!keys.is_empty(), "{pointer}");
            assert_eq!(properties(&schema, pointer), keys, "{pointer}");
        }
        let forms = schema["properties"]["trust"]["oneOf"].as_array().unwrap();
        let named = forms.iter().map(|form| match form["const"].as_str() {
            Some(word) => word.to_owned(),
            None => form["required"][0].as_str().unwrap().to_owned(),
        });
        assert_eq!(named.collect::<BTreeSet<_>>(), keys_of::<TrustEntry>());
    }
}

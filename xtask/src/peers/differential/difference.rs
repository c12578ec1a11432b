//! What differs between two shapes, each difference by its place.

use std::fmt;

use serde_json::Value;

/// One place where two shapes differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Difference {
    /// Such as `body.code`.
    pub(super) place: String,
    pub(super) sandbox: String,
    pub(super) real: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: sandbox {}, real {}", self.place, self.sandbox, self.real)
    }
}

pub(super) fn of(sandbox: &Value, real: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    compare("", Some(sandbox), Some(real), &mut found);
    found
}

fn compare(place: &str, sandbox: Option<&Value>, real: Option<&Value>, found: &mut Vec<Difference>) {
    match (sandbox, real) {
        (Some(Value::Object(ours)), Some(Value::Object(theirs))) => {
            let further = theirs.keys().filter(|key| !ours.contains_key(*key));
            for key in ours.keys().chain(further) {
                let place = if place.is_empty() { key.clone() } else { format!("{place}.{key}") };
                compare(&place, ours.get(key), theirs.get(key), found);
            }
        }
        (Some(Value::Array(ours)), Some(Value::Array(theirs))) => {
            for index in 0..ours.len().max(theirs.len()) {
                compare(&format!("{place}.{index}"), ours.get(index), theirs.get(index), found);
            }
        }
        (ours, theirs) if ours == theirs => {}
        (ours, theirs) => {
            let text = |value: Option<&Value>| value.map_or("nothing".to_owned(), Value::to_string);
            found.push(Difference { place: place.to_owned(), sandbox: text(ours), real: text(theirs) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_difference_is_named_by_its_place() {
        let ours = json!({ "status": 400, "body": { "code": 3, "details": "empty array" }, "list": [1, 2] });
        let theirs = json!({ "status": 400, "body": { "code": 5, "message": "text" }, "list": [1] });
        let places: Vec<String> = of(&ours, &theirs).iter().map(ToString::to_string).collect();
        assert_eq!(
            places,
            [
                "body.code: sandbox 3, real 5",
                "body.details: sandbox \"empty array\", real nothing",
                "body.message: sandbox nothing, real \"text\"",
                "list.1: sandbox 2, real nothing",
            ]
        );
        assert!(of(&ours, &ours).is_empty());
    }
}

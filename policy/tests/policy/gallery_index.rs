//! What is said of a gallery index: one spelling, and cutoffs that only tighten.

use countersign_policy::{Cutoffs, GalleryIndexError, GalleryIndexTerms, MAX_SERIAL};

use crate::support::{codes, digest, facts, load, release, time};

fn cutoffs() -> Cutoffs {
    let mut cutoffs = Cutoffs::default();
    cutoffs.not_before = Some(time("2026-06-01T00:00:00Z"));
    cutoffs.denied_digests = [digest()].into();
    cutoffs
}

fn read(json: &str) -> Result<GalleryIndexTerms, GalleryIndexError> {
    GalleryIndexTerms::from_json(json.as_bytes())
}

#[test]
fn what_is_written_is_read_again() {
    let terms = GalleryIndexTerms::new(7, time("2026-12-01T00:00:00Z"), cutoffs()).unwrap();
    let json = terms.to_json();
    let expected = format!(
        r#"{{"serial":7,"expires":"2026-12-01T00:00:00Z","not_before":"2026-06-01T00:00:00Z","deny":{{"digests":["{}"]}}}}"#,
        digest()
    );
    assert_eq!(json, expected);
    assert_eq!(read(&json).unwrap(), terms);
    let least = GalleryIndexTerms::new(MAX_SERIAL, time("2026-12-01T00:00:00Z"), Cutoffs::default()).unwrap();
    assert_eq!(least.to_json(), format!(r#"{{"serial":{MAX_SERIAL},"expires":"2026-12-01T00:00:00Z"}}"#));
    assert_eq!(read(&least.to_json()).unwrap(), least);
}

#[test]
fn a_cutoff_that_a_reader_does_not_know_is_not_ignored() {
    for further in [
        r#","not_after":"2026-06-01T00:00:00Z""#,
        r#","not_before":null"#,
        r#","deny":null"#,
        r#","deny":{"repositories":[]}"#,
        r#","deny":{"digests":null}"#,
        r#","serial":8"#,
        r#","Serial":8"#,
    ] {
        let json = format!(r#"{{"serial":7,"expires":"2026-12-01T00:00:00Z"{further}}}"#);
        assert!(matches!(read(&json), Err(GalleryIndexError::Malformed { .. })), "{json}");
    }
    for json in ["", "[]", "{}", r#"{"serial":7}"#, r#"{"expires":"2026-12-01T00:00:00Z"}"#] {
        assert!(matches!(read(json), Err(GalleryIndexError::Malformed { .. })), "{json}");
    }
}

#[test]
fn serials_and_times_have_one_spelling() {
    for serial in ["-1", "1.0", "1e2", "\"1\"", "18446744073709551616"] {
        let json = format!(r#"{{"serial":{serial},"expires":"2026-12-01T00:00:00Z"}}"#);
        assert!(matches!(read(&json), Err(GalleryIndexError::Malformed { .. })), "{json}");
    }
    for serial in [0, MAX_SERIAL + 1] {
        let json = format!(r#"{{"serial":{serial},"expires":"2026-12-01T00:00:00Z"}}"#);
        assert!(matches!(read(&json), Err(GalleryIndexError::Serial { .. })), "{json}");
    }
    for text in
        ["2026-12-01", "2026-12-01 00:00:00Z", "2026-12-01T00:00:00+00:00", "2026-12-01T01:00:00+01:00", "", "soon"]
    {
        let json = format!(r#"{{"serial":1,"expires":"{text}"}}"#);
        assert!(matches!(read(&json), Err(GalleryIndexError::Time { .. })), "{json}");
    }
}

#[test]
fn what_is_denied_is_a_digest_and_not_endless() {
    let end = time("2026-12-01T00:00:00Z");
    let mut odd = Cutoffs::default();
    odd.denied_log_entries = ["sha256:AB".to_owned()].into();
    assert!(matches!(GalleryIndexTerms::new(1, end, odd), Err(GalleryIndexError::Digest { .. })));
    let mut many = Cutoffs::default();
    many.denied_digests = (0..4_097).map(|number| format!("sha256:{number:064x}")).collect();
    assert!(matches!(GalleryIndexTerms::new(1, end, many), Err(GalleryIndexError::TooManyDenied { .. })));
}

#[test]
fn cutoffs_only_tighten_a_policy() {
    let strict = load(&release("not_before: 2026-06-15T00:00:00Z\n"));
    let mut earlier = Cutoffs::default();
    earlier.not_before = Some(time("2026-01-01T00:00:00Z"));
    assert_eq!(strict.tightened(&earlier).canonical(), strict.canonical());
    assert_eq!(strict.tightened(&Cutoffs::default()).canonical(), strict.canonical());
    let mut later = Cutoffs::default();
    later.not_before = Some(time("2026-08-01T00:00:00Z"));
    assert_eq!(codes(&strict.tightened(&later), &facts()), ["signed-before-cutoff"]);
    let mut denied = Cutoffs::default();
    denied.denied_digests = [digest()].into();
    assert_eq!(codes(&strict.tightened(&denied), &facts()), ["denied-digest"]);
    let mut entry = Cutoffs::default();
    entry.denied_log_entries = [facts().log_entry].into();
    assert_eq!(codes(&strict.tightened(&entry), &facts()), ["denied-log-entry"]);
}

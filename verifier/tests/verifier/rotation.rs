//! Keys that come and go: what was signed counts by the window of its own authorities, then and years later.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::epoch::{Epoch, GENERATIONS, Of, both, window};
use crate::world::now;

const SECOND: SignedDuration = SignedDuration::from_secs(1);
const HOUR: SignedDuration = SignedDuration::from_hours(1);
const YEAR: SignedDuration = SignedDuration::from_hours(24 * 365);

/// All authorities that a signature of this generation of the log needs.
fn authorities(rekor: sandbox::RekorVersion) -> [Of; 4] {
    [Of::Fulcio, Of::Ct, Of::Rekor(rekor), Of::Tsa]
}

/// Whole seconds: certificates and logs know no others.
fn hours_ago(hours: i64) -> Timestamp {
    let then = now() - SignedDuration::from_hours(hours);
    Timestamp::from_second(then.as_second()).unwrap()
}

#[tokio::test]
async fn a_signature_counts_where_it_lies_in_the_window_of_each_of_its_authorities() {
    let epoch = Epoch::at(hours_ago(3)).await;
    let (root, signed) = (epoch.root(), epoch.signed);
    let mut stories = 0;
    for rekor in GENERATIONS {
        for of in authorities(rekor) {
            for (story, start, end) in [
                ("in use since before", signed - HOUR, None),
                ("retired after signing", signed - HOUR, Some(signed + HOUR)),
                ("retired in the second of signing", signed - HOUR, Some(signed)),
                ("in use since the second of signing", signed, None),
            ] {
                let verdict = epoch.judge(&window(&root, of, start, end), rekor, now());
                assert_eq!(verdict, ("verified", String::new()), "{rekor:?}, {of:?} {story}");
                stories += 1;
            }
            for (story, start, end) in [
                ("retired before signing", signed - HOUR, Some(signed - SECOND)),
                ("in use only after signing", signed + SECOND, None),
                ("of a day long ago", signed - YEAR, Some(signed - HOUR)),
            ] {
                let (verdict, code) = epoch.judge(&window(&root, of, start, end), rekor, now());
                assert_eq!(verdict, "rejected", "{rekor:?}, {of:?} {story}: {code}");
                stories += 1;
            }
        }
    }
    assert!(stories >= 40, "{stories}");
}

#[tokio::test]
async fn after_a_rotation_old_signatures_count_by_their_window_and_new_ones_by_theirs() {
    let (old, new) = (Epoch::at(hours_ago(5)).await, Epoch::at(hours_ago(1)).await);
    let rotated = hours_ago(3);
    let end = |root: Value, rekor| {
        authorities(rekor).iter().fold(root, |root, of| window(&root, *of, old.signed - HOUR, Some(rotated)))
    };
    let begin = |root: Value, rekor, at| authorities(rekor).iter().fold(root, |root, of| window(&root, *of, at, None));
    for rekor in GENERATIONS {
        let root = both(&end(old.root(), rekor), &begin(new.root(), rekor, rotated));
        assert_eq!(old.judge(&root, rekor, now()).0, "verified", "{rekor:?}");
        assert_eq!(new.judge(&root, rekor, now()).0, "verified", "{rekor:?}");
        // Each alone knows nothing of the other's.
        assert_eq!(old.judge(&new.root(), rekor, now()).0, "rejected");
        assert_eq!(new.judge(&old.root(), rekor, now()).0, "rejected");
        // A key that was stolen from the old epoch signs nothing in the new one.
        let late = both(&end(new.root(), rekor), &begin(old.root(), rekor, rotated));
        assert_eq!(new.judge(&late, rekor, now()).0, "rejected", "signed after the end of its window");
        assert_eq!(old.judge(&late, rekor, now()).0, "rejected", "signed before the start of its window");
        // Taken out, not retired: then not even what was signed in its time counts.
        assert_eq!(old.judge(&begin(new.root(), rekor, rotated), rekor, now()).0, "rejected");
    }
}

#[tokio::test]
async fn years_later_an_archived_bundle_is_verified_at_its_time_with_the_root_of_its_archive() {
    // Certificates of the sandbox live ten years: by the machine's clock every one of them has expired.
    let signed: Timestamp = "2012-06-01T12:00:00Z".parse().unwrap();
    let epoch = Epoch::at(signed).await;
    for rekor in GENERATIONS {
        let open = epoch.root();
        let rotated = authorities(rekor)
            .iter()
            .fold(open.clone(), |root, of| window(&root, *of, signed - YEAR, Some(signed + YEAR)));
        for root in [&open, &rotated] {
            for now in [signed + HOUR, signed + YEAR + YEAR, now(), now() + 10 * YEAR] {
                assert_eq!(epoch.judge(root, rekor, now).0, "verified", "{rekor:?} at {now}");
            }
        }
        for of in authorities(rekor) {
            let before = window(&rotated, of, signed - YEAR, Some(signed - SECOND));
            assert_eq!(epoch.judge(&before, rekor, now()).0, "rejected", "{rekor:?}, {of:?} was retired before");
            let after = window(&rotated, of, signed + SECOND, Some(signed + YEAR));
            assert_eq!(epoch.judge(&after, rekor, now()).0, "rejected", "{rekor:?}, {of:?} began after");
        }
        // Seen from before its time it is a signature of the future, whatever else is right.
        let early = epoch.judge(&open, rekor, signed - HOUR).0;
        assert_ne!(early, "verified", "{rekor:?}");
    }
}

#[tokio::test]
async fn a_timestamp_outside_the_certificates_of_its_authority_is_refused_however_wide_the_window() {
    // Authorities that began after the signature: their certificates were made later.
    let (old, new) = (Epoch::at("2012-06-01T12:00:00Z".parse().unwrap()).await, Epoch::at(hours_ago(1)).await);
    for rekor in GENERATIONS {
        let mut root = old.root();
        root["certificateAuthorities"] = new.root()["certificateAuthorities"].clone();
        assert_eq!(old.judge(&root, rekor, now()).0, "rejected");
        let mut root = old.root();
        root["timestampAuthorities"] = new.root()["timestampAuthorities"].clone();
        assert_eq!(old.judge(&root, rekor, now()).0, "rejected");
    }
}

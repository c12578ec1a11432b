//! Many images at once: on all cores, in order, in bounded memory.

use std::collections::{HashMap, VecDeque};

use countersign_oci::Digest;
use countersign_policy::Policy;
use jiff::Timestamp;
use rayon::prelude::*;

use crate::error::Error;
use crate::evidence::{Candidate, Content, Evidence};
use crate::verify::{Asked, Opened, Verdict, Verifier, judge_opened};

/// How many questions are judged together: enough for every core, and few enough that the first answers come soon.
const WINDOW: usize = 256;
/// Bytes of bundles that are judged together, unless one question alone has more.
const WINDOW_BYTES: usize = 32 << 20;
/// Bytes of authenticated bundles that are kept for later questions of the batch.
const KEPT_BYTES: usize = 32 << 20;

/// One question of a batch: is this image signed as this policy wants it?
#[derive(Debug, Clone)]
pub struct Question<'a> {
    /// What is asked for.
    pub asked: Asked,
    /// What was found for it.
    pub evidence: Evidence,
    /// What has to be true of it.
    pub policy: &'a Policy,
}

impl Question<'_> {
    fn bytes(&self) -> usize {
        let of_candidate = |candidate: &Candidate| match &candidate.content {
            Content::Bundle(bytes) => bytes.len(),
            _ => 0,
        };
        self.evidence.candidates.iter().map(of_candidate).sum()
    }
}

impl Verifier {
    /// Judges one question after another on all cores of rayon's pool, and returns the answers in the order of the
    /// questions.
    ///
    /// Each answer is the one that [`Verifier::verify`] would give: a question that is wrong or an image that is rejected
    /// changes nothing for the others. A bundle that several questions bring, byte for byte the same, is authenticated
    /// once; that is known by its sha256, within this batch only, and a refusal is never kept beyond the questions that
    /// are judged together.
    ///
    /// The iterator is lazy: it takes up to 256 questions or 32 MiB of bundles at a time, and keeps 32 MiB of bundles that
    /// were authenticated. Questions may come from an iterator that reads them from disk.
    pub fn verify_batch<'a, Q>(&'a self, questions: Q, now: Timestamp) -> Batch<'a, Q::IntoIter>
    where
        Q: IntoIterator<Item = Question<'a>>,
    {
        Batch {
            verifier: self,
            questions: questions.into_iter(),
            now,
            kept: Kept::default(),
            answers: VecDeque::new(),
            held_over: None,
        }
    }
}

/// The answers of [`Verifier::verify_batch`].
#[derive(Debug)]
pub struct Batch<'a, Q> {
    verifier: &'a Verifier,
    questions: Q,
    now: Timestamp,
    kept: Kept,
    answers: VecDeque<Result<Verdict, Error>>,
    /// The question that no longer fitted into the last window.
    held_over: Option<Question<'a>>,
}

impl<'a, Q: Iterator<Item = Question<'a>>> Iterator for Batch<'a, Q> {
    type Item = Result<Verdict, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.answers.is_empty() {
            let window = self.window();
            self.judge(&window);
        }
        self.answers.pop_front()
    }
}

impl<'a, Q: Iterator<Item = Question<'a>>> Batch<'a, Q> {
    fn window(&mut self) -> Vec<Question<'a>> {
        let mut window = Vec::new();
        let mut bytes = 0;
        while window.len() < WINDOW {
            let Some(question) = self.held_over.take().or_else(|| self.questions.next()) else { break };
            bytes += question.bytes();
            if bytes > WINDOW_BYTES && !window.is_empty() {
                self.held_over = Some(question);
                break;
            }
            window.push(question);
        }
        window
    }

    fn judge(&mut self, window: &[Question<'a>]) {
        let names: Vec<Vec<Name<'_>>> = window.par_iter().map(|question| names(&question.evidence)).collect();
        let opened = self.open(names.iter().flatten());
        let (verifier, now, kept) = (self.verifier, self.now, &self.kept);
        let of_name = |name: &Name<'_>| match name {
            Name::Bundle(digest, content) => {
                let known = opened.get(digest).or_else(|| kept.get(digest));
                known.cloned().unwrap_or_else(|| verifier.open(content, now))
            }
            Name::Other(content) => verifier.open(content, now),
        };
        let judge = |(question, names): (&Question<'a>, &Vec<Name<'_>>)| {
            let opened: Vec<Opened> = names.iter().map(of_name).collect();
            judge_opened(verifier, &question.asked, &question.evidence, &opened, question.policy, now)
        };
        self.answers = window.par_iter().zip(&names).map(judge).collect::<Vec<_>>().into();
        for (digest, opened) in opened {
            self.kept.keep(digest, opened);
        }
    }

    /// Authenticates each bundle that was not met before, once.
    fn open<'w>(&self, names: impl Iterator<Item = &'w Name<'w>>) -> HashMap<Digest, Opened> {
        let mut unknown: HashMap<Digest, &Content> = HashMap::new();
        for name in names {
            if let Name::Bundle(digest, content) = name
                && self.kept.get(digest).is_none()
            {
                unknown.insert(*digest, content);
            }
        }
        let (verifier, now) = (self.verifier, self.now);
        unknown.into_par_iter().map(|(digest, content)| (digest, verifier.open(content, now))).collect()
    }
}

/// A candidate, and what its bundle is known by.
#[derive(Debug)]
enum Name<'a> {
    Bundle(Digest, &'a Content),
    Other(&'a Content),
}

fn names(evidence: &Evidence) -> Vec<Name<'_>> {
    let contents = evidence.candidates.iter().map(|candidate| &candidate.content);
    let named = contents.map(|content| match content {
        Content::Bundle(bytes) => Name::Bundle(Digest::of(bytes), content),
        other => Name::Other(other),
    });
    named.collect()
}

/// Bundles that were authenticated, the newest, up to a number of bytes.
#[derive(Debug, Default)]
struct Kept {
    opened: HashMap<Digest, Opened>,
    order: VecDeque<(Digest, usize)>,
    bytes: usize,
}

impl Kept {
    fn get(&self, digest: &Digest) -> Option<&Opened> {
        self.opened.get(digest)
    }

    /// Keeps what was authenticated, and nothing else.
    fn keep(&mut self, digest: Digest, opened: Opened) {
        let Some(bytes) = opened.authenticated_bytes() else { return };
        if self.opened.insert(digest, opened).is_some() {
            return;
        }
        self.order.push_back((digest, bytes));
        self.bytes += bytes;
        while self.bytes > KEPT_BYTES
            && let Some((oldest, bytes)) = self.order.pop_front()
        {
            self.opened.remove(&oldest);
            self.bytes -= bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TrustedRoot;
    use bytes::Bytes;

    #[test]
    fn a_refusal_is_never_kept_and_what_is_kept_is_bounded() {
        let verifier = Verifier::new(TrustedRoot::embedded_public_good().unwrap()).unwrap();
        let mut kept = Kept::default();
        let bundle = Bytes::from_static(b"{}");
        let refused = verifier.open(&Content::Bundle(bundle.clone()), Timestamp::UNIX_EPOCH);
        kept.keep(Digest::of(&bundle), refused);
        assert!(kept.get(&Digest::of(&bundle)).is_none());
        assert_eq!((kept.opened.len(), kept.order.len(), kept.bytes), (0, 0, 0));
    }
}

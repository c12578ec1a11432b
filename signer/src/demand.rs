//! What a signature has to be for this call: acceptable to a policy, and bound to the very repository, tags and annotations.

use std::sync::Arc;

use countersign_policy::{Policy, Require};

use crate::statement::{Annotations, BoundSubject};

/// A policy, with everything that this call says of its subjects.
#[derive(Clone, Debug)]
pub(crate) struct Demand {
    with_tag: Arc<Policy>,
    without_tag: Arc<Policy>,
}

impl Demand {
    pub(crate) fn new(policy: &Policy, annotations: &Annotations) -> Self {
        let mut require = Require::default();
        require.repository = true;
        require.annotations = annotations.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        let without_tag = Arc::new(policy.requiring(require.clone()));
        require.tag = true;
        Self { with_tag: Arc::new(policy.requiring(require)), without_tag }
    }

    /// What a signature of this subject has to keep.
    pub(crate) fn of(&self, subject: &BoundSubject) -> &Arc<Policy> {
        if subject.tags().next().is_some() { &self.with_tag } else { &self.without_tag }
    }
}

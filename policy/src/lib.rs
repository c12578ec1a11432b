//! Who may have signed what, and when: policy document, matching and denial

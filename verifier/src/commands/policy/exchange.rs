//! What import and export say of losses.

use countersign_cli::output;
use countersign_oci::visible;
use countersign_policy::{Effect, Loss};
use serde::Serialize;

/// A loss in JSON.
#[derive(Serialize)]
pub(super) struct LossDocument<'a> {
    code: &'static str,
    effect: &'static str,
    at: String,
    line: Option<u32>,
    column: Option<u32>,
    said: &'a str,
    became: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<&'a str>,
}

impl<'a> LossDocument<'a> {
    pub(super) fn new(loss: &'a Loss) -> Self {
        Self {
            code: loss.code.as_str(),
            effect: loss.code.effect().as_str(),
            at: loss.at.to_string(),
            line: loss.at.line,
            column: loss.at.column,
            said: &loss.said,
            became: &loss.became,
            advice: loss.advice.as_deref(),
        }
    }
}

/// Names each loss on standard error.
pub(super) fn note_losses(losses: &[Loss]) {
    for loss in losses {
        // What is neutral changes nothing about who may have signed.
        let word = if loss.code.effect() == Effect::Neutral { "note" } else { "loss" };
        output::note(&format!("{word}: {loss}"));
        if let Some(advice) = &loss.advice {
            output::note(&format!("  hint: {}", advice.chars().map(visible).collect::<String>()));
        }
    }
}

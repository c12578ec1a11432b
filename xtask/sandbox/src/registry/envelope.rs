//! The registry's error documents.

use http::StatusCode;
use http::header::ALLOW;

use crate::exchange::Reply;

/// An error in the envelope of the distribution specification.
pub(crate) fn refuse(status: StatusCode, code: &str, message: &str) -> Reply {
    let error = serde_json::json!({ "errors": [{ "code": code, "message": message, "detail": null }] });
    Reply::json(status, &error)
}

pub(crate) fn method_not_allowed(allowed: &str) -> Reply {
    refuse(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", "the operation is unsupported").header(ALLOW, allowed)
}

pub(crate) fn digest_invalid(given: &str) -> Reply {
    refuse(
        StatusCode::BAD_REQUEST,
        "DIGEST_INVALID",
        &format!("provided digest {given:?} did not match uploaded content or is malformed"),
    )
}

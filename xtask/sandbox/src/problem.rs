//! Refusals of the Sigstore services, in the two shapes that the real ones use.

use http::StatusCode;
use serde_json::json;

use crate::exchange::Reply;

/// A refusal: what is wrong, in the words of the real server where it matters.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    /// The code of gRPC that belongs to the status.
    grpc: u8,
    /// The code of go-openapi: the status, unless it has one of its own.
    code: u16,
    message: String,
}

impl Problem {
    fn new(status: StatusCode, grpc: u8, message: &str) -> Problem {
        Problem { status, grpc, code: status.as_u16(), message: message.to_owned() }
    }

    pub(crate) fn invalid(message: &str) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, 3, message)
    }

    /// What go-openapi says of a part of the request that is missing or malformed, with a code of its own.
    pub(crate) fn unprocessable(code: u16, message: &str) -> Problem {
        Problem { code, ..Problem::new(StatusCode::UNPROCESSABLE_ENTITY, 3, message) }
    }

    /// What go-openapi says of a part of the request that is not there.
    pub(crate) fn required(what: &str) -> Problem {
        Problem::unprocessable(602, &format!("{what} is required"))
    }

    pub(crate) fn not_found() -> Problem {
        Problem::new(StatusCode::NOT_FOUND, 5, "Not Found")
    }

    pub(crate) fn conflict(message: &str) -> Problem {
        Problem::new(StatusCode::CONFLICT, 6, message)
    }

    pub(crate) fn method_not_allowed() -> Problem {
        Problem::new(StatusCode::METHOD_NOT_ALLOWED, 12, "Method Not Allowed")
    }

    pub(crate) fn unsupported_media_type(given: &str) -> Problem {
        Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, 3, &format!("unsupported media type {given:?}"))
    }

    pub(crate) fn internal(message: &str) -> Problem {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, 13, message)
    }

    /// As grpc-gateway writes it: Fulcio and Rekor v2. That gateway knows no 405: its answer is 501.
    pub(crate) fn grpc(&self) -> Reply {
        let status =
            if self.status == StatusCode::METHOD_NOT_ALLOWED { StatusCode::NOT_IMPLEMENTED } else { self.status };
        Reply::json(status, &json!({ "code": self.grpc, "message": self.message, "details": [] }))
    }

    /// As go-openapi writes it: Rekor v1 and the timestamp authority.
    pub(crate) fn swagger(&self) -> Reply {
        Reply::json(self.status, &json!({ "code": self.code, "message": self.message }))
    }
}

//! Sending the requests of one comparison to one server, in order.

use anyhow::Context as _;

use super::super::http::{self, Answer};
use super::case::{Request, Target};

/// A server, and the last entry that it created.
pub(super) struct Exchange {
    url: String,
    created: Option<Answer>,
}

impl Exchange {
    pub(super) fn with(url: String) -> Self {
        Self { url, created: None }
    }

    pub(super) fn send(&mut self, request: &Request) -> anyhow::Result<Answer> {
        let path = match &request.target {
            Target::Path(path) => path.clone(),
            Target::Created(path) => path(self.created.as_ref().context("nothing was created yet")?)?,
        };
        let url = format!("{}{path}", self.url);
        let headers: Vec<(&str, &str)> = request.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = match request.method {
            "GET" => http::get(&url, &headers)?,
            method => http::send(method, &url, &headers, &request.body)?,
        };
        if answer.status == 201 {
            self.created = Some(answer.clone());
        }
        Ok(answer)
    }
}

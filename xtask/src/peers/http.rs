//! Plain HTTP to servers on loopback, with every status answered rather than failed.

use std::time::Duration;

use anyhow::Context as _;
use ureq::Agent;
use ureq::http::Response;

/// The most that is read of an answer.
const ANSWER_BYTES: u64 = 32 * 1024 * 1024;

/// What a server answered.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The beginning of the body, to be shown.
    pub(crate) fn text(&self) -> String {
        let text: String = String::from_utf8_lossy(&self.body).chars().take(160).collect();
        text.replace(['\n', '\r'], " ")
    }

    pub(crate) fn json(&self) -> anyhow::Result<serde_json::Value> {
        serde_json::from_slice(&self.body)
            .with_context(|| format!("status {}: {}", self.status, String::from_utf8_lossy(&self.body)))
    }
}

fn agent() -> Agent {
    Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .timeout_global(Some(Duration::from_secs(60)))
        .build()
        .into()
}

/// Asks for a resource.
pub(crate) fn get(url: &str, headers: &[(&str, &str)]) -> anyhow::Result<Answer> {
    let mut request = agent().get(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    answer(request.call().with_context(|| format!("GET {url}"))?)
}

/// Sends bytes with a method that has a body.
pub(crate) fn send(method: &str, url: &str, headers: &[(&str, &str)], body: &[u8]) -> anyhow::Result<Answer> {
    let mut request = ureq::http::Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(body.to_vec())?;
    answer(agent().run(request).with_context(|| format!("{method} {url}"))?)
}

/// Whether a server answers this with 200.
pub(crate) fn is_up(url: &str) -> bool {
    get(url, &[]).is_ok_and(|answer| answer.status == 200)
}

fn answer(mut response: Response<ureq::Body>) -> anyhow::Result<Answer> {
    let headers = response
        .headers()
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    let status = response.status().as_u16();
    let body = response.body_mut().with_config().limit(ANSWER_BYTES).read_to_vec()?;
    Ok(Answer { status, headers, body })
}

//! Lists in pages: tags, repositories, referrers.

use http::StatusCode;
use http::header::LINK;

use super::Registry;
use super::envelope::{method_not_allowed, refuse};
use crate::exchange::{Call, Reply};

impl Registry {
    pub(super) fn tags(&self, call: &Call, repository: &str) -> Reply {
        if !matches!(call.method.as_str(), "GET" | "HEAD") {
            return method_not_allowed("GET");
        }
        let store = crate::lock(&self.store);
        let Some(content) = store.repositories.get(repository) else {
            return refuse(
                StatusCode::NOT_FOUND,
                "NAME_UNKNOWN",
                &format!("repository {repository} not known to registry"),
            );
        };
        let tags: Vec<String> = content.tags.keys().cloned().collect();
        let (page, link) = self.page(call, &tags, String::as_str);
        linked(Reply::json(StatusCode::OK, &serde_json::json!({ "name": repository, "tags": page })), link)
    }

    pub(super) fn catalog(&self, call: &Call) -> Reply {
        let names: Vec<String> = crate::lock(&self.store).repositories.keys().cloned().collect();
        let (page, link) = self.page(call, &names, String::as_str);
        linked(Reply::json(StatusCode::OK, &serde_json::json!({ "repositories": page })), link)
    }

    /// The entries after `last`, at most `n` and at most a page, and where the next ones are.
    pub(super) fn page<'a, T>(
        &self,
        call: &Call,
        sorted: &'a [T],
        key: impl Fn(&T) -> &str,
    ) -> (&'a [T], Option<String>) {
        let asked = call.query_value("n").and_then(|n| n.parse::<usize>().ok());
        let size = [asked, self.behaviour().page_size].into_iter().flatten().min();
        let start =
            call.query_value("last").map_or(0, |last| sorted.partition_point(|entry| key(entry) <= last.as_str()));
        let rest = &sorted[start.min(sorted.len())..];
        let page = &rest[..size.unwrap_or(rest.len()).min(rest.len())];
        let next = page.last().filter(|_| page.len() < rest.len()).map(|last| {
            let mut query = form_urlencoded::Serializer::new(String::new());
            for kept in call.query_values("artifactType") {
                query.append_pair("artifactType", &kept);
            }
            query.append_pair("n", &page.len().to_string()).append_pair("last", key(last));
            format!("<{}?{}>; rel=\"next\"", self.location(&call.path), query.finish())
        });
        (page, next)
    }
}

pub(super) fn linked(reply: Reply, link: Option<String>) -> Reply {
    match link {
        Some(link) => reply.header(LINK, link),
        None => reply,
    }
}

//! `GET`: what became of an MM, what is in it, and which MMs there are.
//!
//! Owns: that an application sees its own MMs only, and learns nothing of the existence of others.

use super::own::{self, Whose};
use super::problem::{Kind, Problem};
use super::shown::{self, Standing};
use super::{Caller, Dock, json_response};
use crate::content;
use crate::decode;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderMap, HeaderValue};
use axum::http::{Response, StatusCode};
use mms::MmId;
use relay::Ledger;
use relay::store::Store;
use serde_json::json;
use std::sync::Arc;

/// MMs on one page when nothing else is asked, and at most.
const PAGE: (usize, usize) = (20, 100);

/// Do something with the store on a thread that may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work).await.map_err(Problem::fault)?
}

/// The MM of this id, if it is this application's business.
fn find(store: &dyn Store, caller: &Caller, id: &str) -> Result<(Ledger, Standing), Problem> {
    let unknown = || Problem::not_found("this MM");
    let mm: MmId = id.parse().map_err(|_| unknown())?;
    let ledger = content::ledger(store, mm).map_err(Problem::fault)?.ok_or_else(unknown)?;
    let application = caller.application();
    let standing = shown::standing(&ledger, &application.name, application.webhook.as_ref());
    standing.map(|standing| (ledger, standing)).ok_or_else(unknown)
}

pub(super) async fn one(
    State(dock): State<Arc<Dock>>,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response<Body>, Problem> {
    let caller = dock.caller(&headers)?;
    let Path(id) = path.map_err(|_| Problem::not_found("this MM"))?;
    let store = Arc::clone(&dock.store);
    let message = blocking(move || {
        let (ledger, standing) = find(&*store, &caller, &id)?;
        let mut message = shown::message(&ledger, &standing);
        let octets = content::wire_form(&*store, &ledger).map_err(Problem::fault)?;
        message["content_kept"] = json!(octets.is_some());
        message["parts"] = octets.map_or_else(|| json!([]), |o| shown::parts(ledger.id, &decode::mail(&o)));
        if standing == Standing::Submitter {
            message["bcc"] = bcc(&ledger);
            message["history"] = shown::history(&ledger);
        }
        Ok(message)
    });
    Ok(json_response(StatusCode::OK, &message.await?))
}

fn bcc(ledger: &Ledger) -> serde_json::Value {
    let hidden = ledger.recipients.iter().filter(|r| r.kind == relay::RecipientKind::Bcc);
    hidden.map(|r| r.party.address.value()).collect()
}

pub(super) async fn part(
    State(dock): State<Arc<Dock>>,
    path: Result<Path<(String, String)>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response<Body>, Problem> {
    let caller = dock.caller(&headers)?;
    let Path((id, n)) = path.map_err(|_| Problem::not_found("this MM"))?;
    let store = Arc::clone(&dock.store);
    let (content_type, file_name, octets) = blocking(move || {
        let (ledger, _) = find(&*store, &caller, &id)?;
        let index = n.parse::<usize>().ok().and_then(|n| n.checked_sub(1));
        let octets = content::wire_form(&*store, &ledger).map_err(Problem::fault)?;
        let octets =
            octets.ok_or_else(|| Problem::new(Kind::Gone, "the content of this MM is not kept any more"))?;
        let mut parts = decode::mail(&octets).parts;
        match index.filter(|i| *i < parts.len()) {
            Some(i) => {
                let name = decode::file_name(i, &parts[i]);
                let part = parts.swap_remove(i);
                let content_type = part.part.content_type.as_ref().map(|t| t.as_str().to_owned());
                Ok((content_type.unwrap_or_else(|| part.part.kind()), name, part.octets))
            }
            None => Err(Problem::not_found("this part")),
        }
    })
    .await?;
    let mut response = Response::new(Body::from(octets));
    // What strangers made is never shown by a browser as if it came from here.
    let safe = |text: &str| HeaderValue::from_str(text).ok().filter(|_| text.is_ascii());
    let standard = HeaderValue::from_static("application/octet-stream");
    let name: String = file_name.chars().map(|c| if c.is_ascii() { c } else { '_' }).collect();
    let disposition = safe(&format!("attachment; filename=\"{name}\""));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, safe(&content_type).unwrap_or(standard));
    headers
        .insert(CONTENT_DISPOSITION, disposition.unwrap_or_else(|| HeaderValue::from_static("attachment")));
    headers.insert("content-security-policy", HeaderValue::from_static("default-src 'none'; sandbox"));
    Ok(response)
}

/// What a list is asked for.
struct Asked {
    after: Option<MmId>,
    limit: usize,
}

fn asked(query: Option<&str>) -> Result<Asked, Problem> {
    let mut asked = Asked { after: None, limit: PAGE.0 };
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let wrong =
            |name: &str, what: String| Problem::field(Kind::Malformed, name, format!("{name}: {what}"));
        match name {
            "after" => {
                let after =
                    value.parse().map_err(|_| wrong(name, "expected an id of 26 characters".into()))?;
                asked.after = Some(after);
            }
            "limit" => match value.parse().ok().filter(|n| (1..=PAGE.1).contains(n)) {
                Some(limit) => asked.limit = limit,
                None => return Err(wrong(name, format!("expected 1 to {}", PAGE.1))),
            },
            other => {
                let other = mms::HeaderText::cleaned(other).capped(80);
                return Err(wrong(other.as_str(), "no such parameter; expected after and limit".into()));
            }
        }
    }
    Ok(asked)
}

pub(super) async fn list(
    State(dock): State<Arc<Dock>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response<Body>, Problem> {
    let caller = dock.caller(&headers)?;
    let Asked { after, limit } = asked(query.as_deref())?;
    let (store, search) = (Arc::clone(&dock.store), dock.search.clone());
    let page = blocking(move || {
        let application = caller.application();
        let whose = Whose { application: &application.name, webhook: application.webhook.as_ref() };
        let page = own::page(&*store, search.as_deref(), whose, after, limit).map_err(Problem::fault)?;
        let messages: Vec<_> = page.messages.iter().map(|(ledger, of)| shown::message(ledger, of)).collect();
        Ok(json!({ "messages": messages, "next": page.next.map(|mm| mm.to_string()) }))
    });
    Ok(json_response(StatusCode::OK, &page.await?))
}

//! `POST /v1/messages`: an application hands in an MM.
//!
//! Owns: reading the body within its limits, the sender's permission, idempotency as the application sees it. Never
//! knows: what a submission means; the heart decides, and the `202` leaves when that is durable.

use super::problem::{Kind, Problem};
use super::shown;
use super::wanted::{Raw, Wanted, is_past};
use super::{Caller, Dock, json_response};
use crate::clock::Began;
use crate::compose::{Attachment, Composed, compose};
use crate::content;
use crate::traces::{self, Side, Work};
use axum::body::Body;
use axum::extract::{FromRequest as _, Multipart, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION};
use axum::http::{Request, Response, StatusCode, request};
use axum::response::IntoResponse as _;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use mms::HeaderText;
use relay::store::StoreError;
use relay::{Answer, Event, Once, Reason, Submission};
use std::sync::Arc;
use std::time::Duration;
use wire::mime::ContentType;

/// How long a key is remembered.
const KEY_KEPT: Duration = Duration::from_secs(86_400);
/// Octets that are read on after a refusal, so that the answer is not lost to a connection reset.
const DRAIN_MAX: usize = 1 << 20;

pub(super) async fn submit(State(dock): State<Arc<Dock>>, request: Request<Body>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let ready = dock.caller(&head.headers).and_then(|caller| {
        let key = idempotency_key(&head.headers)?;
        let form = is_form(&head.headers)?;
        let most = caller.set.config.http.request_size_max;
        match declared(&head.headers) {
            Some(length) if length > most => Err(too_large(most)),
            _ => Ok((caller, key, form)),
        }
    });
    let (caller, key, form) = match ready {
        Ok(ready) => ready,
        Err(problem) => {
            let _ = Limited::new(body, DRAIN_MAX).collect().await;
            return problem.into_response();
        }
    };
    let began = dock.clock.begin();
    let done = async {
        let most = usize::try_from(caller.set.config.http.request_size_max).unwrap_or(usize::MAX);
        let octets = read(body, most).await?;
        let raw = if form { read_form(head, octets).await? } else { Raw::Json(octets.into()) };
        hand_in(&dock, began, caller, key, raw).await
    };
    done.await.unwrap_or_else(|problem: Problem| problem.into_response())
}

fn declared(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn too_large(most: u64) -> Problem {
    Problem::new(Kind::TooLarge, format!("the body has more than {most} octets"))
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let name = "Idempotency-Key";
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    // `to_str` lets a tab pass.
    let plain = |t: &&str| (1..=255).contains(&t.len()) && t.bytes().all(|b| (b' '..=b'~').contains(&b));
    let printable = |v: &HeaderValue| v.to_str().ok().filter(plain).map(str::to_owned);
    match (printable(value), values.next()) {
        (Some(key), None) => Ok(Some(key)),
        _ => Err(Problem::field(
            Kind::Malformed,
            name,
            format!("{name}: expected 1 to 255 printable characters, once"),
        )),
    }
}

/// Whether the body is a form; else it is JSON.
fn is_form(headers: &HeaderMap) -> Result<bool, Problem> {
    let value = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok());
    match value.and_then(ContentType::parse).as_ref().map(ContentType::kind) {
        Some("application/json") => Ok(false),
        Some("multipart/form-data") => Ok(true),
        _ => {
            let what = "Content-Type: expected application/json or multipart/form-data";
            Err(Problem::field(Kind::UnsupportedType, "Content-Type", what))
        }
    }
}

async fn read(body: Body, most: usize) -> Result<axum::body::Bytes, Problem> {
    match Limited::new(body, most).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large(most as u64)),
        Err(error) => {
            Err(Problem::new(Kind::Malformed, format!("the body did not come to its end: {error}")))
        }
    }
}

/// `message`, and every other field as a part.
async fn read_form(head: request::Parts, octets: axum::body::Bytes) -> Result<Raw, Problem> {
    let wrong = |what: String| Problem::new(Kind::Malformed, format!("the form cannot be read: {what}"));
    let request = Request::from_parts(head, Body::from(octets));
    let mut form = Multipart::from_request(request, &()).await.map_err(|e| wrong(e.body_text()))?;
    let (mut message, mut files) = (None, Vec::new());
    while let Some(field) = form.next_field().await.map_err(|e| wrong(e.body_text()))? {
        let text = |name: &str| {
            let value = field.headers().get(name).and_then(|v| std::str::from_utf8(v.as_bytes()).ok());
            value.map(|v| wire::mime::strip_angles(v.trim()).to_owned())
        };
        let (content_id, content_location) = (text("content-id"), text("content-location"));
        let content_type = text("content-type").unwrap_or_else(|| "text/plain; charset=utf-8".into());
        let name = field.name().unwrap_or_default().to_owned();
        let file_name = field.file_name().map(str::to_owned);
        let octets = field.bytes().await.map_err(|e| wrong(e.body_text()))?;
        if name == "message" && message.is_none() {
            message = Some(octets.to_vec());
            continue;
        }
        let name = [file_name, Some(name)].into_iter().flatten().find(|n| !n.is_empty());
        let name = name.unwrap_or_else(|| format!("part{}", files.len() + 1));
        let octets = octets.to_vec();
        files.push(Attachment { name, content_type, octets, content_id, content_location });
    }
    match message {
        Some(message) => Ok(Raw::Form(message, files)),
        None => Err(Problem::field(
            Kind::Malformed,
            "message",
            "the form has no field \"message\" with the JSON in it",
        )),
    }
}

async fn hand_in(
    dock: &Arc<Dock>,
    began: Began,
    caller: Caller,
    key: Option<String>,
    raw: Raw,
) -> Result<Response<Body>, Problem> {
    let worker = Arc::clone(dock);
    // Decoding, composing and writing take a while: not on the threads that serve sockets.
    let prepared = tokio::task::spawn_blocking(move || prepare(&worker, &caller, key, raw)).await;
    let submission = prepared.map_err(Problem::fault)??;
    let mm = crate::fresh_id(&dock.clock);
    match dock.heart.ask(mm, Event::Submitted(Box::new(submission))).await {
        Some(Answer::Ledger(ledger)) => {
            dock.telemetry.worked(mm, &dock.clock, || {
                Work::new(began, "POST /v1/messages", Side::Server)
                    .with(traces::number("belino.recipients", ledger.recipients.len() as u64))
            });
            Ok(taken(StatusCode::ACCEPTED, mm, &shown::receipt(&ledger)))
        }
        Some(Answer::Repeated(mm, true)) => {
            let store = Arc::clone(&dock.store);
            let ledger = tokio::task::spawn_blocking(move || content::ledger(&*store, mm)).await;
            let receipt = match ledger.map_err(Problem::fault)?.map_err(Problem::fault)? {
                Some(ledger) => shown::receipt(&ledger),
                // Its history is not kept any more; that it was taken is known all the same.
                None => serde_json::json!({ "id": mm.to_string(), "message_id": null, "recipients": [] }),
            };
            let mut response = taken(StatusCode::OK, mm, &receipt);
            response.headers_mut().insert("idempotency-replayed", HeaderValue::from_static("true"));
            Ok(response)
        }
        Some(Answer::Repeated(_, false)) => {
            let what = "Idempotency-Key: this key stands for a submission with other content; a new one needs a new key";
            Err(Problem::field(Kind::KeyReused, "Idempotency-Key", what))
        }
        Some(Answer::Refused(reason, detail)) => Err(refused(reason, &detail)),
        Some(other) => Err(Problem::fault(format!("unexpected answer: {other:?}"))),
        None => Err(Problem::stopping()),
    }
}

fn taken(status: StatusCode, mm: mms::MmId, receipt: &serde_json::Value) -> Response<Body> {
    let mut response = json_response(status, receipt);
    if let Ok(location) = HeaderValue::from_str(&format!("/v1/messages/{mm}")) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

fn refused(reason: Reason, detail: &str) -> Problem {
    let what = format!("{}: {detail}", reason.text());
    match reason {
        Reason::SenderDenied | Reason::Barred => Problem::field(Kind::SenderDenied, "from", what),
        Reason::Full | Reason::Unavailable => Problem::new(Kind::Unavailable, reason.text()),
        Reason::Fault => Problem::fault(what),
        Reason::NotAnAddress | Reason::TooManyRecipients => Problem::field(Kind::Unacceptable, "to", what),
        _ => Problem::new(Kind::Unacceptable, what),
    }
}

/// Everything up to the heart: read, allowed, composed, its content kept.
fn prepare(dock: &Dock, caller: &Caller, key: Option<String>, raw: Raw) -> Result<Submission, Problem> {
    let wanted = Wanted::read(raw)?;
    let application = caller.application();
    let address = caller.set.config.house.normalised(wanted.from.address.clone());
    if !application.senders.iter().any(|senders| senders.include(&address)) {
        let may: Vec<String> = application.senders.iter().map(ToString::to_string).collect();
        let what = format!(
            "from: {} is no sender of application {}; its senders begin with {}",
            address.value(),
            application.name,
            may.join(" or ")
        );
        return Err(Problem::field(Kind::SenderDenied, "from", what));
    }
    if is_past(wanted.request.expiry, dock.clock.now()) {
        return Err(Problem::field(Kind::Unacceptable, "expiry", "expiry: the instant is past"));
    }
    let Composed { wire_form, content_type, content_transfer_encoding } =
        compose(wanted.text.as_deref(), wanted.parts).map_err(Problem::fault)?;
    let header = |text: String| HeaderText::new(text).map_err(Problem::fault);
    let mut request = wanted.request;
    request.content_type = Some(header(content_type)?);
    request.content_transfer_encoding = content_transfer_encoding.map(header).transpose()?;
    let kept = content::keep(&*dock.store, &wire_form).map_err(|error| match error {
        StoreError::Full(_) => Problem::new(Kind::Unavailable, "storage is full; try again later"),
        other => {
            tracing::error!("the content of a submission cannot be kept: {other}");
            Problem::new(Kind::Unavailable, "storage is out of order; try again later")
        }
    })?;
    let (content, body) = kept.unzip();
    let once = key.map(|key| Once {
        key: format!("http/{}/{key}", application.name).into_bytes(),
        digest: wanted.digest,
        kept: KEY_KEPT,
    });
    Ok(Submission {
        by: shown::submitter(&application.name),
        hook: application.webhook.clone(),
        once,
        from: wanted.from,
        to: wanted.to,
        cc: wanted.cc,
        bcc: wanted.bcc,
        request,
        body,
        content,
    })
}

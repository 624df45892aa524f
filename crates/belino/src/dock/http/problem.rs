//! What a request is refused with: `application/problem+json` (RFC 9457).
//!
//! Owns: kinds of refusals, their statuses and their form. Every kind stands in the OpenAPI document.

use axum::body::Body;
use axum::http::header::{CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;
use serde_json::json;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $status:literal, $word:literal, $title:literal;)+) => {
        /// Why a request is refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Kind { $($(#[$doc])* $name,)+ }

        impl Kind {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The status of the answer.
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)+ }
            }

            /// The end of `type`.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)+ }
            }

            /// `title`.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)+ }
            }
        }
    };
}

kinds! {
    /// It cannot be read as what the document describes.
    Malformed = 400, "malformed", "The request cannot be read";
    /// No token, or none that is known.
    Unauthorised = 401, "unauthorised", "A known token is needed";
    /// The application may not send as this sender.
    SenderDenied = 403, "sender-denied", "The sender may not be used";
    /// There is nothing here, or nothing that this application may see.
    NotFound = 404, "not-found", "There is nothing here";
    /// Not with this method.
    MethodNotAllowed = 405, "method-not-allowed", "The method is not allowed here";
    /// It came too slowly.
    TooSlow = 408, "too-slow", "The request took too long";
    /// The key was used for something else.
    KeyReused = 409, "key-reused", "The Idempotency-Key was used for another submission";
    /// The content is not kept any more.
    Gone = 410, "gone", "The content is not kept any more";
    /// The body is over the limit.
    TooLarge = 413, "too-large", "The request is too large";
    /// The body is of another type.
    UnsupportedType = 415, "unsupported-type", "The type of the body is not supported";
    /// It can be read, but not be done.
    Unacceptable = 422, "unacceptable", "The request cannot be accepted";
    /// Our own trouble.
    Fault = 500, "fault", "An error of this server";
    /// Not now.
    Unavailable = 503, "unavailable", "The service is not available now";
}

/// One refusal.
#[derive(Clone, Debug)]
pub struct Problem {
    kind: Kind,
    detail: String,
    field: Option<String>,
}

impl Problem {
    /// A refusal, in words.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), field: None }
    }

    /// A refusal for which a field is to blame.
    pub fn field(kind: Kind, field: &str, detail: impl Into<String>) -> Self {
        Self { field: Some(field.to_owned()), ..Self::new(kind, detail) }
    }

    /// Nothing here that this application may see.
    pub fn not_found(what: &str) -> Self {
        Self::new(Kind::NotFound, format!("{what} is not known to this application"))
    }

    /// The heart has stopped, or is about to.
    pub fn stopping() -> Self {
        Self::new(Kind::Unavailable, "the relay is stopping; try again")
    }

    /// Our own trouble: said to the operator's log, not to the application.
    pub fn fault(why: impl std::fmt::Display) -> Self {
        tracing::error!("an HTTP request failed: {why}");
        Self::new(Kind::Fault, "the operator's log says why")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response<Body> {
        let mut body = json!({
            "type": format!("urn:belino:problem:{}", self.kind.word()),
            "title": self.kind.title(),
            "status": self.kind.status(),
            "detail": self.detail,
        });
        if let Some(field) = self.field {
            body["field"] = json!(field);
        }
        let mut response = Response::new(Body::from(body.to_string()));
        *response.status_mut() =
            StatusCode::from_u16(self.kind.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        match self.kind {
            Kind::Unauthorised => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"belino\""));
            }
            Kind::Unavailable => drop(headers.insert(RETRY_AFTER, HeaderValue::from_static("30"))),
            Kind::TooSlow => drop(headers.insert(CONNECTION, HeaderValue::from_static("close"))),
            _ => {}
        }
        response
    }
}

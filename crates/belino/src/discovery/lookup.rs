//! The number-portability source of the house: an HTTP service that is asked where a number lives now.
//!
//! Owns: the question (a GET of the configured URL), the answers that are understood, what counts as trouble, the memory of
//! answers. Never knows: what becomes of an answer. Redirects are not followed, at most 64 KiB are read, and only plain HTTP
//! is spoken so far.
//!
//! One answer out of: `{"peer":"b"}`, `{"domain":"mms.b.example"}`, `{"imsi":"260061234567890"}`, `{"mcc":"260","mnc":"06"}`,
//! `{"local":true}`, `{"found":false}`; status 404 means the same as the last one.

use super::cache::Cache;
use super::mmse::Naming;
use crate::clock::Clock;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use hyper::{Request, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use mms::{Domain, Number};
use serde_json::Value;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Octets of an answer that are read, at most.
const BODY_MAX: usize = 64 << 10;
/// What is expected of an answer, for whoever wrote the service.
const EXPECTED: &str = "expected status 404, or 200 with one of {\"peer\":\"b\"}, {\"domain\":\"mms.b.example\"}, \
    {\"imsi\":\"260061234567890\"}, {\"mcc\":\"260\",\"mnc\":\"06\"}, {\"local\":true}, {\"found\":false}";

/// How the service is asked.
#[derive(Clone)]
pub struct LookupConfig {
    /// The URL, with `{number}` and perhaps `{from}`.
    pub url: Template,
    /// Sent as `Authorization: Bearer`, where the service wants it.
    pub token: Option<Token>,
    /// How long one question may take.
    pub timeout: Duration,
    /// How long an answer is remembered, at most a day.
    pub cache: Duration,
    /// How long it is remembered that nothing was found, at most a day.
    pub not_found_cache: Duration,
}

/// Without the token.
impl fmt::Debug for LookupConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LookupConfig")
            .field("url", &self.url)
            .field("timeout", &self.timeout)
            .field("cache", &self.cache)
            .field("not_found_cache", &self.not_found_cache)
            .finish_non_exhaustive()
    }
}

/// A URL with places for the numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(String);

impl Template {
    /// Check a URL.
    ///
    /// # Errors
    /// It is no plain HTTP URL, has no `{number}` in path or query, or other places than `{number}` and `{from}`.
    pub fn new(text: &str) -> Result<Self, String> {
        let shaped =
            || format!("expected such as \"http://127.0.0.1:8080/np?number={{number}}\", not {text:?}");
        if text.get(..8).is_some_and(|s| s.eq_ignore_ascii_case("https://")) {
            return Err(format!("{text:?}: https is not spoken yet; use http to a proxy on this machine"));
        }
        let Some((_, rest)) = text.split_once("://").filter(|(s, _)| s.eq_ignore_ascii_case("http")) else {
            return Err(shaped());
        };
        let Some((host, path)) = rest.split_once('/').filter(|(h, _)| !h.contains(['{', '?'])) else {
            return Err(shaped());
        };
        if !path.contains("{number}") {
            return Err(format!("{text:?} has no {{number}} in its path or query"));
        }
        let plain = text.replace("{number}", "").replace("{from}", "");
        let usable = plain.parse::<Uri>().is_ok_and(|uri| uri.host().is_some_and(|h| !h.is_empty()));
        if !usable || plain.contains(['{', '}', '#']) || host.contains('@') {
            return Err(shaped());
        }
        Ok(Self(text.to_owned()))
    }

    /// The URL for a question.
    fn fill(&self, number: &Number, from: Option<&Number>) -> String {
        // Nothing but the plus sign of a number needs encoding.
        let encoded = |n: &Number| n.to_string().replace('+', "%2B");
        let from = from.map(encoded).unwrap_or_default();
        self.0.replace("{number}", &encoded(number)).replace("{from}", &from)
    }

    fn names_from(&self) -> bool {
        self.0.contains("{from}")
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What proves to the service who we are. It has no `Debug`, so that it gets into no log.
#[derive(Clone)]
pub struct Token(HeaderValue);

impl Token {
    /// Read it from a file that holds nothing else.
    ///
    /// # Errors
    /// The file cannot be read, others may read it, or what it holds is no token.
    pub fn read(file: &Path) -> Result<Self, String> {
        let named = file.display();
        let text = crate::config::secret_file(file).map_err(|why| format!("token_file {named}: {why}"))?;
        let fits = text.iter().all(u8::is_ascii_graphic);
        let value = HeaderValue::from_bytes(&[b"Bearer ", text.as_slice()].concat()).ok().filter(|_| fits);
        let Some(mut value) = value else {
            return Err(format!("token_file {named}: expected one token of visible ASCII characters"));
        };
        value.set_sensitive(true);
        Ok(Self(value))
    }
}

/// What the service says about a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// This peer serves it, by the name in our configuration.
    Peer(String),
    /// The MMSE of this domain serves it.
    Domain(Domain),
    /// We do.
    Here,
    /// It does not know the number.
    NotFound,
}

/// The source.
pub struct Lookup {
    config: LookupConfig,
    naming: Naming,
    clock: Clock,
    client: Client<HttpConnector, Empty<Bytes>>,
    cache: Mutex<Cache<(Number, Option<Number>), Said>>,
}

impl Lookup {
    /// The source, without a question so far.
    pub fn new(config: LookupConfig, naming: Naming, cache_max: usize, clock: Clock) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(config.timeout));
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(32).build(connector);
        Self { config, naming, clock, client, cache: Mutex::new(Cache::new(cache_max)) }
    }

    /// Ask about a number. Each step is told to `say`.
    ///
    /// # Errors
    /// Trouble that may pass: what was asked, what came, and what was expected.
    pub async fn ask(
        &self,
        number: &Number,
        from: Option<&Number>,
        say: &mut Vec<String>,
    ) -> Result<Said, String> {
        let from = from.filter(|_| self.config.url.names_from());
        let key = (number.clone(), from.cloned());
        let url = self.config.url.fill(number, from);
        let known = self.cache().get(&key, self.clock.now());
        if let Some((said, rest)) = known {
            say.push(format!("GET {url}: {said}, remembered for {} s", rest.as_secs()));
            return Ok(said);
        }
        let outcome = self.clock.within(self.config.timeout, self.fetch(&url)).await;
        let said = match outcome {
            Some(Ok(said)) => said,
            Some(Err(what)) => {
                say.push(format!("GET {url}: trouble, {what}"));
                return Err(format!("GET {url}: {what}; {EXPECTED}"));
            }
            None => {
                let what = format!("GET {url}: no answer within {:?}", self.config.timeout);
                say.push(what.clone());
                return Err(what);
            }
        };
        say.push(format!("GET {url}: {said}"));
        let span = match said {
            Said::NotFound => self.config.not_found_cache,
            _ => self.config.cache,
        };
        self.cache().put(key, said.clone(), self.clock.now(), span);
        Ok(said)
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, Cache<(Number, Option<Number>), Said>> {
        // A panic elsewhere leaves at worst an answer less.
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn fetch(&self, url: &str) -> Result<Said, String> {
        let mut request = Request::get(url).header(ACCEPT, "application/json");
        if let Some(token) = &self.config.token {
            request = request.header(AUTHORIZATION, token.0.clone());
        }
        let request = request.body(Empty::new()).map_err(|error| error.to_string())?;
        let response = self.client.request(request).await.map_err(|error| causes(&error))?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(Said::NotFound),
            status => return Err(format!("status {status}")),
        }
        let body = Limited::new(response.into_body(), BODY_MAX).collect().await;
        let body =
            body.map_err(|error| format!("the answer breaks off or is over {BODY_MAX} octets: {error}"))?;
        understand(&body.to_bytes(), &self.naming)
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peer(name) => write!(f, "peer {name}"),
            Self::Domain(domain) => write!(f, "domain {domain}"),
            Self::Here => f.write_str("it is served here"),
            Self::NotFound => f.write_str("not found"),
        }
    }
}

/// An error with what is behind it.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    text
}

/// The body of an answer with status 200.
fn understand(body: &[u8], naming: &Naming) -> Result<Said, String> {
    let shown = || String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
    let Ok(Value::Object(object)) = serde_json::from_slice::<Value>(body) else {
        return Err(format!("the answer is no JSON object: {:?}", shown()));
    };
    let forms: Vec<&str> = ["peer", "domain", "imsi", "mcc", "local", "found"]
        .into_iter()
        .filter(|k| object.contains_key(*k))
        .collect();
    let [form] = forms[..] else {
        let count = if forms.is_empty() { "none" } else { "several" };
        return Err(format!("the answer has {count} of the known forms: {:?}", shown()));
    };
    let text = |key: &str| match object.get(key) {
        Some(Value::String(text)) => Ok(text.as_str()),
        _ => Err(format!("{key:?} is no text: {:?}", shown())),
    };
    match (form, &object[form]) {
        ("peer", _) => match text("peer")? {
            name if (1..=64).contains(&name.len()) && !name.contains(char::is_control) => {
                Ok(Said::Peer(name.to_owned()))
            }
            name => Err(format!("peer {name:?} is no name of a peer")),
        },
        ("domain", _) => match text("domain")?.parse() {
            Ok(domain) => Ok(Said::Domain(domain)),
            Err(error) => Err(format!("domain: {error}")),
        },
        ("imsi", _) => naming.of_imsi(text("imsi")?).map(Said::Domain),
        ("mcc", _) => naming.of_network(text("mcc")?, text("mnc")?).map(Said::Domain),
        ("local", Value::Bool(true)) => Ok(Said::Here),
        ("found", Value::Bool(false)) => Ok(Said::NotFound),
        (form, value) => Err(format!("{form:?} is {value}")),
    }
}

/// Where the token is, from where the configuration lies.
pub fn beside(file: &Path, named: &Path) -> PathBuf {
    match file.parent() {
        Some(folder) if named.is_relative() => folder.join(named),
        _ => named.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn said(body: &str) -> Result<Said, String> {
        understand(body.as_bytes(), &Naming::default())
    }

    #[test]
    fn every_form_of_an_answer() {
        assert_eq!(said(r#"{"peer":"b"}"#).unwrap(), Said::Peer("b".to_owned()));
        let domain = |name: &str| Said::Domain(name.parse().unwrap());
        assert_eq!(said(r#"{"domain":"mms.b.example"}"#).unwrap(), domain("mms.b.example"));
        assert_eq!(said(r#"{"imsi":"260061234567890"}"#).unwrap(), domain("mms.mnc006.mcc260.gprs"));
        assert_eq!(said(r#"{"mcc":"260","mnc":"06"}"#).unwrap(), domain("mms.mnc006.mcc260.gprs"));
        assert_eq!(said(r#" {"local": true, "since": 2019} "#).unwrap(), Said::Here);
        assert_eq!(said(r#"{"found":false}"#).unwrap(), Said::NotFound);
        for (body, why) in [
            ("", "no JSON object"),
            ("[]", "no JSON object"),
            ("{}", "none of the known"),
            (r#"{"pear":"b"}"#, "none of the known"),
            (r#"{"peer":"b","domain":"mms.b.example"}"#, "several"),
            (r#"{"peer":7}"#, "no text"),
            (r#"{"peer":""}"#, "no name"),
            (r#"{"domain":"a b"}"#, "domain"),
            (r#"{"imsi":"26006"}"#, "imsi"),
            (r#"{"mcc":"260"}"#, "mnc"),
            (r#"{"local":false}"#, "\"local\" is false"),
            (r#"{"found":true}"#, "\"found\" is true"),
        ] {
            assert!(said(body).unwrap_err().contains(why), "{body}: {:?}", said(body));
        }
    }

    #[test]
    fn a_url_has_a_place_for_the_number() {
        let number = Number::international("12025550111").unwrap();
        let url = Template::new("http://127.0.0.1:8080/np/{number}?from={from}").unwrap();
        assert_eq!(url.fill(&number, None), "http://127.0.0.1:8080/np/%2B12025550111?from=");
        assert_eq!(
            url.fill(&number, Some(&number)),
            "http://127.0.0.1:8080/np/%2B12025550111?from=%2B12025550111"
        );
        assert!(
            Template::new("HTTPS://np.example/{number}").unwrap_err().contains("https is not spoken yet")
        );
        for wrong in [
            "",
            "np.example/{number}",
            "ftp://np.example/{number}",
            "http://np.example",
            "http://np.example/",
            "http:///{number}",
            "http://{number}.example/",
            "http://{number}.example/{number}",
            "http://np.example/{number}/{to}",
            "http://np.example/{number} x",
            "http://user@np.example/{number}",
            "http://np.example/{number}#x",
        ] {
            Template::new(wrong).expect_err(wrong);
        }
    }

    proptest! {
        #[test]
        fn no_answer_panics(body in proptest::collection::vec(any::<u8>(), 0..300), text in any::<String>()) {
            let _ = understand(&body, &Naming::default());
            let quoted = Value::String(text).to_string();
            for form in ["peer", "domain", "imsi"] {
                let _ = said(&format!("{{\"{form}\":{quoted}}}"));
            }
        }
    }
}

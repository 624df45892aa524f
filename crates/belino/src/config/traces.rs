//! `[traces]`: whether, and where, traces of MMs go.

use super::parse::{Wrong, wrong};
use super::url::Url;
use serde::Deserialize;

/// The path of a collector that takes OTLP over HTTP.
const TARGET: &str = "/v1/traces";

/// Traces for an OpenTelemetry collector.
#[derive(Clone, Debug, PartialEq)]
pub struct Traces {
    /// Where they are posted.
    pub endpoint: Url,
    /// The share of MMs that are traced: over 0, at most 1.
    pub sample: f64,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TracesPart {
    endpoint: Option<String>,
    sample: Option<f64>,
}

/// The part, as it is used; `None` without an endpoint.
pub(super) fn build(part: &TracesPart) -> Result<Option<Traces>, Wrong> {
    let sample = part.sample.unwrap_or(1.0);
    if !(sample > 0.0 && sample <= 1.0) {
        return wrong(
            "sample",
            format!("[traces] sample {sample}: expected a share over 0 and at most 1, such as 0.01"),
        );
    }
    let Some(text) = &part.endpoint else { return Ok(None) };
    let mut endpoint = match Url::plain(text) {
        Ok(url) => url,
        Err(what) => {
            let what =
                format!("[traces] endpoint {text:?}: {what}, such as \"http://127.0.0.1:4318/v1/traces\"");
            return wrong(text, what);
        }
    };
    if endpoint.target == "/" {
        TARGET.clone_into(&mut endpoint.target);
    }
    Ok(Some(Traces { endpoint, sample }))
}

#[cfg(test)]
mod tests {
    use crate::config::parse;
    use std::path::Path;

    fn read(part: &str) -> Result<Option<super::Traces>, String> {
        let text = format!("[relay]\ndomain = \"mms.a.example\"\ndata = \"data\"\n[traces]\n{part}");
        parse(&text, Path::new("/etc/belino/belino.toml")).map(|c| c.traces).map_err(|e| e.to_string())
    }

    #[test]
    fn traces_go_to_the_usual_path_unless_another_is_written() {
        assert_eq!(read("").unwrap(), None);
        let target = |part: &str| read(part).unwrap().unwrap().endpoint.target;
        assert_eq!(target("endpoint = \"http://127.0.0.1:4318\""), "/v1/traces");
        assert_eq!(target("endpoint = \"http://127.0.0.1:4318/\""), "/v1/traces");
        assert_eq!(target("endpoint = \"http://127.0.0.1:4318/otlp/v1/traces\""), "/otlp/v1/traces");
        assert_eq!(
            read("endpoint = \"http://127.0.0.1:4318\"\nsample = 0.01").unwrap().unwrap().sample,
            0.01
        );
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (part, line, why) in [
            ("endpoint = \"127.0.0.1:4318\"", "line 5", "expected http://host:port/path"),
            ("endpoint = \"https://a.example/\"", "line 5", "TLS proxy"),
            ("endpoint = \"http://a.example/\"\nsample = 0", "line 6", "expected a share over 0"),
            ("sample = nan", "line 5", "expected a share over 0"),
            ("sample = 1.5", "line 5", "expected a share over 0"),
        ] {
            let error = read(part).unwrap_err();
            assert!(error.contains(line) && error.contains(why), "{error}");
        }
    }
}

//! URLs to which this relay posts: webhooks, the collector of traces.
//!
//! Owns: what is taken of a URL, and what a URL must not have. Never knows: who is asked there.

use std::fmt;

/// A URL of scheme `http`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// As it is written.
    text: String,
    /// Host name or address.
    pub host: String,
    /// Port; 80 where none is written.
    pub port: u16,
    /// What requests say as `Host`.
    pub authority: String,
    /// Path and query.
    pub target: String,
}

impl Url {
    /// Read one.
    ///
    /// # Errors
    /// What was expected, in words.
    pub fn plain(text: &str) -> Result<Self, &'static str> {
        let parsed = match text.parse::<hyper::Uri>() {
            Ok(parsed) if !text.contains('#') => parsed,
            _ => return Err("expected http://host:port/path"),
        };
        match parsed.scheme_str() {
            Some("http") => {}
            Some("https") => {
                return Err(
                    "https is not there yet; expected http:// to a TLS proxy of yours in front of it",
                );
            }
            _ => return Err("expected http://host:port/path"),
        }
        let host = parsed.host().filter(|host| !host.is_empty());
        let (Some(authority), Some(host)) = (parsed.authority(), host) else { return Err("expected a host") };
        if authority.as_str().contains('@') {
            return Err("expected no user name or password in it");
        }
        Ok(Self {
            text: text.to_owned(),
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: parsed.port_u16().unwrap_or(80),
            authority: authority.to_string(),
            target: parsed.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string),
        })
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let url = Url::plain("http://[::1]:9000/mms?x=1").unwrap();
        assert_eq!((url.host.as_str(), url.port, url.target.as_str()), ("::1", 9000, "/mms?x=1"));
        assert_eq!(url.authority, "[::1]:9000");
        let url = Url::plain("http://collector.example").unwrap();
        assert_eq!(
            (url.port, url.target.as_str(), url.to_string().as_str()),
            (80, "/", "http://collector.example")
        );
    }

    #[test]
    fn what_is_no_such_url_is_refused_in_words() {
        for (text, why) in [
            ("", "expected http://host:port/path"),
            ("127.0.0.1:4318", "expected http://host:port/path"),
            ("ftp://a.example/", "expected http://host:port/path"),
            ("http://a.example/#x", "expected http://host:port/path"),
            ("https://a.example/", "TLS proxy"),
            ("http://user:secret@a.example/", "no user name or password"),
        ] {
            assert!(Url::plain(text).unwrap_err().contains(why), "{text}");
        }
    }
}

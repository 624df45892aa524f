//! The number-portability look-up against a real HTTP service.

use crate::world::*;
use belino::discovery::Found;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

/// A service that gives one answer to every question, and keeps what it was asked: the lines of each request.
struct Service {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Vec<String>>>>,
    _task: tokio::task::JoinSet<()>,
}

impl Service {
    /// `answer` is status and body; an empty status is never answered.
    async fn start(status: &str, body: &str) -> Self {
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nLocation: /elsewhere\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        let silent = status.is_empty();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noted = asked.clone();
        let mut task = tokio::task::JoinSet::new();
        task.spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let (answer, noted) = (answer.clone(), noted.clone());
                connections.spawn(async move {
                    let (read, mut write) = stream.split();
                    let mut lines = BufReader::new(read).lines();
                    let mut request = Vec::new();
                    while let Ok(Some(line)) = lines.next_line().await {
                        if !line.is_empty() {
                            request.push(line);
                            continue;
                        }
                        noted.lock().unwrap().push(std::mem::take(&mut request));
                        if !silent && write.write_all(answer.as_bytes()).await.is_err() {
                            break;
                        }
                    }
                });
            }
        });
        Self { address, asked, _task: task }
    }

    fn house(&self, further: &str) -> House {
        House::new(&format!(
            "[discovery.lookup]\nurl = \"http://{}/np/{{number}}?for=mms\"\n{further}",
            self.address
        ))
    }

    fn requests(&self) -> Vec<Vec<String>> {
        self.asked.lock().unwrap().clone()
    }
}

#[tokio::test]
async fn each_answer_is_understood() {
    let domain = |name: &str| Found::Domain(name.parse().unwrap());
    for (status, body, found) in [
        ("200 OK", r#"{"peer":"b"}"#, Found::Peer("b".to_owned())),
        ("200 OK", r#"{"domain":"mms.b.example"}"#, domain("mms.b.example")),
        ("200 OK", r#"{"domain":"mms.a.example"}"#, Found::Here),
        ("200 OK", r#"{"imsi":"260061234567890"}"#, domain("mms.mnc006.mcc260.gprs")),
        ("200 OK", r#"{"imsi":"310150123456789"}"#, domain("mms.mnc150.mcc310.gprs")),
        ("200 OK", r#"{"mcc":"260","mnc":"06"}"#, domain("mms.mnc006.mcc260.gprs")),
        ("200 OK", r#"{"local":true}"#, Found::Here),
        ("200 OK", r#"{"found":false}"#, Found::Static),
        ("404 Not Found", "no such number", Found::Static),
    ] {
        let service = Service::start(status, body).await;
        assert_eq!(service.house("").with_table().find(&number()).await, found, "{status} {body}");
        let request = &service.requests()[0];
        assert_eq!(request[0], "GET /np/%2B441632960083?for=mms HTTP/1.1");
        assert!(request.iter().any(|l| l.eq_ignore_ascii_case("accept: application/json")), "{request:?}");
        assert!(!request.iter().any(|l| l.to_ascii_lowercase().starts_with("authorization")));
    }
}

#[tokio::test]
async fn a_25_a_26_the_naming_is_the_configurations() {
    let service = Service::start("200 OK", r#"{"imsi":"310150123456789"}"#).await;
    let url = format!("[discovery.lookup]\nurl = \"http://{}/{{number}}\"", service.address);
    let house =
        House::new(&format!("mmse_suffix = \"3gppnetwork.org\"\nmnc_digits = {{ \"310\" = 2 }}\n{url}"));
    let found = Found::Domain("mms.mnc015.mcc310.3gppnetwork.org".parse().unwrap());
    assert_eq!(house.find(&number()).await, found);
}

#[tokio::test]
async fn everything_else_is_trouble_that_says_what_came_and_what_was_expected() {
    let long = format!("{{\"peer\":\"{}\"}}", "b".repeat(70_000));
    for (status, body, why) in [
        ("500 Internal Server Error", "{}", "status 500"),
        ("204 No Content", "", "status 204"),
        ("302 Found", "{}", "status 302"),
        ("200 OK", "<html>", "no JSON object"),
        ("200 OK", "{}", "none of the known forms"),
        ("200 OK", &*long, "65536"),
    ] {
        let service = Service::start(status, body).await;
        match service.house("").with_table().find(&number()).await {
            Found::Later(text) => {
                let url = format!("http://{}/np/%2B441632960083", service.address);
                assert!(
                    text.contains(why) && text.contains(&url) && text.contains("expected"),
                    "{status}: {text}"
                );
            }
            other => panic!("{status} {body}: {other:?}"),
        }
        // A redirect is not followed.
        assert_eq!(service.requests().len(), 1, "{status}");
        assert_eq!(service.house_going_on().find(&number()).await, Found::Static);
    }
}

impl Service {
    fn house_going_on(&self) -> House {
        let url = format!("[discovery.lookup]\nurl = \"http://{}/{{number}}\"", self.address);
        House::new(&format!("on_trouble = \"next\"\n{url}")).with_table()
    }
}

#[tokio::test]
async fn silence_is_trouble_when_its_time_is_over_and_so_is_nobody() {
    let service = Service::start("", "").await;
    let house = service.house("timeout = \"20s\"").with_table();
    let turn = async {
        while service.requests().is_empty() {
            tokio::task::yield_now().await;
        }
        house.advance(20);
    };
    let (found, ()) = tokio::join!(async { house.find(&number()).await }, turn);
    assert!(matches!(&found, Found::Later(why) if why.contains("no answer within 20s")), "{found:?}");

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let house = House::new(&format!("[discovery.lookup]\nurl = \"http://{address}/{{number}}\""));
    let found = house.find(&number()).await;
    assert!(matches!(&found, Found::Later(why) if why.contains("refused")), "{found:?}");
}

#[tokio::test]
async fn answers_are_remembered_as_long_as_configured() {
    for (body, spans) in [(r#"{"peer":"b"}"#, [(99, 1), (1, 2)]), (r#"{"found":false}"#, [(9, 1), (1, 2)])] {
        let service = Service::start("200 OK", body).await;
        let house = service.house("cache = \"100s\"\nnot_found_cache = \"10s\"");
        let first = house.find(&number()).await;
        for (seconds, questions) in spans {
            house.advance(seconds);
            assert_eq!(house.find(&number()).await, first);
            assert_eq!(service.requests().len(), questions, "{body}");
        }
    }
    // Trouble is not.
    let service = Service::start("503 Service Unavailable", "").await;
    let house = service.house("");
    house.find(&number()).await;
    house.find(&number()).await;
    assert_eq!(service.requests().len(), 2);
}

#[tokio::test]
async fn a_look_up_is_remembered_for_a_day_at_most() {
    let service = Service::start("200 OK", r#"{"peer":"b"}"#).await;
    let house = service.house("cache = \"30d\"");
    for (seconds, questions) in [(0, 1), (86_399, 1), (1, 2)] {
        house.advance(seconds);
        house.find(&number()).await;
        assert_eq!(service.requests().len(), questions);
    }
}

#[tokio::test]
async fn the_sender_is_named_where_the_url_wants_it() {
    let service = Service::start("200 OK", r#"{"peer":"b"}"#).await;
    let url =
        format!("[discovery.lookup]\nurl = \"http://{}/?to={{number}}&from={{from}}\"", service.address);
    let house = House::new(&url);
    let from = mms::Number::international("12025550100").unwrap();
    for from in [Some(&from), None, Some(&from)] {
        house.discovery.find(&number(), from, &|_| false, &mut Vec::new()).await;
    }
    let asked: Vec<String> = service.requests().into_iter().map(|mut lines| lines.remove(0)).collect();
    // The answer may differ by sender, so it is remembered by sender.
    assert_eq!(
        asked,
        ["GET /?to=%2B441632960083&from=%2B12025550100 HTTP/1.1", "GET /?to=%2B441632960083&from= HTTP/1.1"]
    );
}

#[tokio::test]
async fn only_numbers_in_e164_form_are_asked_for() {
    let service = Service::start("200 OK", r#"{"peer":"b"}"#).await;
    let local = "01632960083".parse::<mms::Party>().unwrap().address.number().cloned().unwrap();
    let house = service.house("");
    assert_eq!(house.find(&local).await, Found::Nothing);
    assert!(service.requests().is_empty() && house.told("not in E.164 form"));
}

#[tokio::test]
async fn the_token_is_sent_and_shown_to_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "open-sesame-open\n").unwrap();
    let service = Service::start("200 OK", r#"{"peer":"b"}"#).await;
    let lines = format!(
        "[discovery.lookup]\nurl = \"http://{}/{{number}}\"\ntoken_file = \"{}\"",
        service.address,
        file.display()
    );
    let mode = |mode| std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
    let read =
        || belino::config::parse(&configuration(&lines), std::path::Path::new("/etc/belino/belino.toml"));
    mode(0o644);
    let error = read().unwrap_err().to_string();
    assert!(
        error.contains("mode 0644") && error.contains("chmod 600") && error.contains("line 1"),
        "{error}"
    );
    mode(0o600);
    let config = read().unwrap();
    assert!(!format!("{config:?}").contains("sesame"));
    let house = House::new(&lines);
    assert_eq!(house.find(&number()).await, Found::Peer("b".to_owned()));
    let request = &service.requests()[0];
    assert!(
        request.iter().any(|l| l.eq_ignore_ascii_case("authorization: Bearer open-sesame-open")),
        "{request:?}"
    );
    assert!(!house.told("sesame"));
    for (wrong, why) in [
        ("", "holds 0 octets"),
        ("open sesame, open sesame", "expected one token"),
        ("open-sesame-caf\u{e9}", "expected one token"),
    ] {
        std::fs::write(&file, wrong).unwrap();
        assert!(read().unwrap_err().to_string().contains(why), "{wrong:?}");
    }
}

#[tokio::test]
async fn the_look_up_comes_before_enum_and_enum_before_the_table() {
    let dns = Dns::with([(100, 10, ["u", "E2U+mms:mailto", TO_B])]).await;
    for (body, found, questions) in
        [(r#"{"peer":"c"}"#, Found::Peer("c".to_owned()), 0), (r#"{"found":false}"#, at_b(), 1)]
    {
        let service = Service::start("200 OK", body).await;
        let lookup = format!("[discovery.lookup]\nurl = \"http://{}/{{number}}\"", service.address);
        let house = House::asking(dns.address, &lookup).with_table();
        assert_eq!(house.find(&number()).await, found);
        assert_eq!(dns.asked.count(), questions);
        house.clock.advance(Duration::from_secs(1));
    }
}

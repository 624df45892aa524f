//! The servers of these tests, and a house's discovery that asks them.

use belino::clock::Clock;
use belino::discovery::{Discovery, Found};
use hickory_server::Server;
use hickory_server::net::runtime::{Time, TokioRuntimeProvider};
use hickory_server::net::xfer::Protocol;
use hickory_server::proto::op::{Message, MessageType, ResponseCode};
use hickory_server::proto::rr::rdata::{A, AAAA, CNAME, MX, NAPTR, NS, SOA};
use hickory_server::proto::rr::{Name, RData, Record, RecordType};
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::store::in_memory::InMemoryZoneHandler;
use hickory_server::zone_handler::{AxfrPolicy, Catalog, ZoneType};
use mms::{Number, Timestamp};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::watch;

/// The number of the examples, and the name of its records under `e164.arpa`.
pub const NUMBER: &str = "441632960083";
pub const NAME: &str = "3.8.0.0.6.9.2.3.6.1.4.4.e164.arpa";
/// The regexp that leads to peer B.
pub const TO_B: &str = r"!^(.*)$!mailto:\1/TYPE=PLMN@mms.b.example!";

pub fn number() -> Number {
    Number::international(NUMBER).unwrap()
}

pub fn name(text: &str) -> Name {
    let mut name = Name::from_ascii(text).unwrap();
    name.set_fqdn(true);
    name
}

pub fn path(text: &str) -> Found {
    Found::Path(text.parse().unwrap())
}

/// B, as [`TO_B`] gives it.
pub fn at_b() -> Found {
    path("+441632960083/TYPE=PLMN@mms.b.example")
}

/// A zone: SOA with a negative TTL of 30 seconds, and records of 60 seconds.
pub struct Zone {
    origin: Name,
    records: Vec<Record>,
}

impl Zone {
    pub fn new(origin: &str) -> Self {
        let soa = SOA::new(name("ns.example"), name("admin.example"), 1, 3600, 600, 86_400, 30);
        let records = vec![
            Record::from_rdata(name(origin), 3600, RData::SOA(soa)),
            Record::from_rdata(name(origin), 3600, RData::NS(NS(name("ns.example")))),
        ];
        Self { origin: name(origin), records }
    }

    pub fn record(mut self, owner: &str, data: RData) -> Self {
        self.records.push(Record::from_rdata(name(owner), 60, data));
        self
    }

    /// `what` is flags, services and regexp.
    pub fn naptr(self, owner: &str, order: u16, preference: u16, what: [&str; 3]) -> Self {
        self.record(owner, naptr(order, preference, what, "."))
    }

    /// A non-terminal record.
    pub fn onward(self, owner: &str, order: u16, next: &str) -> Self {
        self.record(owner, naptr(order, 10, ["", "", ""], next))
    }

    pub fn mx(self, owner: &str, preference: u16, exchange: &str) -> Self {
        self.record(owner, RData::MX(MX::new(preference, name(exchange))))
    }

    pub fn a(self, owner: &str, address: [u8; 4]) -> Self {
        let [a, b, c, d] = address;
        self.record(owner, RData::A(A::new(a, b, c, d)))
    }

    pub fn aaaa(self, owner: &str, last: u16) -> Self {
        self.record(owner, RData::AAAA(AAAA::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last)))
    }

    pub fn alias(self, owner: &str, of: &str) -> Self {
        self.record(owner, RData::CNAME(CNAME(name(of))))
    }
}

pub fn naptr(order: u16, preference: u16, what: [&str; 3], replacement: &str) -> RData {
    let [flags, services, regexp] = what.map(|t| t.as_bytes().into());
    RData::NAPTR(NAPTR::new(order, preference, flags, services, regexp, name(replacement)))
}

/// Every question that a server was asked; one that is only sent again (same id) counts once, so that a slow machine changes
/// nothing.
#[derive(Clone)]
pub struct Asked(watch::Sender<Vec<(String, RecordType, Protocol, u16)>>);

impl Asked {
    fn new() -> Self {
        Self(watch::Sender::new(Vec::new()))
    }

    fn note(&self, name: &Name, kind: RecordType, protocol: Protocol, id: u16) {
        let question = (name.to_ascii().trim_end_matches('.').to_ascii_lowercase(), kind, protocol, id);
        self.0.send_modify(|asked| {
            if !asked.contains(&question) {
                asked.push(question);
            }
        });
    }

    /// The names, in the order in which they were asked for.
    pub fn names(&self) -> Vec<String> {
        self.0.borrow().iter().map(|(name, ..)| name.clone()).collect()
    }

    pub fn count(&self) -> usize {
        self.0.borrow().len()
    }

    pub fn over(&self, protocol: Protocol) -> usize {
        self.0.borrow().iter().filter(|(_, _, p, _)| *p == protocol).count()
    }

    /// Wait until something was asked.
    pub async fn first(&self) {
        self.0.subscribe().wait_for(|asked| !asked.is_empty()).await.unwrap();
    }
}

/// A UDP and a TCP socket at the same port.
async fn sockets() -> (UdpSocket, TcpListener, SocketAddr) {
    loop {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = tcp.local_addr().unwrap();
        if let Ok(udp) = UdpSocket::bind(address).await {
            return (udp, tcp, address);
        }
    }
}

/// A DNS server with these zones.
pub struct Dns {
    pub address: SocketAddr,
    pub asked: Asked,
    _server: Server<Counting>,
}

struct Counting {
    catalog: Catalog,
    asked: Asked,
}

#[async_trait::async_trait]
impl RequestHandler for Counting {
    async fn handle_request<R: ResponseHandler, T: Time>(&self, request: &Request, reply: R) -> ResponseInfo {
        if let Ok(info) = request.request_info() {
            let name = Name::from(info.query.name().clone());
            self.asked.note(&name, info.query.query_type(), info.protocol, info.metadata.id);
        }
        self.catalog.handle_request::<R, T>(request, reply).await
    }
}

impl Dns {
    pub async fn start(zones: impl IntoIterator<Item = Zone>) -> Self {
        let mut catalog = Catalog::new();
        for zone in zones {
            let mut handler = InMemoryZoneHandler::<TokioRuntimeProvider>::empty(
                zone.origin.clone(),
                ZoneType::Primary,
                AxfrPolicy::Deny,
            );
            for record in zone.records {
                assert!(handler.upsert_mut(record.clone(), 1), "{record}");
            }
            catalog.upsert(zone.origin.into(), vec![Arc::new(handler)]);
        }
        let asked = Asked::new();
        let mut server = Server::new(Counting { catalog, asked: asked.clone() });
        let (udp, tcp, address) = sockets().await;
        server.register_socket(udp);
        server.register_listener(tcp, Duration::from_secs(60), 1 << 16);
        Self { address, asked, _server: server }
    }

    /// The records of [`NUMBER`] alone.
    pub async fn with(records: impl IntoIterator<Item = (u16, u16, [&'static str; 3])>) -> Self {
        let zone = records.into_iter().fold(Zone::new("e164.arpa"), |zone, (order, preference, what)| {
            zone.naptr(NAME, order, preference, what)
        });
        Self::start([zone]).await
    }
}

/// How a server misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Odd {
    /// It answers with this code.
    Code(ResponseCode),
    /// It never answers.
    Silent,
    /// It names other servers and no answer.
    Refers,
    /// It denies without a SOA record.
    DeniesBarely,
    /// Over UDP every answer is cut off before its records.
    Truncates,
}

/// A DNS server that misbehaves.
pub struct OddDns {
    pub address: SocketAddr,
    pub asked: Asked,
    tasks: tokio::task::JoinSet<()>,
}

impl OddDns {
    pub async fn start(odd: Odd) -> Self {
        let (udp, tcp, address) = sockets().await;
        let asked = Asked::new();
        let mut tasks = tokio::task::JoinSet::new();
        let noted = asked.clone();
        tasks.spawn(async move {
            let mut octets = [0; 4096];
            while let Ok((length, from)) = udp.recv_from(&mut octets).await {
                if let Some(answer) = odd_answer(odd, &octets[..length], Protocol::Udp, &noted) {
                    udp.send_to(&answer, from).await.unwrap();
                }
            }
        });
        let noted = asked.clone();
        tasks.spawn(async move {
            while let Ok((mut stream, _)) = tcp.accept().await {
                while let Ok(length) = stream.read_u16().await {
                    let mut octets = vec![0; length.into()];
                    stream.read_exact(&mut octets).await.unwrap();
                    if let Some(answer) = odd_answer(odd, &octets, Protocol::Tcp, &noted) {
                        stream.write_u16(answer.len() as u16).await.unwrap();
                        stream.write_all(&answer).await.unwrap();
                    }
                }
            }
        });
        Self { address, asked, tasks }
    }

    pub fn stop(mut self) {
        self.tasks.abort_all();
    }
}

fn odd_answer(odd: Odd, question: &[u8], protocol: Protocol, asked: &Asked) -> Option<Vec<u8>> {
    let mut message = Message::from_vec(question).unwrap();
    let query = message.queries[0].clone();
    asked.note(query.name(), query.query_type(), protocol, message.metadata.id);
    message.metadata.message_type = MessageType::Response;
    match odd {
        Odd::Silent => return None,
        Odd::Code(code) => message.metadata.response_code = code,
        Odd::DeniesBarely => message.metadata.response_code = ResponseCode::NXDomain,
        Odd::Refers => {
            message.add_authority(Record::from_rdata(name("arpa"), 60, RData::NS(NS(name("ns.example")))));
        }
        Odd::Truncates if protocol == Protocol::Udp => message.metadata.truncation = true,
        Odd::Truncates => {
            let data = naptr(100, 10, ["u", "E2U+mms:mailto", TO_B], ".");
            message.add_answer(Record::from_rdata(query.name().clone(), 60, data));
        }
    }
    Some(message.to_vec().unwrap())
}

/// A house with its clock.
pub struct House {
    pub discovery: Arc<Discovery>,
    pub clock: Clock,
    /// The numbers that the static table knows.
    pub table: Vec<Number>,
    /// What was told in the last search.
    pub said: Mutex<Vec<String>>,
}

/// The configuration of the house: A, with B as a peer and its own lines in `[discovery]`.
pub fn configuration(discovery: &str) -> String {
    format!(
        "[relay]\ndomain = \"mms.a.example\"\ndata = \"data\"\n[mm4]\nlisten = [\"192.0.2.1:25\"]\nhost_name = \"mx.a.example\"\n\
         [[peer]]\nname = \"b\"\ndomains = [\"mms.b.example\"]\nhosts = [\"127.0.0.2:2525\"]\n[discovery]\n{discovery}"
    )
}

impl House {
    /// From the lines of `[discovery]`.
    pub fn new(discovery: &str) -> Self {
        let config = belino::config::parse(&configuration(discovery), Path::new("/etc/belino/belino.toml"));
        let config = config.unwrap_or_else(|error| panic!("{error}"));
        let clock = Clock::manual(Timestamp::from_seconds(1_700_000_000));
        let discovery = Arc::new(Discovery::new(&config.discovery, clock.clone()));
        Self { discovery, clock, table: Vec::new(), said: Mutex::default() }
    }

    /// One that asks this server about `e164.arpa`, with further lines.
    pub fn asking(server: SocketAddr, further: &str) -> Self {
        Self::new(&format!("enum_apexes = [\"e164.arpa\"]\nresolvers = [\"{server}\"]\n{further}"))
    }

    /// One whose static table knows [`NUMBER`].
    pub fn with_table(mut self) -> Self {
        self.table.push(number());
        self
    }

    pub async fn find(&self, number: &Number) -> Found {
        let mut said = Vec::new();
        let found = self.discovery.find(number, None, &|n| self.table.contains(n), &mut said).await;
        *self.said.lock().unwrap() = said;
        found
    }

    /// Whether the last search told something with these words.
    pub fn told(&self, words: &str) -> bool {
        self.said.lock().unwrap().iter().any(|line| line.contains(words))
    }

    pub fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

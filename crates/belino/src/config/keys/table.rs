//! Every key of the configuration, in words: the rows behind `docs/configuration.md` and `belino check --keys`.
//!
//! Owns: what a key means, for an operator. A default is read from a configuration that leaves the key out, wherever the
//! parser has one; nobody writes it down a second time. Never knows: how a key is read.

use super::Standard::{Computed, Words};
use super::{Table, code, list, lookup, row, size, span, spans, text};

/// All tables of the file, in the order in which the page has them. The knobs of a profile are in
/// [`Profile::KNOBS`](relay::house::Profile::KNOBS).
pub const TABLES: &[Table] = &[
    Table {
        name: "[relay]",
        rows: &[
            row(&["domain"], Words("needed"), "our MM4 domain, for everything that we write"),
            row(&["domains"], Words("none"), "further domains that are ours"),
            row(
                &["system_address"],
                Words("`system-user@` domain"),
                "sender of responses; where peers send theirs",
            ),
            row(&["data"], Words("needed"), "data folder; a relative one is taken from where the file lies"),
        ],
    },
    Table {
        name: "[mm4]",
        rows: &[
            row(&["listen"], Words("none"), "addresses and ports; without one no peer can connect"),
            row(
                &["listen_tls"],
                Words("none"),
                r#"the same, under TLS from the first octet; peers with `tls = "implicit"` connect here. Needs `certificate`"#,
            ),
            row(
                &["proxy_from"],
                Words("none"),
                r#"`["192.0.2.0/28"]`: TCP proxies of yours. From there a PROXY header (version 1 or 2) is required, and the address in it says who the peer is; from anywhere else it is worth nothing"#,
            ),
            row(
                &["certificate", "key"],
                Words("none"),
                "two PEM files: our certificate with what it needs on the way to its authority, and its key (`chmod 600`). `STARTTLS` is offered to every peer then, and the certificate is shown to every peer that we connect to under TLS and that asks for one. New files are taken within seconds, for new connections; a pair that does not fit leaves the old one",
            ),
            row(&["host_name"], Words("domain"), "what we call ourselves in SMTP"),
        ],
    },
    Table {
        name: "[[local]]",
        rows: &[
            row(
                &["prefixes"],
                Words("none"),
                r#"`["+1202555010"]`; the longest prefix of all locals and peers decides"#,
            ),
            row(
                &["subscribers"],
                Words("everybody in the prefixes"),
                "if given, only these numbers exist; they are ours also outside the prefixes (ported in)",
            ),
            row(
                &["barred"],
                Words("none"),
                "numbers that may neither send nor receive: `Error-service-denied`",
            ),
            row(
                &["codes"],
                Words("none"),
                r#"short codes that are ours: `["4455", "INFO"]`; a peer reaches them if its profile has `short_codes = true`"#,
            ),
            row(
                &["dock"],
                Words("needed"),
                r#"`"mailbox"`, or the name of a `[[webhook]]`: an application is told of each MM and fetches it"#,
            ),
            row(
                &["available"],
                Computed(|c| code(c.house.locals[0].available)),
                "`false` while out of service: MMs are answered `Error-network-problem`, so that peers try again",
            ),
        ],
    },
    Table {
        name: "[[peer]]",
        rows: &[
            row(&["name"], Words("needed"), "its name in commands, logs and queues"),
            row(&["domains"], Words("needed"), "its MM4 domains, the first one for envelopes"),
            row(&["hosts"], Words("none"), "where we reach it, tried in order; port 25 if none is given"),
            row(
                &["discover"],
                Words("none"),
                r#"`"dns"` instead of `hosts`: MX, else addresses, of the first domain"#,
            ),
            row(&["port"], Words("25"), "with `discover`: where they listen"),
            row(
                &["resolvers"],
                Words("those of `[discovery]`"),
                r#"with `discover`: `["10.0.0.53:53"]`, asked in this order"#,
            ),
            row(
                &["source"],
                Words("the system's choice"),
                "the address from which we connect to it, if we have several; see [private-links.md](private-links.md)",
            ),
            row(
                &["from"],
                Words("none"),
                "addresses and networks from which it connects; the narrowest one names the peer",
            ),
            row(
                &["prefixes", "deny"],
                Words("none"),
                "numbers that it serves, and those within them that it does not",
            ),
            row(
                &["transit"],
                Words("none"),
                r#"peers to which it may send through us, back-to-back: we ask, answer and report in our own name; `["*"]` is every other peer"#,
            ),
            row(
                &["transit_transparent"],
                Words("none"),
                "the same, but its MMs pass as they came, with one more `Received`; the next peer answers it directly or through us. A request whose recipients go several ways passes back-to-back, for each of those who answered would speak for all",
            ),
            row(
                &["system_address"],
                Words("`system-user@` first domain"),
                "where responses go when a request names no mailbox of its own",
            ),
            row(
                &["auth_user", "auth_password_file"],
                Words("none"),
                "what it has to say by `AUTH` when it connects to us, before its first `MAIL`; see below",
            ),
            row(
                &["login_user", "login_password_file"],
                Words("none"),
                "what we say by `AUTH` when we connect to it",
            ),
            row(
                &["connections_max"],
                Computed(|c| c.links[0].connections_max.to_string()),
                "our connections to it at once",
            ),
            row(
                &["sessions_max"],
                Computed(|c| c.links[0].sessions_max.to_string()),
                "its connections to us at once; one more is answered `421`",
            ),
            row(
                &["mails_per_second"],
                Words("no limit"),
                "mails of all kinds that it may send; a burst of one second's worth is free, then replies to `MAIL` come later, and one that would come more than 5 s later is a `451`",
            ),
            row(
                &["octets_per_second"],
                Words("no limit"),
                r#"content that it may send, such as `"10MiB"`; what is beyond is read later"#,
            ),
            row(
                &["stored_max"],
                Words("no limit"),
                r#"octets of content of MMs from it that may wait here at once, such as `"20GiB"`; one more is answered `452` and stays with the peer"#,
            ),
            row(
                &["one_message_per_connection"],
                Computed(|c| code(c.links[0].one_message_per_connection)),
                "for servers that lose their way after the first mail",
            ),
            row(
                &["tls"],
                Words(r#"`"off"`"#),
                r#"`"off"`, `"opportunistic"`, `"required"` or `"implicit"`, and the keys that belong to it: see below"#,
            ),
            row(&["numbers"], Words(""), "how it writes numbers, see `[numbers]`"),
            row(&["profile"], Words(r#"`"default"`"#), "how it likes its MM4, see below"),
        ],
    },
    Table {
        name: "[[peer]] tls",
        rows: &[
            row(
                &["tls_fingerprints"],
                Words("none"),
                r#"`["sha256:..."]`: its certificate is one of these, as a server and as a client. Its dates do not count. From a file: `openssl x509 -in b.pem -outform der | sha256sum`"#,
            ),
            row(
                &["tls_ca"],
                Words("none"),
                "instead: a PEM file of authorities, one of which its certificate is signed under. Dates count. Revocation is not looked at",
            ),
            row(
                &["tls_name"],
                Words("the host"),
                "with `tls_ca`: the name that its certificate bears; needed with `discover`, and where there are no `hosts`",
            ),
            row(
                &["tls_client_certificate"],
                Words(r#"`"optional"`"#),
                r#"`"required"`: when it connects to us it must show its certificate"#,
            ),
        ],
    },
    Table {
        name: "[charging]",
        rows: &[
            row(
                &["folder"],
                Words("`charging` in the data folder"),
                "where the files go; a relative one is taken from where the configuration lies",
            ),
            row(
                &["formats"],
                Words("`[\"json\"]`"),
                r#"`"json"`, `"csv"`, `"ber"`: each record is written in all of them"#,
            ),
            row(&["file_size_max"], Words("`\"10MiB\"`"), "a file that has grown so long is closed"),
            row(&["file_age_max"], Words("`\"5m\"`"), "a file that has been open so long is closed"),
        ],
    },
    Table {
        name: "[http]",
        rows: &[
            row(
                &["listen"],
                Words("none"),
                "addresses and ports; without one no application can connect. There is no TLS: use loopback or a private network, or put a TLS proxy in front",
            ),
            row(
                &["request_size_max"],
                Computed(|c| size(c.http.request_size_max)),
                "octets of one request's body",
            ),
            row(
                &["request_timeout"],
                Computed(|c| span(c.http.request_timeout)),
                "how long one request may take, and a connection be silent",
            ),
            row(
                &["requests_max"],
                Computed(|c| c.http.requests_max.to_string()),
                "requests at once; one more is answered `503`. Times `request_size_max`, it is the memory that they can take",
            ),
            row(
                &["sessions_max"],
                Computed(|c| c.http.sessions_max.to_string()),
                "connections at once; one more waits",
            ),
        ],
    },
    Table {
        name: "[[application]]",
        rows: &[
            row(&["name"], Words("needed"), "its name in logs and histories"),
            row(
                &["token_file"],
                Words("needed"),
                "a file with its bearer token, or `sha256:` and the token's digest in hexadecimal",
            ),
            row(
                &["from"],
                Words("needed"),
                "as whom it may send: number prefixes and short codes, each within a `[[local]]`",
            ),
            row(
                &["webhook"],
                Words("none"),
                "the `[[webhook]]` that hears what becomes of its MMs. What comes to that webhook the application may fetch",
            ),
        ],
    },
    Table {
        name: "[[webhook]]",
        rows: &[
            row(&["name"], Words("needed"), "its name here, in logs and histories; not `mailbox`"),
            row(
                &["url"],
                Words("needed"),
                "`http://host:port/path`. Nothing else is ever connected to, redirects are not followed",
            ),
            row(&["secret_file"], Words("needed"), "a file with the secret that events are signed with"),
            row(
                &["timeout"],
                Computed(|c| span(c.http.webhooks[0].timeout)),
                "how long one event may take, from the connection to the end of the answer",
            ),
            row(
                &["connections_max"],
                Computed(|c| c.http.webhooks[0].connections_max.to_string()),
                "connections to it at once",
            ),
        ],
    },
    Table {
        name: "[console]",
        rows: &[
            row(
                &["listen"],
                Words("none"),
                "addresses and ports of the web console ([console.md](guide/console.md)), loopback only: it has no TLS of its own",
            ),
            row(
                &["public"],
                Words("`false`"),
                "`listen` may have other addresses; put a reverse proxy with TLS in front",
            ),
            row(
                &["mask_numbers"],
                Computed(|c| format!("`{}`", c.console.mask_numbers)),
                "hide the last four digits of numbers on every page",
            ),
            row(&["session_life"], Words("`\"8h\"`"), "how long a login lasts, 1m to 7d"),
            row(&["user"], Words("none"), "who may log in, each a `[[console.user]]`"),
        ],
    },
    Table {
        name: "[[console.user]]",
        rows: &[
            row(&["name"], Words("needed"), "the name in the audit log and in histories"),
            row(
                &["token_file"],
                Words("needed"),
                "a file with the user's token, or `sha256:` and the token's digest in hexadecimal; for its owner only",
            ),
            row(
                &["role"],
                Words("needed"),
                r#"`"read"`: looks; `"operate"`: also retries, drops, pauses, resumes, sends"#,
            ),
        ],
    },
    Table {
        name: "[metrics]",
        rows: &[row(
            &["listen"],
            Words("none"),
            "addresses and ports where `/metrics`, `/healthz` and `/readyz` are served, in the clear and without a login: [metrics.md](metrics.md)",
        )],
    },
    Table {
        name: "[search]",
        rows: &[row(
            &["index"],
            Words("`true` where `[console]` listens, else `false`"),
            "keep an index by address, peer, Message-ID, state and time, in `search.db` of the data folder, for `belino find`, the console and applications that list their MMs. It follows a second behind, costs up to a third of a core while much passes, and some 300 octets for each MM with one recipient; deleting the file makes it anew",
        )],
    },
    Table {
        name: "[traces]",
        rows: &[
            row(
                &["endpoint"],
                Words("none"),
                "URL of an OpenTelemetry collector that takes OTLP over HTTP, such as `\"http://127.0.0.1:4318/v1/traces\"`: one trace for each MM, [traces.md](traces.md)",
            ),
            row(&["sample"], Words("`1.0`"), "the share of MMs that are traced; `0.01` is one in a hundred"),
        ],
    },
    Table {
        name: "[numbers]",
        rows: &[
            row(&["country_code"], Words("none"), "digits put before national numbers"),
            row(&["trunk_prefix"], Words("none"), "prefix of national numbers that E.164 drops"),
            row(&["international_prefixes"], Words("none"), r#"what stands for `+`: `["00", "011"]`"#),
            row(
                &["bare_is_international"],
                Computed(|c| code(c.house.number_plan.bare_is_international)),
                "digits without prefix are country code and number already",
            ),
        ],
    },
    Table {
        name: "[discovery]",
        rows: &[
            row(
                &["order"],
                Words(r#"what is configured of `["lookup", "enum", "static"]`"#),
                r#"sources; `"static"` are the prefixes of the peers"#,
            ),
            row(
                &["portability_first"],
                Words(r#"`true` if there is another source than `"static"`"#),
                "the sources are asked before it is looked whether a number is ours",
            ),
            row(
                &["enum_apexes"],
                Words("none"),
                r#"ENUM trees, such as `["e164enum.net"]`, asked in this order"#,
            ),
            row(
                &["enum_legacy"],
                Computed(|c| code(c.discovery.rules.legacy)),
                "take also services written `mms+E2U`, and `E2U+mms`",
            ),
            row(
                &["enum_experimental"],
                Words("none"),
                r#"types that stand for MMS: `["X-mms"]`; `P-` types only inside that private network"#,
            ),
            row(&["resolvers"], Words("the system's"), r#"`["10.0.0.53:53"]`, asked in this order"#),
            row(
                &["timeout"],
                Computed(|c| span(c.discovery.timeout)),
                "one question to the DNS, put twice within it",
            ),
            row(
                &["cache_max"],
                Computed(|c| c.discovery.cache_max.to_string()),
                "answers that are remembered, of each set of resolvers and of the look-up; none for more than a day",
            ),
            row(
                &["on_trouble"],
                Words(r#"`"later"`"#),
                r#"`"next"`: ask the next source when one cannot tell"#,
            ),
            row(
                &["mmse_suffix"],
                Computed(|c| text(&c.discovery.naming.suffix)),
                r#"what the names of MMSEs end in: `mms.mnc006.mcc260.gprs`; or `"3gppnetwork.org"`"#,
            ),
            row(
                &["mnc_digits"],
                Words("a table is built in"),
                r#"digits of network codes by the beginning of the IMSI: `{ "310" = 3 }`"#,
            ),
            row(&["lookup"], Words("none"), "a table, see below"),
        ],
    },
    Table {
        name: "[discovery.lookup]",
        rows: &[
            row(
                &["url"],
                Words("needed"),
                r#"`"http://127.0.0.1:8080/np/{number}"`, also with `{from}`; plain `http` only so far"#,
            ),
            row(
                &["token_file"],
                Words("none"),
                "file with a bearer token of 16 octets or more, readable by its owner alone",
            ),
            row(&["timeout"], Computed(|c| span(lookup(c)[0])), "one question"),
            row(
                &["cache", "not_found_cache"],
                Computed(|c| spans(&lookup(c)[1..])),
                "how long answers are remembered; at most a day",
            ),
        ],
    },
    Table {
        name: "[retry]",
        rows: &[
            row(
                &["steps"],
                Computed(|c| list(&c.house.retry.steps)),
                "pauses between attempts at one MM; the last repeats",
            ),
            row(&["give_up"], Computed(|c| span(c.house.retry.give_up)), "how long an MM waits for its peer"),
            row(
                &["response_timeout"],
                Computed(|c| span(c.house.retry.response_timeout)),
                "how long a response is awaited",
            ),
            row(
                &["response_resends"],
                Computed(|c| c.house.retry.response_resends.to_string()),
                "resends of the same request without one; then the recipient is *unconfirmed*",
            ),
            row(
                &["response_retries"],
                Computed(|c| c.house.retry.response_retries.to_string()),
                "new tries after `Error-network-problem`",
            ),
            row(
                &["gate_min", "gate_max"],
                Computed(|c| spans(&[c.house.retry.gate_min, c.house.retry.gate_max])),
                "pause after a failed connection, doubled each time",
            ),
        ],
    },
    Table {
        name: "[limits]",
        rows: &[
            row(
                &["message_size_max"],
                Computed(|c| size(c.limits.smtp.message_size_max)),
                "one mail as SMTP's `SIZE` counts it",
            ),
            row(
                &["content_size_max"],
                Computed(|c| size(c.house.limits.content_size_max)),
                "content after decoding, for local recipients",
            ),
            row(
                &["recipients_max"],
                Computed(|c| c.house.limits.recipients_max.to_string()),
                "recipients of a submitted MM",
            ),
            row(
                &["envelope_recipients_max"],
                Computed(|c| c.limits.smtp.recipients_max.to_string()),
                "recipients of one incoming mail; the rest is answered `452 4.5.3`",
            ),
            row(
                &["sessions_max"],
                Computed(|c| c.limits.sessions_max.to_string()),
                "incoming connections in all; fewer where the limit of open files has no room for them, which the log says",
            ),
            row(
                &["disk_free_min"],
                Computed(|c| size(c.limits.disk_free_min)),
                "below it new MMs are answered `452`; responses and deliveries go on",
            ),
            row(
                &["forward_max"],
                Computed(|c| c.house.limits.forward_max.to_string()),
                "`X-Mms-Forward-Counter` above it is refused",
            ),
            row(
                &["hops_max"],
                Computed(|c| c.house.limits.hops_max.to_string()),
                "`Received` fields above it are a loop",
            ),
            row(
                &["expiry_default", "expiry_max"],
                Computed(|c| spans(&[c.house.limits.expiry_default, c.house.limits.expiry_max])),
                "validity when none is given, and at most",
            ),
            row(
                &["duplicates_kept"],
                Computed(|c| span(c.house.limits.duplicates_kept)),
                "how long a repeat is recognised, or for the MM's validity if that is longer",
            ),
            row(
                &["history_kept"],
                Computed(|c| span(c.house.limits.history_kept)),
                "how long the history of a finished MM is kept",
            ),
            row(
                &["in_flight_max"],
                Computed(|c| c.house.limits.in_flight_max.to_string()),
                "errands on their way to one peer at once",
            ),
            row(
                &["recipient_rate_max"],
                Words("no limit"),
                "MMs from peers for one local recipient within an hour; one more is refused in the response with `Error-network-problem`, after which its sender may try again",
            ),
            row(
                &["idle", "content_idle"],
                Computed(|c| spans(&[c.limits.idle, c.limits.content_idle])),
                "silence of an incoming connection between commands, and inside content",
            ),
            row(
                &["content_rate_min"],
                Computed(|c| size(c.limits.content_rate_min)),
                r#"octets a second that content must come in on average, counted after `content_idle`; `"0"` turns it off"#,
            ),
            row(&["session_max"], Computed(|c| span(c.limits.session_max)), "life of an incoming connection"),
            row(
                &["connect", "reply", "keep"],
                Computed(|c| spans(&[c.limits.connect, c.limits.reply, c.limits.keep])),
                "outgoing: connecting, one reply, keeping an unused connection",
            ),
            row(&["stop"], Computed(|c| span(c.limits.stop)), "how long a stop lets things finish"),
        ],
    },
];

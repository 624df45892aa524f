//! The configuration as it is in force. Secrets are in files of their own, which are named and never shown.

use super::super::{Desk, Visitor};
use super::{Frame, anchor, page, size, span};
use crate::config::{Config, TrustFiles};
use askama::Template;
use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, StatusCode};
use std::sync::Arc;

#[derive(Template)]
#[template(path = "console/configuration.html")]
struct Configuration {
    frame: Frame,
    sections: Vec<Section>,
}

struct Section {
    title: String,
    rows: Vec<(&'static str, String)>,
}

impl Section {
    fn anchor(&self) -> String {
        anchor(&self.title)
    }
}

/// A list in words.
fn list<T: ToString>(of: impl IntoIterator<Item = T>) -> String {
    let words: Vec<String> = of.into_iter().map(|t| t.to_string()).collect();
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}

fn yes(is: bool) -> String {
    (if is { "yes" } else { "no" }).to_owned()
}

fn sections(config: &Config) -> Vec<Section> {
    let mut sections = vec![whole(config), limits(config), retry(config)];
    for local in &config.house.locals {
        let prefixes = local.prefixes.iter().map(|p| format!("+{p}"));
        let served = list(prefixes.chain(local.codes.iter().cloned()));
        let dock = match &local.dock {
            relay::house::Dock::Mailbox => "mailbox".to_owned(),
            relay::house::Dock::Hook(hook) => format!("webhook {hook}"),
        };
        let subscribers = local
            .subscribers
            .as_ref()
            .map_or("everybody in these ranges".to_owned(), |s| format!("{} numbers", s.len()));
        let rows = vec![
            ("dock", dock),
            ("subscribers", subscribers),
            ("barred", format!("{} numbers", local.barred.len())),
        ];
        sections.push(Section { title: format!("Local {served}"), rows });
    }
    sections.extend((0..config.links.len()).map(|place| peer(config, place)));
    let http = &config.http;
    for application in &http.applications {
        let rows = vec![
            ("sends as", list(&application.senders)),
            ("token_file", application.token_file.display().to_string()),
            ("webhook", application.webhook.as_ref().map_or("none".into(), ToString::to_string)),
        ];
        sections.push(Section { title: format!("Application {}", application.name), rows });
    }
    for webhook in &http.webhooks {
        // A query may hold a secret of the application's.
        let url = webhook.url.as_str().split('?').next().unwrap_or_default().to_owned();
        let rows = vec![
            ("url", url),
            ("secret_file", webhook.secret_file.display().to_string()),
            ("timeout", span(webhook.timeout)),
            ("connections_max", webhook.connections_max.to_string()),
        ];
        sections.push(Section { title: format!("Webhook {}", webhook.name), rows });
    }
    let console = &config.console;
    let users = console.users.iter().map(|u| format!("{} ({})", u.name, u.role.as_str()));
    let rows = vec![
        ("listen", list(&console.listen)),
        ("users", list(users)),
        ("mask_numbers", yes(console.mask_numbers)),
        ("session_life", span(console.session_life)),
    ];
    sections.push(Section { title: "Console".into(), rows });
    sections
}

fn whole(config: &Config) -> Section {
    let house = &config.house;
    let order = config.discovery.order.iter().map(|s| format!("{s:?}").to_lowercase());
    let certificate = config.identity.as_ref().map_or("none".into(), |i| i.certificate.display().to_string());
    let rows = vec![
        ("domains", list(&house.domains)),
        ("system_address", house.system_address.to_string()),
        ("host_name", config.host_name.clone()),
        ("data", config.data.display().to_string()),
        ("listen", list(&config.listen)),
        ("listen_tls", list(&config.listen_tls)),
        ("proxy_from", list(&config.proxy_from)),
        ("certificate", certificate),
        ("HTTP listen", list(&config.http.listen)),
        ("discovery order", list(order)),
        ("country_code", house.number_plan.country_code.clone().unwrap_or_else(|| "none".into())),
    ];
    Section { title: "Relay".into(), rows }
}

fn limits(config: &Config) -> Section {
    let (heart, house) = (&config.house.limits, &config.limits);
    let rows = vec![
        ("message_size_max", size(house.smtp.message_size_max)),
        ("content_size_max", size(heart.content_size_max)),
        ("recipients_max", heart.recipients_max.to_string()),
        ("sessions_max", house.sessions_max.to_string()),
        ("disk_free_min", size(house.disk_free_min)),
        ("hops_max", heart.hops_max.to_string()),
        ("forward_max", heart.forward_max.to_string()),
        ("expiry_default", span(heart.expiry_default)),
        ("expiry_max", span(heart.expiry_max)),
        ("duplicates_kept", span(heart.duplicates_kept)),
        ("history_kept", span(heart.history_kept)),
        ("in_flight_max", heart.in_flight_max.to_string()),
        ("idle", span(house.idle)),
        ("content_idle", span(house.content_idle)),
        ("content_rate_min", format!("{} octets/s", house.content_rate_min)),
        ("connect", span(house.connect)),
        ("reply", span(house.reply)),
    ];
    Section { title: "Limits".into(), rows }
}

fn retry(config: &Config) -> Section {
    let retry = &config.house.retry;
    let rows = vec![
        ("steps", list(retry.steps.iter().map(|s| span(*s)))),
        ("give_up", span(retry.give_up)),
        ("response_timeout", span(retry.response_timeout)),
        ("response_resends", retry.response_resends.to_string()),
        ("response_retries", retry.response_retries.to_string()),
        ("gate_min", span(retry.gate_min)),
        ("gate_max", span(retry.gate_max)),
    ];
    Section { title: "Retry".into(), rows }
}

fn peer(config: &Config, place: usize) -> Section {
    let (peer, link) = (&config.house.peers[place], &config.links[place]);
    let hosts = match &link.discover {
        Some(_) => "as the DNS says".to_owned(),
        None => list(&link.hosts),
    };
    let trust = match &link.tls.trust {
        TrustFiles::Anybody => "any".to_owned(),
        TrustFiles::Fingerprints(list) => format!("one of {} by fingerprint", list.len()),
        TrustFiles::Authority { ca, name } => {
            format!("for {} under {}", name.as_deref().unwrap_or("its host"), ca.display())
        }
    };
    let rate = |n: Option<u64>| n.map_or("unlimited".to_owned(), |n| n.to_string());
    let mut rows = vec![
        ("domains", list(&peer.domains)),
        ("hosts", hosts),
        ("from", list(&link.from)),
        ("prefixes", list(peer.prefixes.iter().map(|p| format!("+{p}")))),
        ("system_address", peer.system_address.to_string()),
        ("tls", link.tls.mode.as_str().to_owned()),
        ("its certificate", trust),
        ("has to log in as", link.auth.as_ref().map_or("no login".into(), |a| a.user.clone())),
        ("is logged in to as", link.login.as_ref().map_or("no login".into(), |a| a.user.clone())),
        ("connections_max", link.connections_max.to_string()),
        ("sessions_max", link.sessions_max.to_string()),
        ("mails_per_second", rate(link.rates.mails.map(u64::from))),
        ("octets_per_second", rate(link.rates.octets)),
        (
            "transit",
            list(
                peer.transit
                    .to
                    .keys()
                    .map(ToString::to_string)
                    .chain(peer.transit.to_any.map(|_| "every peer".into())),
            ),
        ),
    ];
    let standard = relay::house::Profile::default();
    for knob in relay::house::Profile::KNOBS {
        let value = (knob.show)(&peer.profile);
        if value != (knob.show)(&standard) {
            rows.push((knob.key, value));
        }
    }
    Section { title: format!("Peer {}", peer.name), rows }
}

pub(in super::super) async fn show(
    State(desk): State<Arc<Desk>>,
    Extension(visitor): Extension<Visitor>,
) -> Response<Body> {
    let frame = Frame::new(&desk, &visitor, "Configuration", "/configuration").await;
    let sections = sections(&desk.parts.dock.config());
    page(StatusCode::OK, &Configuration { frame, sections })
}

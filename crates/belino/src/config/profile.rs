//! `profile` of a peer: the name of a ready-made one, or a table that changes some knobs of one.
//!
//! Owns: how each knob is written in the configuration. Never knows: what a knob does; that is `relay::house::Profile`.

use super::ByteSize;
use super::parse::{Wrong, mailbox, version, wrong};
use relay::house::{MailFrom, NumberForm, NumbersOut, Profile, ResponseStyle};
use serde::de::value::MapAccessDeserializer;
use serde::{Deserialize, Deserializer, de};
use std::collections::BTreeMap;
use std::fmt;

/// A profile as it is written: every knob may be left out.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProfilePart {
    like: Option<String>,
    version: Option<String>,
    quote_ids: Option<bool>,
    bare_addresses: Option<bool>,
    number_form: Option<String>,
    numbers_out: Option<BTreeMap<String, String>>,
    mail_from: Option<String>,
    null_sender: Option<bool>,
    originator_system: Option<String>,
    reports_to_system: Option<bool>,
    split_recipients: Option<bool>,
    recipients_max: Option<usize>,
    response_style: Option<String>,
    expects_response: Option<bool>,
    acknowledged_reports: Option<bool>,
    anonymise_hidden: Option<bool>,
    size_max: Option<ByteSize>,
    rate_max: Option<u32>,
    strict: Option<bool>,
    own_senders: Option<bool>,
    short_codes: Option<bool>,
}

/// `profile = "mbuni"` or `profile = { like = "mbuni", version = "6.3.0" }`.
pub fn name_or_table<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ProfilePart, D::Error> {
    struct Either;
    impl<'de> de::Visitor<'de> for Either {
        type Value = ProfilePart;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("the name of a ready-made profile, or a table")
        }

        fn visit_str<E: de::Error>(self, name: &str) -> Result<ProfilePart, E> {
            Ok(ProfilePart { like: Some(name.to_owned()), ..ProfilePart::default() })
        }

        fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<ProfilePart, A::Error> {
            ProfilePart::deserialize(MapAccessDeserializer::new(map))
        }
    }
    deserializer.deserialize_any(Either)
}

/// One of a closed set of words.
fn choice<T: Copy + fmt::Display>(key: &str, text: &str, all: &[T]) -> Result<T, Wrong> {
    let found = all.iter().copied().find(|v| v.to_string() == text);
    let known: Vec<String> = all.iter().map(|v| format!("{:?}", v.to_string())).collect();
    found.ok_or(()).or_else(|()| wrong(text, format!("{key} {text:?}: expected {}", known.join(" or "))))
}

impl ProfilePart {
    /// The profile that is meant.
    pub fn build(&self) -> Result<Profile, Wrong> {
        let like = self.like.as_deref().unwrap_or("default");
        let Some(base) = Profile::ready_made(like) else {
            let known: Vec<&str> = Profile::READY_MADE.iter().map(|(name, _)| *name).collect();
            return wrong(like, format!("profile {like:?}: expected one of {}", known.join(", ")));
        };
        let number_form = self.number_form.as_deref().map(|t| choice("number_form", t, NumberForm::ALL));
        let mail_from = self.mail_from.as_deref().map(|t| choice("mail_from", t, MailFrom::ALL));
        let style = self.response_style.as_deref().map(|t| choice("response_style", t, ResponseStyle::ALL));
        if self.recipients_max == Some(0) {
            return wrong("recipients_max", "recipients_max = 0: expected at least 1");
        }
        if self.rate_max == Some(0) {
            return wrong(
                "rate_max",
                "rate_max = 0: expected at least 1 MM a minute; to stop a peer, pause it",
            );
        }
        Ok(Profile {
            version: self.version.as_deref().map_or(Ok(base.version), version)?,
            quote_ids: self.quote_ids.unwrap_or(base.quote_ids),
            bare_addresses: self.bare_addresses.unwrap_or(base.bare_addresses),
            number_form: number_form.unwrap_or(Ok(base.number_form))?,
            numbers_out: self.numbers_out.as_ref().map_or(Ok(base.numbers_out), numbers_out)?,
            mail_from: mail_from.unwrap_or(Ok(base.mail_from))?,
            null_sender: self.null_sender.unwrap_or(base.null_sender),
            originator_system: match &self.originator_system {
                Some(text) => Some(mailbox("originator_system", text)?),
                None => base.originator_system,
            },
            reports_to_system: self.reports_to_system.unwrap_or(base.reports_to_system),
            split_recipients: self.split_recipients.unwrap_or(base.split_recipients),
            recipients_max: self.recipients_max.unwrap_or(base.recipients_max),
            response_style: style.unwrap_or(Ok(base.response_style))?,
            expects_response: self.expects_response.unwrap_or(base.expects_response),
            acknowledged_reports: self.acknowledged_reports.unwrap_or(base.acknowledged_reports),
            anonymise_hidden: self.anonymise_hidden.unwrap_or(base.anonymise_hidden),
            size_max: self.size_max.map(|s| s.0).or(base.size_max),
            rate_max: self.rate_max.or(base.rate_max),
            strict: self.strict.unwrap_or(base.strict),
            own_senders: self.own_senders.unwrap_or(base.own_senders),
            short_codes: self.short_codes.unwrap_or(base.short_codes),
        })
    }
}

fn numbers_out(pairs: &BTreeMap<String, String>) -> Result<NumbersOut, Wrong> {
    let digits = |text: &str| text.len() <= 20 && text.bytes().all(|b| b.is_ascii_digit());
    for (from, to) in pairs {
        if !from.strip_prefix('+').is_some_and(digits) {
            return wrong(from, format!("numbers_out {from:?}: expected + and digits, such as \"+1\""));
        }
        if !digits(to.strip_prefix('+').unwrap_or(to)) {
            return wrong(to, format!("numbers_out {to:?}: expected digits, with or without +"));
        }
    }
    Ok(NumbersOut(pairs.iter().map(|(from, to)| (from.clone(), to.clone())).collect()))
}

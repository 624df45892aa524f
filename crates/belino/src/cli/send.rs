//! `belino send`.

use super::Common;
use crate::admin::{self, Request};
use crate::compose::{Attachment, compose};
use crate::config::Span;
use crate::view;
use anyhow::Context as _;
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

/// Hand in an MM from one of our users.
#[derive(Args)]
pub struct Send {
    /// Sender: a number that this relay serves
    #[arg(long)]
    from: String,
    /// Recipients
    #[arg(long, num_args = 1.., value_delimiter = ',')]
    to: Vec<String>,
    /// Recipients that everybody sees, too
    #[arg(long, num_args = 1.., value_delimiter = ',')]
    cc: Vec<String>,
    /// Recipients that nobody else sees
    #[arg(long, num_args = 1.., value_delimiter = ',')]
    bcc: Vec<String>,
    /// Subject
    #[arg(long)]
    subject: Option<String>,
    /// Text
    #[arg(long)]
    text: Option<String>,
    /// Files: pictures, sound, video
    #[arg(long, value_name = "FILE", num_args = 1..)]
    attach: Vec<PathBuf>,
    /// Validity: 3600s, 12h, 3d
    #[arg(long)]
    expiry: Option<String>,
    /// Personal, Advertisement, Informational or Auto
    #[arg(long)]
    class: Option<String>,
    /// Low, Normal or High
    #[arg(long)]
    priority: Option<String>,
    /// Ask for delivery reports
    #[arg(long)]
    delivery_report: bool,
    /// Ask for read-reply reports
    #[arg(long)]
    read_reply: bool,
    /// Hide the sender from the recipients
    #[arg(long)]
    hide: bool,
    /// An earlier handler of a forwarded MM and when, as ADDRESS@SECONDS; the first one first
    #[arg(long, value_name = "ADDRESS@SECONDS")]
    previously_sent: Vec<String>,
}

impl Send {
    /// Compose, hand in, and print what became of it.
    pub fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        let files = self.attach.iter().map(|p| Attachment::read(p)).collect::<anyhow::Result<Vec<_>>>()?;
        let composed = compose(self.text.as_deref(), files)?;
        let expiry = match &self.expiry {
            Some(text) => {
                Some(text.parse::<Span>().map_err(|e| anyhow::anyhow!("--expiry {e}"))?.0.as_secs())
            }
            None => None,
        };
        let earlier = |text: &String| {
            let (by, at) = text.rsplit_once('@').context("--previously-sent: expected ADDRESS@SECONDS")?;
            Ok((by.to_owned(), at.parse().context("--previously-sent: expected ADDRESS@SECONDS")?))
        };
        let request = Request::Send(Box::new(admin::Send {
            from: self.from,
            to: self.to,
            cc: self.cc,
            bcc: self.bcc,
            subject: self.subject,
            content_type: composed.content_type,
            content_transfer_encoding: composed.content_transfer_encoding,
            class: self.class,
            priority: self.priority,
            expiry_seconds: expiry,
            delivery_report: self.delivery_report,
            read_reply: self.read_reply,
            hide: self.hide,
            previously_sent: self.previously_sent.iter().map(earlier).collect::<anyhow::Result<_>>()?,
            octets: composed.wire_form.len(),
        }));
        let (mm, _) = admin::client::ask(&common.data()?, &request, &composed.wire_form)?;
        if common.json {
            super::print_json(&mm);
        } else {
            say!("taken as {}", view::text(&mm["id"]));
            for r in mm["recipients"].as_array().into_iter().flatten() {
                let why =
                    if r["why"].is_null() { String::new() } else { format!(": {}", view::text(&r["why"])) };
                say!("  {}  {}{why}", view::text(&r["address"]["value"]), view::text(&r["state"]));
            }
            say!("follow it with: belino trace {}", view::text(&mm["id"]));
        }
        Ok(ExitCode::SUCCESS)
    }
}

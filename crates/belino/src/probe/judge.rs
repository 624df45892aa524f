//! The judge: from what was seen to one verdict for each case.
//!
//! Owns: what each case makes of the evidence. Never knows: sockets, time. The same evidence gives the same verdicts.
//!
//! One fault, one failing row: where a case cannot be judged because of another one's failure, it says so and is skipped.

use super::Plan;
use super::catalogue::{Case, Step};
use super::evidence::{Evidence, Exchange};
use super::responses;
use serde::Serialize;

pub use super::responses::is_about;

/// How a case ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As clause 8.4 asks for.
    Pass,
    /// Against it.
    Fail,
    /// Allowed or lenient, and worth knowing.
    Warn,
    /// Not judged, and why.
    Skip,
}

impl Verdict {
    /// The word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Warn => "warn",
            Self::Skip => "skip",
        }
    }
}

/// What the judge says of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// How it ended.
    pub verdict: Verdict,
    /// What was seen, in one sentence.
    pub seen: String,
    /// What else points at the cause.
    pub hint: Option<String>,
}

/// As it should be.
pub fn pass(seen: impl Into<String>) -> Judgement {
    Judgement { verdict: Verdict::Pass, seen: seen.into(), hint: None }
}

/// Wrong.
pub fn fail(seen: impl Into<String>) -> Judgement {
    Judgement { verdict: Verdict::Fail, seen: seen.into(), hint: None }
}

/// Odd.
pub fn warn(seen: impl Into<String>) -> Judgement {
    Judgement { verdict: Verdict::Warn, seen: seen.into(), hint: None }
}

/// Not judged.
pub fn skip(seen: impl Into<String>) -> Judgement {
    Judgement { verdict: Verdict::Skip, seen: seen.into(), hint: None }
}

/// Judge a case.
pub fn judge(case: &Case, plan: &Plan, evidence: &Evidence) -> Judgement {
    if !plan.has_numbers_for(case.step) || case.id == "P-08" && plan.unknown.is_none() {
        let option = if case.step.needs_second() { "--second" } else { "--unknown" };
        return skip(format!("no number was given with {option}"));
    }
    if case.id != "P-01" && !evidence.exchange(Step::Greeting, "greeting").is_some_and(Exchange::is_fine) {
        return skip("there was no connection, see P-01");
    }
    match case.id {
        "P-01" => greeting(evidence),
        "P-02" => ehlo(evidence),
        "P-03" => extensions(evidence),
        "P-04" => helo(evidence),
        "P-05" => ehlo_again(evidence),
        "P-06" => noop_and_rset(evidence),
        "P-07" => rcpt(evidence, "rcpt"),
        "P-08" => rcpt(evidence, "rcpt unknown"),
        "P-31" => one_connection(plan, evidence),
        "P-50" => match evidence.sent.get(&Step::Plain) {
            Some(sent) if sent.taken.is_ok() => skip(
                "cannot be seen from here: ask the subscriber whether the second line of P-10 begins with a dot",
            ),
            _ => skip("no mail was taken, see P-10"),
        },
        _ => responses::judge(case, plan, evidence),
    }
}

/// The exchange, or a judgement that says why there is none.
fn said<'e>(evidence: &'e Evidence, step: Step, what: &str) -> Result<&'e Exchange, Judgement> {
    evidence.exchange(step, what).ok_or_else(|| {
        let last = evidence.dialogues.get(&step).and_then(|d| d.iter().rev().find(|e| e.what != "quit"));
        match last {
            Some(last) => skip(format!("it was not asked: {} was answered {}", last.sent, last.words())),
            None => skip("it was not asked"),
        }
    })
}

fn either(judged: Result<Judgement, Judgement>) -> Judgement {
    judged.unwrap_or_else(|other| other)
}

fn greeting(evidence: &Evidence) -> Judgement {
    match evidence.exchange(Step::Greeting, "greeting") {
        None => fail("there was no connection"),
        Some(exchange) => match &exchange.reply {
            Ok(reply) if reply.code() == 220 => pass(format!("{} said {reply}", evidence.host)),
            Ok(reply) => fail(format!("{} said {reply}", evidence.host)),
            Err(why) => fail(why.clone()),
        },
    }
}

fn ehlo(evidence: &Evidence) -> Judgement {
    either(said(evidence, Step::Greeting, "ehlo").map(|exchange| match &exchange.reply {
        Ok(reply) if reply.is_positive() => pass(reply.to_string()),
        // STD 10 of clause 8.4.5 was RFC 821 when it was written: HELO alone will do.
        Ok(reply) => warn(format!("EHLO was answered {reply}; HELO is used")),
        Err(why) => fail(why.clone()),
    }))
}

fn extensions(evidence: &Evidence) -> Judgement {
    either(said(evidence, Step::Greeting, "ehlo").map(|exchange| {
        if !exchange.is_fine() {
            return skip("EHLO is not understood, see P-02");
        }
        let keyword = |line: &String| line.split_ascii_whitespace().next().unwrap_or_default().to_uppercase();
        let known = ["SIZE", "8BITMIME", "PIPELINING", "STARTTLS"];
        let offered: Vec<String> = exchange.lines.iter().skip(1).map(keyword).collect();
        let (has, lacks): (Vec<&str>, Vec<&str>) =
            known.into_iter().partition(|k| offered.iter().any(|o| o == k));
        let list = |words: &[&str]| if words.is_empty() { "none".into() } else { words.join(", ") };
        let size = exchange.lines.iter().skip(1).find(|l| keyword(l) == "SIZE");
        let size = size.map_or(String::new(), |line| format!(" ({line})"));
        let seen = format!("offers {}{size}; lacks {}", list(&has), list(&lacks));
        if has.contains(&"SIZE") { pass(seen) } else { warn(seen) }
    }))
}

fn helo(evidence: &Evidence) -> Judgement {
    let step = Step::Helo;
    let Some(exchange) = evidence.exchange(step, "helo") else {
        return fail(connection_trouble(evidence, step));
    };
    if !exchange.is_fine() {
        return fail(format!("HELO was answered {}", exchange.words()));
    }
    match evidence.exchange(step, "mail") {
        Some(exchange) if exchange.is_fine() => {}
        other => {
            return fail(format!("MAIL behind HELO: {}", other.map_or("not said".into(), Exchange::words)));
        }
    }
    match evidence.exchange(step, "rcpt") {
        Some(exchange) if exchange.is_fine() => pass("HELO, MAIL and RCPT were answered 250"),
        // The number itself is judged elsewhere.
        Some(exchange)
            if evidence
                .exchange(Step::Recipients, "rcpt")
                .is_some_and(|after_ehlo| !after_ehlo.is_fine()) =>
        {
            skip(format!("RCPT was answered {}, as behind EHLO, see P-07", exchange.words()))
        }
        other => fail(format!("RCPT behind HELO: {}", other.map_or("not said".into(), Exchange::words))),
    }
}

fn connection_trouble(evidence: &Evidence, step: Step) -> String {
    match evidence.exchange(step, "greeting") {
        Some(exchange) => format!("at another connection: {}", exchange.words()),
        None => "there was no other connection".into(),
    }
}

fn ehlo_again(evidence: &Evidence) -> Judgement {
    let judged = said(evidence, Step::Greeting, "mail").and_then(|mail| {
        if !mail.is_fine() {
            return Err(skip(format!("MAIL was answered {}, so no transaction was under way", mail.words())));
        }
        let again = said(evidence, Step::Greeting, "again")?;
        let verb = again.sent.split(' ').next().unwrap_or("EHLO");
        if !again.is_fine() {
            return Ok(fail(format!("{verb} inside a transaction was answered {}", again.words())));
        }
        let behind = said(evidence, Step::Greeting, "rcpt behind")?;
        Ok(match &behind.reply {
            Ok(reply) if reply.is_positive() => {
                warn(format!("{verb} was answered 250, but RCPT behind it {reply}: the transaction went on"))
            }
            Ok(reply) => pass(format!("{verb} was answered 250, and RCPT behind it {reply}")),
            Err(why) => fail(format!("RCPT behind the second {verb}: {why}")),
        })
    });
    either(judged)
}

fn noop_and_rset(evidence: &Evidence) -> Judgement {
    let step = Step::Recipients;
    let judged = said(evidence, step, "noop").and_then(|noop| {
        let rset = said(evidence, step, "rset")?;
        Ok(match [noop, rset].into_iter().find(|e| !e.is_fine()) {
            None => pass("both were answered 250"),
            Some(exchange) => fail(format!("{} was answered {}", exchange.sent, exchange.words())),
        })
    });
    either(judged)
}

fn rcpt(evidence: &Evidence, what: &str) -> Judgement {
    either(said(evidence, Step::Recipients, what).map(|exchange| {
        let seen = exchange.words();
        if exchange.is_fine() { pass(seen) } else { fail(seen) }
    }))
}

fn one_connection(plan: &Plan, evidence: &Evidence) -> Judgement {
    if plan.link.one_message_per_connection {
        return skip("one_message_per_connection is set for this peer");
    }
    let (Some(first), Some(second)) =
        (evidence.sent.get(&Step::Absolute), evidence.sent.get(&Step::Relative))
    else {
        return skip("they were not sent");
    };
    if let Some(exchange) = evidence.exchange(Step::Absolute, "rset").filter(|e| !e.is_fine()) {
        return fail(format!("RSET behind a mail was answered {}", exchange.words()));
    }
    if let Some(exchange) = evidence.exchange(Step::Absolute, "noop").filter(|e| !e.is_fine()) {
        return fail(format!("NOOP behind a mail was answered {}", exchange.words()));
    }
    match (&first.taken, &second.taken) {
        (Ok(()), Ok(())) => pass("both were taken"),
        (Err(why), _) => skip(format!("the first one was not taken: {why}")),
        (Ok(()), Err(why)) => fail(format!("the second one was not taken: {why}")),
    }
}

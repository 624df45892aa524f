//! What responses and reports say, judged field by field.
//!
//! Owns: the cases from P-10 on. Never knows: how they came.

use super::Plan;
use super::catalogue::{Case, Step};
use super::evidence::{Came, Echo, Evidence, Sent, is_echoed};
use super::judge::{Judgement, Verdict, fail, pass, skip, warn};
use mms::{ForwardRes, MailPath, MmStatus, NumberPlan, Party, RequestStatus, Version};
use std::collections::BTreeSet;

const STATUS: &str = "X-Mms-Request-Status-Code";

/// Whether a response speaks of a recipient: it names it, or nobody.
pub fn is_about(response: &ForwardRes, party: &Party, plan: &NumberPlan) -> bool {
    response.request_recipients.is_empty() || names(response, party, plan)
}

fn names(response: &ForwardRes, party: &Party, plan: &NumberPlan) -> bool {
    response.request_recipients.iter().any(|named| is_same(named, party, plan))
}

/// The same number, whatever was left out of it.
fn is_same(theirs: &Party, ours: &Party, plan: &NumberPlan) -> bool {
    let theirs = theirs.address.clone().normalised(plan);
    let digits = |address: &mms::Address| address.number().map(|n| n.digits().to_owned());
    theirs == ours.address || digits(&theirs).is_some() && digits(&theirs) == digits(&ours.address)
}

/// Judge a case that a mail is sent for.
pub(super) fn judge(case: &Case, plan: &Plan, evidence: &Evidence) -> Judgement {
    let seen = Seen { plan, evidence };
    let Some(sent) = evidence.sent.get(&case.step) else { return skip("its mail was not sent") };
    if let Err(why) = &sent.taken {
        return not_taken(case, sent, why);
    }
    match case.id {
        "P-10" => pass("the peer took it"),
        "P-11" => seen.comes(),
        "P-12" => seen.first(|came| seen.transaction_id(sent, came)),
        "P-13" => seen.first(|came| echo("X-Mms-Message-ID", Some(&sent.message_id), came)),
        "P-14" => seen.known_words(),
        "P-15" | "P-29" | "P-30" => seen.is_ok(case.step),
        "P-16" => seen.first(|came| seen.version(sent, came)),
        "P-17" => seen.first(whole_mail),
        "P-18" => seen.first(|came| seen.originator_system(came)),
        "P-19" => seen.hosts(),
        "P-20" => seen.once(),
        "P-21" => seen.silence(),
        "P-22" => seen.quotation_marks(sent),
        "P-23" => seen.repeat(),
        "P-24" => seen.unknown(),
        "P-25" => seen.mixed(),
        "P-26" => seen.two(),
        "P-27" => seen.odd_type(),
        "P-28" => seen.no_transaction(),
        _ => seen.report(case.id, sent),
    }
}

/// A mail that the peer did not take, for the case that it was sent for.
fn not_taken(case: &Case, sent: &Sent, why: &str) -> Judgement {
    if !sent.recipients.iter().any(|(_, accepted)| *accepted) && why.starts_with(['4', '5']) {
        let cause = if case.step == Step::Unknown { "P-08" } else { "P-07 and P-10" };
        return match case.id {
            "P-10" => fail(format!("no mail could be sent: {why}")),
            _ => skip(format!("no mail could be sent: {why}; see {cause}")),
        };
    }
    match (case.id, case.step) {
        ("P-10", _) => fail(why),
        (_, Step::Plain) => skip("the request was not taken, see P-10"),
        ("P-14" | "P-16" | "P-20" | "P-42" | "P-41" | "P-43" | "P-44", _) => {
            skip("the request was not taken")
        }
        // A refusal by SMTP where a response was asked for: nobody hears it but the relay.
        (_, Step::OddType | Step::NoTransaction) => {
            warn(format!("refused by SMTP, not by a response: {why}"))
        }
        _ => fail(format!("its mail was not taken: {why}")),
    }
}

/// How an id came back.
fn echo(name: &str, ours: Option<&str>, came: &Came) -> Judgement {
    let (ours, theirs) = (ours.unwrap_or_default(), came.field(name));
    match is_echoed(ours, theirs.as_deref()) {
        Echo::Exact => pass(format!("{name}: {ours}")),
        Echo::Missing => fail(format!("the response has no {name}; sent was {ours}")),
        Echo::Requoted | Echo::Other => {
            fail(format!("{name}: {}; sent was {ours}", came.shown(name).unwrap_or_default()))
        }
    }
}

/// The fields that make a mail of a response.
fn whole_mail(came: &Came) -> Judgement {
    let lacks = |names: &[&'static str]| -> Vec<&'static str> {
        names.iter().copied().filter(|name| came.field(name).is_none()).collect()
    };
    let (grave, light) = (lacks(&["From", "Date"]), lacks(&["Sender", "To", "Message-ID"]));
    let all = [grave.clone(), light.clone()].concat().join(", ");
    match (grave.is_empty(), light.is_empty()) {
        (true, true) => pass("From, Date, Sender, To and Message-ID are there"),
        (true, false) => warn(format!("lacks {all}")),
        (false, _) => fail(format!("lacks {all}")),
    }
}

fn version_of(came: &Came) -> Option<Version> {
    came.response().and_then(|r| r.version)
}

/// A status word as it stands in the mail, and what it is if it is one of the nine.
fn word(came: &Came) -> (String, Option<RequestStatus>) {
    let word = came.shown(STATUS).unwrap_or_default();
    let status = RequestStatus::from_canonical(&word);
    (word, status)
}

struct Seen<'a> {
    plan: &'a Plan,
    evidence: &'a Evidence,
}

impl Seen<'_> {
    fn plan_of_numbers(&self) -> &NumberPlan {
        &self.plan.peer.number_plan
    }

    fn responses(&self, step: Step) -> Vec<(&Came, &ForwardRes)> {
        self.evidence.responses(step).collect()
    }

    /// Judge the response to the first request.
    fn first(&self, judge: impl Fn(&Came) -> Judgement) -> Judgement {
        match self.responses(Step::Plain).first() {
            Some((came, _)) => judge(came),
            None => skip("no response to judge, see P-11"),
        }
    }

    /// No response to a request other than the first.
    fn none_came(&self) -> Judgement {
        if self.evidence.anything_came() {
            return fail(format!("no response came within {} s", self.plan.wait.as_secs()));
        }
        skip("no response came to any request, see P-11")
    }

    fn comes(&self) -> Judgement {
        if let Some((came, _)) = self.responses(Step::Plain).first() {
            return pass(format!("it came from {}", came.address));
        }
        let mut judged = fail(format!("no response came within {} s", self.plan.wait.as_secs()));
        let mut hints = Vec::new();
        if let Some(came) = self.evidence.foreign().next() {
            let id = came
                .shown("X-Mms-Transaction-ID")
                .map_or("no transaction id".into(), |id| format!("transaction id {id}"));
            hints.push(format!(
                "a response came from {} with {id} and the message id {}: neither is ours",
                came.address,
                came.shown("X-Mms-Message-ID").unwrap_or("(none)".into())
            ));
        }
        if !self.evidence.strangers.is_empty() {
            let list: Vec<String> = self.evidence.strangers.iter().map(ToString::to_string).collect();
            hints.push(format!(
                "{} connected meanwhile and was turned away: if it is a host of this peer, add it to from",
                list.join(", ")
            ));
        }
        judged.hint = (!hints.is_empty()).then(|| hints.join("; "));
        judged
    }

    fn transaction_id(&self, sent: &Sent, came: &Came) -> Judgement {
        let mut judged = echo("X-Mms-Transaction-ID", sent.transaction_id.as_deref(), came);
        if judged.verdict == Verdict::Fail {
            judged.hint = Some(
                "the response was recognised by its message id; a relay recognises it by nothing".into(),
            );
        }
        judged
    }

    fn known_words(&self) -> Judgement {
        let responses = self.evidence.came.iter().filter(|c| c.step.is_some() && c.response().is_some());
        let (mut good, mut words) = (0, BTreeSet::new());
        for came in responses {
            match word(came) {
                (_, Some(_)) => good += 1,
                (word, None) => drop(words.insert(word)),
            }
        }
        match (good, words.len()) {
            (0, 0) => skip("no response to judge, see P-11"),
            (good, 0) => pass(format!("all {good} responses have one of them")),
            _ => {
                let list: Vec<String> = words.iter().map(|w| format!("{w:?}")).collect();
                fail(format!("{STATUS}: {}", list.join(", ")))
            }
        }
    }

    /// The first response to a request with one served recipient says Ok.
    fn is_ok(&self, step: Step) -> Judgement {
        let responses = self.responses(step);
        let Some((came, response)) = responses.first() else {
            return if step == Step::Plain { self.first(|_| pass("")) } else { self.none_came() };
        };
        match word(came) {
            (word, Some(RequestStatus::Ok)) => pass(format!("{STATUS}: {word}")),
            (word, Some(_)) => fail(format!("{STATUS}: {word}{}", text_of(response))),
            (word, None) => skip(format!("the status {word:?} is unknown, see P-14")),
        }
    }

    fn version(&self, sent: &Sent, came: &Came) -> Judgement {
        let written = came.shown("X-Mms-3GPP-MMS-Version");
        let (Some(written), Some(version)) = (written.clone(), version_of(came)) else {
            return fail(match written {
                Some(text) => format!("X-Mms-3GPP-MMS-Version: {text}"),
                None => "the response has no X-Mms-3GPP-MMS-Version".into(),
            });
        };
        // One request announced another version than the rest: who answers each with its own has copied it.
        let other = self.evidence.sent.get(&Step::Relative).filter(|other| other.version != sent.version);
        let other = other
            .zip(self.responses(Step::Relative).first().and_then(|(c, _)| c.shown("X-Mms-3GPP-MMS-Version")));
        if let Some((other, echoed)) = other
            && written == sent.version
            && echoed == other.version
        {
            let seen =
                format!("{} was answered with {written}, and {} with {echoed}", sent.version, other.version);
            return fail(format!("{seen}: copied from the request"));
        }
        if !(4..=6).contains(&version.major) {
            return warn(format!("X-Mms-3GPP-MMS-Version: {written}"));
        }
        pass(format!("X-Mms-3GPP-MMS-Version: {written}"))
    }

    fn originator_system(&self, came: &Came) -> Judgement {
        let ours = self.plan.originator_system();
        let is_ours = |text: &String| text.parse::<MailPath>().is_ok_and(|path| path == *ours);
        if !came.recipients.iter().any(is_ours) {
            return fail(format!("its envelope names {}, not {ours}", came.recipients.join(", ")));
        }
        match came.response().and_then(|r| r.to.as_ref()) {
            Some(to) if to == ours => pass(format!("it goes to {ours}")),
            Some(to) => fail(format!("its envelope names {ours}, but To is {to}")),
            None => warn(format!("its envelope names {ours}; it has no To")),
        }
    }

    fn hosts(&self) -> Judgement {
        let hosts: BTreeSet<String> = self.evidence.came.iter().map(|c| c.address.to_string()).collect();
        if hosts.is_empty() {
            return skip("no response to judge, see P-11");
        }
        pass(format!("from {}", hosts.into_iter().collect::<Vec<_>>().join(", ")))
    }

    fn once(&self) -> Judgement {
        let steps = [Step::Plain, Step::Quoted, Step::Absolute, Step::Relative];
        let counts: Vec<(Step, usize)> =
            steps.iter().map(|s| (*s, self.responses(*s).len())).filter(|(_, n)| *n > 0).collect();
        if counts.is_empty() {
            return skip("no response to judge, see P-11");
        }
        match counts.iter().find(|(_, n)| *n > 1) {
            Some((step, n)) => fail(format!("{} was answered {n} times", step.name())),
            None => pass(format!("{} requests, {} responses", counts.len(), counts.len())),
        }
    }

    fn silence(&self) -> Judgement {
        match self.responses(Step::Unanswered).first() {
            Some((came, _)) => fail(format!("a response came from {}", came.address)),
            None if self.evidence.anything_came() => pass("none came before later requests were answered"),
            None => skip("no response came to any request, so this silence says nothing; see P-11"),
        }
    }

    fn quotation_marks(&self, sent: &Sent) -> Judgement {
        let responses = self.responses(Step::Quoted);
        let Some((came, _)) = responses.first() else { return self.none_came() };
        let ids = [
            ("X-Mms-Transaction-ID", sent.transaction_id.as_deref().unwrap_or_default()),
            ("X-Mms-Message-ID", &sent.message_id),
        ];
        let of = |(name, ours): &(&str, &str)| is_echoed(ours, came.field(name).as_deref());
        let lost: Vec<String> = ids
            .iter()
            .filter(|id| of(id) == Echo::Requoted)
            .map(|(name, ours)| format!("{name}: {}; sent was {ours}", came.shown(name).unwrap_or_default()))
            .collect();
        if !lost.is_empty() {
            return fail(lost.join("; "));
        }
        match ids.iter().filter(|id| of(id) == Echo::Exact).count() {
            0 => skip("no id came back at all, see P-12 and P-13"),
            1 => pass("the id that came back has its quotation marks; for the other see P-12 and P-13"),
            _ => pass("both came back with them"),
        }
    }

    fn repeat(&self) -> Judgement {
        let Some((first, _)) = self.evidence.responses(Step::Plain).next() else {
            return skip("the first request was not answered either, see P-11");
        };
        match self.evidence.repeated().next() {
            None => fail(format!("no response came within {} s", self.plan.wait.as_secs())),
            Some((again, _)) if word(again) == word(first) => {
                pass(format!("{STATUS}: {}, as the first time", word(again).0))
            }
            Some((again, _)) => warn(format!("first {}, then {}", word(first).0, word(again).0)),
        }
    }

    fn unknown(&self) -> Judgement {
        let (responses, plan) = (self.responses(Step::Unknown), self.plan_of_numbers());
        let Some((came, response)) = responses.first() else { return self.none_came() };
        let Some(unknown) = &self.plan.unknown else { return skip("no number was given") };
        let named = if response.request_recipients.is_empty() { "naming nobody" } else { "naming it" };
        if !is_about(response, unknown, plan) {
            let list: Vec<String> = response.request_recipients.iter().map(short).collect();
            return fail(format!("the response names {}, not {}", list.join(", "), short(unknown)));
        }
        let seen = |word: String| format!("{word}, {named}{}", text_of(response));
        match word(came) {
            (
                word,
                Some(RequestStatus::ErrorSendingAddressUnresolved | RequestStatus::ErrorServiceDenied),
            ) => pass(seen(word)),
            (word, Some(RequestStatus::Ok)) => fail(seen(word)),
            (word, Some(_)) => warn(seen(word)),
            (word, None) => skip(format!("the status {word:?} is unknown, see P-14")),
        }
    }

    /// What was said about each recipient of a request; `None` for one that the peer refused at RCPT.
    fn statuses(&self, step: Step) -> Vec<(&Party, Option<Vec<RequestStatus>>)> {
        let (responses, plan) = (self.responses(step), self.plan_of_numbers());
        let Some(sent) = self.evidence.sent.get(&step) else { return Vec::new() };
        let about = |party: &Party| -> Vec<RequestStatus> {
            let about = responses.iter().filter(|(_, r)| is_about(r, party, plan));
            about.map(|(_, r)| r.request_status).collect()
        };
        sent.recipients.iter().map(|(p, accepted)| (p, accepted.then(|| about(p)))).collect()
    }

    fn mixed(&self) -> Judgement {
        let responses = self.responses(Step::Mixed);
        if responses.is_empty() {
            return self.none_came();
        }
        if let Some((word, _)) = responses.iter().map(|(c, _)| word(c)).find(|(_, status)| status.is_none()) {
            return skip(format!("the status {word:?} is unknown, see P-14"));
        }
        let said = self.statuses(Step::Mixed);
        let [(known, of_known), (unknown, of_unknown)] = said.as_slice() else { return skip("not sent") };
        let (Some(of_known), Some(of_unknown)) = (of_known, of_unknown) else {
            return skip("one of the two was refused at RCPT, see P-07 and P-08");
        };
        let nameless = responses.iter().filter(|(_, r)| r.request_recipients.is_empty()).count();
        let list = |statuses: &[RequestStatus]| {
            statuses.iter().map(|s| s.as_str()).collect::<Vec<_>>().join(" and ")
        };
        let is_ok = |statuses: &[RequestStatus]| statuses.iter().all(|s| *s == RequestStatus::Ok);
        if nameless > 1 {
            return warn(format!(
                "{nameless} responses without X-Mms-Request-Recipients: nobody can tell whom each is about"
            ));
        }
        if nameless == 1 && responses.len() == 1 {
            let status = responses[0].1.request_status;
            return warn(match status {
                RequestStatus::Ok => format!(
                    "one collective Ok: allowed, as {} was accepted, but it hides that {} is unknown",
                    short(known),
                    short(unknown)
                ),
                other => format!(
                    "one collective {other}: allowed, but it hides that {} was accepted",
                    short(known)
                ),
            });
        }
        match (of_known.as_slice(), of_unknown.as_slice()) {
            ([], _) => fail(format!("nothing was said about {}", short(known))),
            (_, []) => fail(format!("nothing was said about {}", short(unknown))),
            (k, u) if is_ok(k) && !u.contains(&RequestStatus::Ok) => {
                pass(format!("{}: {}; {}: {}", short(known), list(k), short(unknown), list(u)))
            }
            (k, u) => fail(format!("{}: {}; {}: {}", short(known), list(k), short(unknown), list(u))),
        }
    }

    fn two(&self) -> Judgement {
        let responses = self.responses(Step::Two);
        if responses.is_empty() {
            return self.none_came();
        }
        if let Some((word, _)) = responses.iter().map(|(c, _)| word(c)).find(|(_, status)| status.is_none()) {
            return skip(format!("the status {word:?} is unknown, see P-14"));
        }
        let said = self.statuses(Step::Two);
        for (party, statuses) in &said {
            match statuses.as_deref() {
                None => return skip(format!("{} was refused at RCPT, see P-07", short(party))),
                Some([]) => return fail(format!("nothing was said about {}", short(party))),
                Some(statuses) => {
                    if let Some(other) = statuses.iter().find(|s| **s != RequestStatus::Ok) {
                        return fail(format!("{}: {other}", short(party)));
                    }
                }
            }
        }
        let how = if responses.len() == 1 { "one response" } else { "a response for each" };
        pass(format!("Ok for both, in {how}"))
    }

    fn odd_type(&self) -> Judgement {
        let responses = self.responses(Step::OddType);
        let Some((came, _)) = responses.first() else {
            return match self.none_came() {
                judged if judged.verdict == Verdict::Fail => warn(judged.seen),
                judged => judged,
            };
        };
        match word(came) {
            (word, Some(RequestStatus::ErrorUnsupportedMessage)) => pass(format!("{STATUS}: {word}")),
            (word, Some(RequestStatus::Ok)) => fail(format!("{STATUS}: {word}")),
            (word, Some(_)) => warn(format!("{STATUS}: {word}")),
            (word, None) => skip(format!("the status {word:?} is unknown, see P-14")),
        }
    }

    fn no_transaction(&self) -> Judgement {
        let responses = self.responses(Step::NoTransaction);
        let Some((came, _)) = responses.first() else {
            return match self.none_came() {
                judged if judged.verdict == Verdict::Fail => warn("it was taken, and nothing more was said"),
                judged => judged,
            };
        };
        match word(came) {
            (word, Some(RequestStatus::ErrorMessageFormatCorrupt)) => pass(format!("{STATUS}: {word}")),
            (word, Some(_)) => warn(format!("{STATUS}: {word}")),
            (word, None) => skip(format!("the status {word:?} is unknown, see P-14")),
        }
    }

    fn report(&self, id: &str, sent: &Sent) -> Judgement {
        let first = self.evidence.reports(Step::Report).next();
        let Some((came, report)) = first else {
            let seconds = self.plan.wait.as_secs();
            return skip(match id {
                "P-40" => {
                    format!("none came within {seconds} s; it depends on the subscriber opening the MM")
                }
                _ => "no report to judge, see P-40".into(),
            });
        };
        let (to, from, plan) = (&self.plan.to, &self.plan.from, self.plan_of_numbers());
        let status = came.shown("X-Mms-MM-Status-Code");
        match id {
            "P-40" => pass(format!("it came from {}", came.address)),
            "P-41" => {
                let is = |party: &Option<Party>, whom: &Party| {
                    party.as_ref().is_some_and(|p| is_same(p, whom, plan))
                };
                let words =
                    |name: &str| format!("{name}: {}", came.shown(name).unwrap_or("(missing)".into()));
                let seen = format!("{}; {}", words("From"), words("To"));
                let (recipient, originator) = (&report.recipient, &report.originator);
                match (is(recipient, to) && is(originator, from), is(recipient, from) && is(originator, to)) {
                    (true, _) => pass(seen),
                    (false, true) => fail(format!("From and To are exchanged: {seen}")),
                    (false, false) => fail(seen),
                }
            }
            "P-42" => echo("X-Mms-Message-ID", Some(&sent.message_id), came),
            "P-43" => match status {
                Some(word) if MmStatus::from_canonical(&word).is_some() => {
                    pass(format!("X-Mms-MM-Status-Code: {word}"))
                }
                Some(word) => fail(format!("X-Mms-MM-Status-Code: {word:?}")),
                None => fail("the report has no X-Mms-MM-Status-Code"),
            },
            _ => {
                let needed = ["X-Mms-3GPP-MMS-Version", "X-Mms-Transaction-ID", "Date", "Sender"];
                let lacks: Vec<&str> = needed.into_iter().filter(|n| came.field(n).is_none()).collect();
                match (lacks.is_empty(), &report.sender) {
                    (false, _) => fail(format!("lacks {}", lacks.join(", "))),
                    (true, Some(sender)) if sender.domain().is_some_and(|d| !self.plan.peer.owns(d)) => {
                        fail(format!("Sender: {sender} is in no domain of this peer"))
                    }
                    (true, _) => pass(format!("Sender: {}", came.shown("Sender").unwrap_or_default())),
                }
            }
        }
    }
}

/// A recipient by its number.
fn short(party: &Party) -> String {
    party.address.value()
}

fn text_of(response: &ForwardRes) -> String {
    response.status_text.as_ref().map_or(String::new(), |text| format!(" ({})", text.capped(120)))
}

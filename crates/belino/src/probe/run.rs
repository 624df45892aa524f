//! The run: takes the steps of a plan one after another and waits for what comes back.
//!
//! Owns: the order, the one wait at the end, and the few connections. Never knows: what an answer means.

use super::Plan;
use super::catalogue::Step;
use super::ear::Ear;
use super::evidence::Evidence;
use super::mail::{Prepared, prepare};
use super::talk::Talk;
use crate::clock::Clock;
use crate::config::HouseLimits;
use mms::{Party, Timestamp};

/// Who wants to know how far it is.
pub trait Watch {
    /// A step begins.
    fn begins(&mut self, step: Step);
    /// So many answers have come of those that are awaited.
    fn waits(&mut self, come: usize, awaited: usize, only_a_person: bool);
    /// Nothing more is waited for.
    fn ends(&mut self);
}

/// One run.
pub struct Run<'a, W> {
    /// What is asked.
    pub plan: &'a Plan,
    /// `host:port`, tried in this order.
    pub hosts: Vec<String>,
    /// What tells the time.
    pub clock: Clock,
    /// Deadlines.
    pub limits: HouseLimits,
    /// Where answers are heard; none for a run that sends no mail.
    pub ear: Option<Ear>,
    /// Who wants to know.
    pub watch: W,
    /// What was seen so far.
    pub evidence: Evidence,
}

impl<W: Watch> Run<'_, W> {
    /// Take all steps. Ends early when the peer cannot be reached at all.
    ///
    /// # Errors
    /// The relay stopped listening, or a bug of ours; what the peer does is evidence.
    pub async fn all(mut self) -> anyhow::Result<Evidence> {
        let (plan, began) = (self.plan, self.clock.now());
        let steps = plan.steps();
        let mut kept = None;
        for step in &steps {
            self.watch.begins(*step);
            match step {
                Step::Greeting => {
                    if !self.greeting().await {
                        self.watch.ends();
                        return Ok(self.evidence);
                    }
                }
                Step::Helo => self.helo().await,
                Step::Recipients => self.recipients().await,
                Step::Repeat => {
                    self.hear_all().await?;
                    self.evidence.before_repeat = Some(self.evidence.came.len());
                    self.mail(*step, began, None).await?;
                }
                // The next one goes over the same connection.
                Step::Absolute
                    if steps.contains(&Step::Relative) && !plan.link.one_message_per_connection =>
                {
                    kept = self.mail_over(*step, began, None).await?;
                }
                Step::Relative => {
                    let connection = kept.take();
                    self.mail(*step, began, connection).await?;
                }
                _ => self.mail(*step, began, None).await?,
            }
        }
        self.hear_all().await?;
        self.watch.ends();
        Ok(self.evidence)
    }

    /// A connection to the first host that answers; from then on to that one only.
    async fn open(&mut self) -> Result<Talk, String> {
        let mut trouble = Vec::new();
        for host in &self.hosts {
            match Talk::open(host, self.plan.link.source, &self.clock, &self.limits).await {
                Ok(talk) => {
                    self.evidence.host.clone_from(host);
                    self.hosts = vec![host.clone()];
                    return Ok(talk);
                }
                Err(why) => trouble.push(format!("{host}: {why}")),
            }
        }
        Err(if trouble.is_empty() { "no host is configured".into() } else { trouble.join("; ") })
    }

    /// A connection for a step, with its trouble noted if there is none.
    async fn connection(&mut self, step: Step) -> Option<Talk> {
        match self.open().await {
            Ok(talk) if talk.is_fine() => Some(talk),
            Ok(talk) => {
                self.evidence.dialogues.insert(step, talk.exchanges);
                None
            }
            Err(why) => {
                let exchange = super::evidence::Exchange {
                    what: "greeting",
                    sent: "(connect)".into(),
                    reply: Err(why),
                    lines: Vec::new(),
                };
                self.evidence.dialogues.insert(step, vec![exchange]);
                None
            }
        }
    }

    /// EHLO, or HELO where that is not understood.
    async fn hello(talk: &mut Talk, name: &str) -> bool {
        talk.say("ehlo", &format!("EHLO {name}")).await || talk.say("helo", &format!("HELO {name}")).await
    }

    async fn greeting(&mut self) -> bool {
        let Some(mut talk) = self.connection(Step::Greeting).await else { return false };
        let plan = self.plan;
        let name = &plan.host_name;
        if Self::hello(&mut talk, name).await {
            let verb = if talk.exchanges.iter().any(|e| e.what == "helo") { "HELO" } else { "EHLO" };
            talk.say("mail", &format!("MAIL FROM:<{}>", plan.mail_from())).await;
            talk.say("again", &format!("{verb} {name}")).await;
            talk.say("rcpt behind", &format!("RCPT TO:<{}>", plan.envelope(&plan.to))).await;
        }
        self.evidence.dialogues.insert(Step::Greeting, talk.quit().await);
        true
    }

    async fn helo(&mut self) {
        let Some(mut talk) = self.connection(Step::Helo).await else { return };
        let plan = self.plan;
        if talk.say("helo", &format!("HELO {}", plan.host_name)).await
            && talk.say("mail", &format!("MAIL FROM:<{}>", plan.mail_from())).await
        {
            talk.say("rcpt", &format!("RCPT TO:<{}>", plan.envelope(&plan.to))).await;
            talk.say("rset", "RSET").await;
        }
        self.evidence.dialogues.insert(Step::Helo, talk.quit().await);
    }

    async fn recipients(&mut self) {
        let Some(mut talk) = self.connection(Step::Recipients).await else { return };
        let plan = self.plan;
        if Self::hello(&mut talk, &plan.host_name).await
            && talk.say("mail", &format!("MAIL FROM:<{}>", plan.mail_from())).await
        {
            talk.say("rcpt", &format!("RCPT TO:<{}>", plan.envelope(&plan.to))).await;
            if let Some(unknown) = &plan.unknown {
                talk.say("rcpt unknown", &format!("RCPT TO:<{}>", plan.envelope(unknown))).await;
            }
            talk.say("noop", "NOOP").await;
            talk.say("rset", "RSET").await;
        }
        self.evidence.dialogues.insert(Step::Recipients, talk.quit().await);
    }

    async fn mail(&mut self, step: Step, began: Timestamp, over: Option<Talk>) -> anyhow::Result<()> {
        if let Some(talk) = self.mail_over(step, began, over).await? {
            let exchanges = talk.quit().await;
            self.evidence.dialogues.insert(step, exchanges);
        }
        Ok(())
    }

    /// Send the mail of a step, over a connection that was kept or a new one. Gives the connection back.
    async fn mail_over(
        &mut self,
        step: Step,
        began: Timestamp,
        over: Option<Talk>,
    ) -> anyhow::Result<Option<Talk>> {
        let Prepared { mut sent, wire_form } = prepare(self.plan, step, began)?;
        let talk = match over {
            Some(mut talk) => {
                // What was said for the mail before belongs to that one.
                let mut before = std::mem::take(&mut talk.exchanges);
                let kept = talk.say("noop", "NOOP").await && talk.say("rset", "RSET").await;
                if !kept {
                    before.append(&mut talk.exchanges);
                }
                self.evidence.dialogues.insert(Step::Absolute, before);
                kept.then_some(talk)
            }
            None => None,
        };
        let talk = match talk {
            Some(talk) => Some(talk),
            None => match self.connection(step).await {
                Some(mut talk) => Self::hello(&mut talk, &self.plan.host_name).await.then_some(talk),
                None => None,
            },
        };
        let Some(mut talk) = talk else {
            let last = self.evidence.dialogues.get(&step).and_then(|d| d.last());
            sent.taken = Err(format!("no connection: {}", last.map_or("it was lost".into(), |e| e.words())));
            self.evidence.sent.insert(step, sent);
            return Ok(None);
        };
        talk.say("mail", &format!("MAIL FROM:<{}>", self.plan.mail_from())).await;
        let mut ready = talk.is_fine();
        if ready {
            for (party, accepted) in &mut sent.recipients {
                *accepted = talk.say("rcpt", &format!("RCPT TO:<{}>", self.plan.envelope(party))).await;
            }
            ready = sent.recipients.iter().any(|(_, accepted)| *accepted) && talk.say("data", "DATA").await;
        }
        // Known before the end of content is sent: an answer may come at once.
        let refused = || talk.exchanges.last().map_or("no reply".into(), super::evidence::Exchange::words);
        sent.taken = if ready { Ok(()) } else { Err(refused()) };
        self.evidence.sent.insert(step, sent);
        if ready {
            let taken = talk.content(&wire_form).await;
            let words = talk.exchanges.last().map_or(String::new(), super::evidence::Exchange::words);
            if let Some(sent) = self.evidence.sent.get_mut(&step).filter(|_| !taken) {
                sent.taken = Err(words);
            }
        }
        self.evidence.dialogues.insert(step, talk.exchanges.clone());
        Ok(Some(talk))
    }

    /// Wait until everything that is awaited has come, but no longer than the plan says.
    async fn hear_all(&mut self) -> anyhow::Result<()> {
        let Some(mut ear) = self.ear.take() else { return Ok(()) };
        let (clock, plan) = (self.clock.clone(), self.plan);
        let waiting = async {
            loop {
                let open = self.open_answers();
                if open.is_empty() {
                    return Some(());
                }
                let only_a_person = open.iter().all(|step| *step == Step::Report);
                let awaited = self.evidence.sent.values().filter(|s| s.taken.is_ok()).count();
                self.watch.waits(awaited.saturating_sub(open.len()), awaited, only_a_person);
                let heard = ear.next().await?;
                self.evidence.hear(heard, &plan.token);
            }
        };
        // Silence of a peer that nobody listened to is no evidence.
        if clock.within(plan.wait, waiting).await == Some(None) {
            anyhow::bail!("the relay stopped while the probe listened through it: run it again");
        }
        // What has come by now is heard as well; nothing is waited for.
        while let Some(Some(heard)) = clock.within(std::time::Duration::ZERO, ear.next()).await {
            self.evidence.hear(heard, &plan.token);
        }
        self.ear = Some(ear);
        Ok(())
    }

    /// The steps whose mail was taken and that still wait for an answer. Silence is not waited for: by the time that later
    /// mails are answered it has lasted long enough.
    fn open_answers(&self) -> Vec<Step> {
        let repeated = self.evidence.before_repeat.is_some();
        let taken = self.evidence.sent.iter().filter(|(_, sent)| sent.taken.is_ok());
        let open = taken.filter(|(step, sent)| match step {
            Step::Unanswered => false,
            // The others were waited for before it left.
            step if repeated && **step != Step::Repeat => false,
            Step::Repeat => self.evidence.repeated().next().is_none(),
            Step::Report => {
                self.evidence.reports(**step).next().is_none() || self.unheard(**step, sent.recipients.iter())
            }
            _ => self.unheard(**step, sent.recipients.iter()),
        });
        open.map(|(step, _)| *step).collect()
    }

    /// Whether a recipient that was accepted has no response yet.
    fn unheard<'p>(&self, step: Step, mut recipients: impl Iterator<Item = &'p (Party, bool)>) -> bool {
        recipients.any(|(party, accepted)| {
            *accepted
                && !self
                    .evidence
                    .responses(step)
                    .any(|(_, r)| super::judge::is_about(r, party, &self.plan.peer.number_plan))
        })
    }
}

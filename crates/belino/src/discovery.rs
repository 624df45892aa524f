//! Discovery: where a number lives, and where the hosts of a domain are (TS 23.140 7.2, annexes G and H).
//!
//! Owns: the order of the sources (number-portability look-up, ENUM, static table) and what one of them in trouble means.
//! Never knows: subscribers, peers' profiles, queues; what becomes of an answer is decided in `relay`.
//!
//! It is asked by the originator Relay/Server alone. Only numbers in E.164 form leave the house, and only to the configured
//! sources. Nothing is kept on disk: after a restart everything is asked again.

mod cache;
pub mod dns;
pub mod hosts;
pub mod lookup;
pub mod mmse;
pub mod naptr;
pub mod realm;
pub mod substitution;
mod walk;

pub use hosts::HostTrouble;

use crate::clock::Clock;
use crate::config::DiscoveryConfig;
use dns::View;
use lookup::{Lookup, Said};
use mms::{Domain, MailPath, Number};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use walk::Known;

/// Something that may know where a number lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The HTTP service of the house.
    Lookup,
    /// The ENUM trees, in their order.
    Enum,
    /// The prefixes of the configuration.
    Static,
}

/// What a source in trouble means for the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnTrouble {
    /// Wait: another source could give an older answer.
    #[default]
    Later,
    /// Ask the next one.
    Next,
}

/// Where a number lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// At the MMSE of this path's domain, to be addressed by its local part in `RCPT TO`.
    Path(MailPath),
    /// At the MMSE of this domain.
    Domain(Domain),
    /// At this peer, by its name in the configuration.
    Peer(String),
    /// Here: a source says that it is ours.
    Here,
    /// Where the prefixes of the configuration say.
    Static,
    /// No source knows it.
    Nothing,
    /// A source could not tell now; ask again later.
    Later(String),
}

/// All sources together. It is asked from several tasks at once.
pub struct Discovery {
    config: DiscoveryConfig,
    clock: Clock,
    lookup: Option<Lookup>,
    /// One view for each set of resolvers that is configured somewhere.
    views: Mutex<HashMap<Vec<SocketAddr>, Arc<View>>>,
}

impl Discovery {
    /// The sources of a configuration. Nothing is asked yet.
    pub fn new(config: &DiscoveryConfig, clock: Clock) -> Self {
        let lookup = config
            .lookup
            .clone()
            .map(|l| Lookup::new(l, config.naming.clone(), config.cache_max, clock.clone()));
        Self { config: config.clone(), clock, lookup, views: Mutex::default() }
    }

    /// Where `number` lives, as a sender at `from` asks. The first source that knows it decides; `statically` tells whether
    /// the static table routes a number. Each step is told to `say`, in words for an operator.
    ///
    /// A number that is not in E.164 form is looked for in the static table only.
    pub async fn find(
        &self,
        number: &Number,
        from: Option<&Number>,
        statically: &(dyn Fn(&Number) -> bool + Sync),
        say: &mut Vec<String>,
    ) -> Found {
        let mut trouble = None;
        for source in &self.config.order {
            if *source != Source::Static && !number.is_international() {
                say.push(format!("{number} is not in E.164 form: {source:?} is not asked"));
                continue;
            }
            let told = match source {
                Source::Static if statically(number) => {
                    say.push(format!("static: the table knows {number}"));
                    Ok(Found::Static)
                }
                Source::Static => {
                    say.push(format!("static: the table does not know {number}"));
                    Ok(Found::Nothing)
                }
                Source::Lookup => self.ask_lookup(number, from, say).await,
                Source::Enum => self.ask_trees(number, say).await,
            };
            match told {
                Ok(Found::Nothing) => {}
                Ok(found) => return self.home(found, say),
                Err(why) if self.config.on_trouble == OnTrouble::Later => return Found::Later(why),
                Err(why) => {
                    say.push("on_trouble is \"next\": going on".to_owned());
                    trouble = trouble.or(Some(why));
                }
            }
        }
        // Whoever could not tell may yet know it: that is not the same as nobody knowing it.
        trouble.map_or(Found::Nothing, Found::Later)
    }

    /// The addresses of a domain's mail hosts, in the order in which to try them. `resolvers` are asked, or those of the
    /// configuration where none are given.
    ///
    /// # Errors
    /// There is no address for us: for ever, or for now.
    pub async fn hosts(
        &self,
        domain: &Domain,
        port: u16,
        resolvers: &[SocketAddr],
    ) -> Result<Vec<SocketAddr>, HostTrouble> {
        self.hosts_shown(domain, port, resolvers, &mut Vec::new()).await
    }

    /// The same, with each step told to `say`.
    ///
    /// # Errors
    /// As for [`Self::hosts`].
    pub async fn hosts_shown(
        &self,
        domain: &Domain,
        port: u16,
        resolvers: &[SocketAddr],
        say: &mut Vec<String>,
    ) -> Result<Vec<SocketAddr>, HostTrouble> {
        let view = self.view(if resolvers.is_empty() { &self.config.resolvers } else { resolvers });
        hosts::hosts(&view, domain, port, &self.config.ourselves, crate::entropy(), say).await
    }

    async fn ask_lookup(
        &self,
        number: &Number,
        from: Option<&Number>,
        say: &mut Vec<String>,
    ) -> Result<Found, String> {
        let Some(lookup) = &self.lookup else { return Ok(Found::Nothing) };
        Ok(match lookup.ask(number, from, say).await? {
            Said::Peer(name) => Found::Peer(name),
            Said::Domain(domain) => Found::Domain(domain),
            Said::Here => Found::Here,
            Said::NotFound => Found::Nothing,
        })
    }

    async fn ask_trees(&self, number: &Number, say: &mut Vec<String>) -> Result<Found, String> {
        let view = self.view(&self.config.resolvers);
        for apex in &self.config.enum_apexes {
            match walk::walk(&view, number, apex, &self.config.rules, say).await {
                Known::Path(path) => return Ok(Found::Path(path)),
                Known::Nothing => {}
                Known::Trouble(why) => return Err(why),
            }
        }
        Ok(Found::Nothing)
    }

    /// A domain of ours means here.
    fn home(&self, found: Found, say: &mut Vec<String>) -> Found {
        let domain = match &found {
            Found::Path(path) => path.domain(),
            Found::Domain(domain) => Some(domain),
            _ => None,
        };
        match domain.filter(|d| self.config.domains.contains(d)) {
            Some(domain) => {
                say.push(format!("{domain} is our own"));
                Found::Here
            }
            None => found,
        }
    }

    fn view(&self, resolvers: &[SocketAddr]) -> Arc<View> {
        // A panic elsewhere leaves the map as it was.
        let mut views = self.views.lock().unwrap_or_else(PoisonError::into_inner);
        let made = || {
            let (timeout, most) = (self.config.timeout, self.config.cache_max);
            Arc::new(View::new(resolvers, timeout, most, self.clock.clone()))
        };
        views.entry(resolvers.to_vec()).or_insert_with(made).clone()
    }
}

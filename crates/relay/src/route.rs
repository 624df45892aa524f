//! Routing: from a recipient's address to who carries the MM on (TS 23.140 7.2).
//!
//! Owns: longest-prefix choice between local users and peers, and its explanation. Never knows: hosts, DNS.

use crate::house::{Dock, House, Local, Peer, PeerName};
use crate::verdict::Reason;
use mms::{Address, Domain, Party};

/// Where a recipient's MM goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// To a user of ours.
    Local(Dock),
    /// To another Relay/Server.
    Peer(PeerName),
    /// Nowhere.
    Nowhere(Reason),
}

/// A route and the steps that led to it, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// Where it goes.
    pub route: Route,
    /// Each rule looked at and what it said.
    pub steps: Vec<String>,
}

enum Owner<'a> {
    Local(&'a Local),
    Peer(&'a Peer),
}

/// The longest of these prefixes that the digits begin with, unless a longer denied one matches too.
fn longest<'a>(digits: &str, prefixes: &'a [String], deny: &[String]) -> Option<&'a str> {
    let fits = |p: &&String| digits.starts_with(p.as_str());
    let best = prefixes.iter().filter(fits).max_by_key(|p| p.len())?;
    match deny.iter().filter(fits).max_by_key(|p| p.len()) {
        Some(denied) if denied.len() >= best.len() => None,
        _ => Some(best),
    }
}

impl House {
    /// The short code of ours that an address is, and who has it. At our own domain an alphanumeric one looks like mail.
    fn code<'a>(&'a self, address: &'a Address) -> Option<(&'a str, &'a Local)> {
        let code = match address {
            Address::ShortCode(code) | Address::AlphaCode(code) => code,
            Address::Email { local, domain } if self.domains.contains(domain) => local,
            _ => return None,
        };
        self.locals.iter().find(|local| local.codes.contains(code)).map(|local| (code.as_str(), local))
    }

    /// Whether an address is a short code, ours or not.
    pub(crate) fn is_code(&self, address: &Address) -> bool {
        matches!(address, Address::ShortCode(_) | Address::AlphaCode(_)) || self.code(address).is_some()
    }

    /// Where an MM for this recipient goes. A number must be in E.164 already ([`House::normalised`]).
    pub fn route(&self, party: &Party) -> Route {
        self.decide_route(party, &mut |_| ())
    }

    /// The same, told step by step.
    pub fn explain(&self, party: &Party) -> Explained {
        let mut steps = Vec::new();
        let route = self.decide_route(party, &mut |step| steps.push(step()));
        Explained { route, steps }
    }

    fn decide_route(&self, party: &Party, say: &mut dyn FnMut(&dyn Fn() -> String)) -> Route {
        if let Some((code, local)) = self.code(&party.address) {
            say(&|| format!("{code} is a code of ours"));
            return match local.available {
                true => Route::Local(local.dock.clone()),
                false => Route::Nowhere(Reason::Unavailable),
            };
        }
        match &party.address {
            Address::Plmn(number) if number.is_international() => {
                say(&|| {
                    format!("{number} is an international number: the longest configured prefix decides")
                });
                self.route_digits(number.digits(), &party.address, say)
            }
            Address::Plmn(number) => {
                say(&|| {
                    format!("{number} is not in international form and no number plan could complete it")
                });
                Route::Nowhere(Reason::NotServed)
            }
            Address::Email { domain, .. } => self.route_domain(domain, say),
            Address::ShortCode(code) | Address::AlphaCode(code) => {
                say(&|| format!("{code} is no code of ours, and codes mean nothing elsewhere"));
                Route::Nowhere(Reason::NotServed)
            }
            Address::Ipv4(_) | Address::Ipv6(_) => {
                say(&|| format!("no route for addresses of kind {}", party.address.kind()));
                Route::Nowhere(Reason::NotServed)
            }
        }
    }

    fn route_digits(
        &self,
        digits: &str,
        address: &Address,
        say: &mut dyn FnMut(&dyn Fn() -> String),
    ) -> Route {
        let locals = self.locals.iter().filter_map(|local| {
            let prefix = longest(digits, &local.prefixes, &[])?;
            Some((prefix.len(), 1, Owner::Local(local)))
        });
        let peers = self.peers.iter().filter_map(|peer| {
            let prefix = longest(digits, &peer.prefixes, &peer.deny)?;
            Some((prefix.len(), 0, Owner::Peer(peer)))
        });
        // A number that is named as a subscriber is ours even outside our prefixes (ported in).
        let ported_in = self.locals.iter().find(|local| {
            address.number().is_some_and(|n| local.subscribers.as_ref().is_some_and(|s| s.contains(n)))
        });
        if let Some(local) = ported_in {
            say(&|| "listed as a subscriber here".to_owned());
            return self.local_route(local, address, say);
        }
        let best = locals.chain(peers).max_by_key(|(len, ours, _)| (*len, *ours));
        match best {
            Some((len, _, Owner::Local(local))) => {
                say(&|| format!("prefix +{} is served here", &digits[..len]));
                self.local_route(local, address, say)
            }
            Some((len, _, Owner::Peer(peer))) => {
                say(&|| format!("prefix +{} is served by peer {}", &digits[..len], peer.name));
                Route::Peer(peer.name.clone())
            }
            None => {
                say(&|| "no prefix of ours or of a peer matches".to_owned());
                Route::Nowhere(Reason::NoRoute)
            }
        }
    }

    fn local_route(
        &self,
        local: &Local,
        address: &Address,
        say: &mut dyn FnMut(&dyn Fn() -> String),
    ) -> Route {
        let Some(number) = address.number() else { return Route::Nowhere(Reason::NotServed) };
        if local.barred.contains(number) {
            say(&|| "barred here".to_owned());
            return Route::Nowhere(Reason::Barred);
        }
        if local.subscribers.as_ref().is_some_and(|s| !s.contains(number)) {
            say(&|| "not among the subscribers listed for it".to_owned());
            return Route::Nowhere(Reason::NotServed);
        }
        if !local.available {
            say(&|| "out of service by configuration".to_owned());
            return Route::Nowhere(Reason::Unavailable);
        }
        say(&|| match &local.dock {
            Dock::Mailbox => "goes to the mailbox".to_owned(),
            Dock::Hook(hook) => format!("goes to webhook {hook}"),
        });
        Route::Local(local.dock.clone())
    }

    fn route_domain(&self, domain: &Domain, say: &mut dyn FnMut(&dyn Fn() -> String)) -> Route {
        if self.domains.contains(domain) {
            // It resolves to us, but we know no such user: it fails here instead of going round (no loop).
            say(&|| format!("domain {domain} is ours and has no such user"));
            return Route::Nowhere(Reason::NotServed);
        }
        match self.peers.iter().find(|p| p.owns(domain)) {
            Some(peer) => {
                say(&|| format!("domain {domain} belongs to peer {}", peer.name));
                Route::Peer(peer.name.clone())
            }
            None => {
                say(&|| {
                    format!("domain {domain} belongs to no MM4 peer; ordinary e-mail (MM3) is not offered")
                });
                Route::Nowhere(Reason::NoRoute)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{house, party};

    fn route(text: &str) -> Route {
        house().route(&party(text))
    }

    fn to(peer: &str) -> Route {
        Route::Peer(PeerName::new(peer))
    }

    #[test]
    fn a_06_mail_address_at_a_peers_domain_goes_to_that_peer() {
        assert_eq!(route("bob@mms.b.example"), to("b"));
    }

    #[test]
    fn a_05_mail_address_elsewhere_is_not_mm4() {
        assert_eq!(route("bob@elsewhere.example"), Route::Nowhere(Reason::NoRoute));
        assert_eq!(route("bob@mms.a.example"), Route::Nowhere(Reason::NotServed));
    }

    #[test]
    fn a_07_the_longest_prefix_wins() {
        let mut house = house();
        house.peers[1].prefixes = vec!["1202555".into()];
        assert_eq!(house.route(&party("+12025550110")), to("b"));
        assert_eq!(house.route(&party("+12025550190")), to("c"));
        assert_eq!(house.route(&party("+12025550100")), Route::Local(Dock::Mailbox));
    }

    #[test]
    fn a_08_a_denied_prefix_is_not_routed_there() {
        let mut house = house();
        house.peers[0].deny = vec!["12025550115".into()];
        assert_eq!(house.route(&party("+12025550115")), Route::Nowhere(Reason::NoRoute));
        assert_eq!(house.route(&party("+12025550116")), to("b"));
    }

    #[test]
    fn a_09_no_prefix_no_route() {
        assert_eq!(route("+19995550100"), Route::Nowhere(Reason::NoRoute));
        assert_eq!(route("4455"), Route::Nowhere(Reason::NotServed));
        assert!(!house().explain(&party("+19995550100")).steps.is_empty());
    }

    /// a subscriber is ours outside our prefixes too; within them only subscribers are, and barred ones are told
    /// apart.
    #[test]
    fn subscribers_and_barred_numbers_are_told_apart() {
        let mut house = house();
        house.locals[0].subscribers =
            Some([party("+12025550100"), party("+447700900100")].map(number).into());
        house.locals[0].barred = [party("+12025550100")].map(number).into();
        assert_eq!(house.route(&party("+12025550101")), Route::Nowhere(Reason::NotServed));
        assert_eq!(house.route(&party("+12025550100")), Route::Nowhere(Reason::Barred));
        assert_eq!(house.route(&party("+447700900100")), Route::Local(Dock::Mailbox), "ported in");
    }

    fn number(party: Party) -> mms::Number {
        party.address.number().unwrap().clone()
    }
}

//! From a domain to the addresses of its hosts: RFC 5321 5, RFC 7505.

use crate::world::*;
use belino::discovery::HostTrouble;
use hickory_server::proto::op::ResponseCode;
use std::net::SocketAddr;

fn addresses(list: &[&str]) -> Vec<SocketAddr> {
    list.iter().map(|a| a.parse().unwrap()).collect()
}

async fn hosts(house: &House, domain: &str) -> Result<Vec<SocketAddr>, HostTrouble> {
    house.discovery.hosts(&domain.parse().unwrap(), 25, &[]).await
}

async fn house(zone: Zone) -> (Dns, House) {
    let dns = Dns::start([zone]).await;
    let house = House::new(&format!("resolvers = [\"{}\"]", dns.address));
    (dns, house)
}

fn never(outcome: Result<Vec<SocketAddr>, HostTrouble>) -> String {
    match outcome {
        Err(HostTrouble::Never(why)) => why,
        other => panic!("{other:?}"),
    }
}

fn later(outcome: Result<Vec<SocketAddr>, HostTrouble>) -> String {
    match outcome {
        Err(HostTrouble::Later(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn exchangers_are_tried_by_preference_with_all_their_addresses() {
    let (_dns, house) = house(
        Zone::new("b.example")
            .mx("mms.b.example", 20, "second.b.example")
            .mx("mms.b.example", 10, "first.b.example")
            .a("first.b.example", [192, 0, 2, 11])
            .aaaa("first.b.example", 0x11)
            .a("second.b.example", [192, 0, 2, 22]),
    )
    .await;
    let found = hosts(&house, "mms.b.example").await.unwrap();
    assert_eq!(found, addresses(&["192.0.2.11:25", "[2001:db8::11]:25", "192.0.2.22:25"]));
    let other = house.discovery.hosts(&"mms.b.example".parse().unwrap(), 2525, &[]).await.unwrap();
    assert_eq!(other[0].port(), 2525);
}

#[tokio::test]
async fn equal_exchangers_share_the_load() {
    let (dns, house) = house(
        Zone::new("b.example")
            .mx("b.example", 10, "one.b.example")
            .mx("b.example", 10, "two.b.example")
            .a("one.b.example", [192, 0, 2, 11])
            .a("two.b.example", [192, 0, 2, 12]),
    )
    .await;
    let mut firsts = std::collections::BTreeSet::new();
    // The chance that one of them never comes first is 2^-99.
    for _ in 0..100 {
        firsts.insert(hosts(&house, "b.example").await.unwrap()[0]);
    }
    assert_eq!(firsts.len(), 2);
    // MX once, and A and AAAA of each: the rest is remembered.
    assert_eq!(dns.asked.count(), 5);
}

#[tokio::test]
async fn a_27_mail_that_comes_to_ourselves_is_not_carried() {
    let zone = Zone::new("b.example")
        .mx("name.b.example", 10, "MX.a.example")
        .mx("address.b.example", 10, "odd.b.example")
        .a("odd.b.example", [192, 0, 2, 1])
        .a("direct.b.example", [192, 0, 2, 1])
        .a("better.b.example", [192, 0, 2, 50])
        .mx("some.b.example", 10, "better.b.example")
        .mx("some.b.example", 20, "odd.b.example")
        .mx("some.b.example", 20, "equal.b.example")
        .mx("some.b.example", 30, "worse.b.example")
        .a("equal.b.example", [192, 0, 2, 51])
        .a("worse.b.example", [192, 0, 2, 52]);
    let (_dns, house) = house(zone).await;
    for domain in ["name.b.example", "address.b.example", "direct.b.example"] {
        assert!(never(hosts(&house, domain).await).contains("loop"), "{domain}");
    }
    // What is no better than we are would come back to us.
    assert_eq!(hosts(&house, "some.b.example").await.unwrap(), addresses(&["192.0.2.50:25"]));
    // At another port it is somebody else.
    let other = house.discovery.hosts(&"direct.b.example".parse().unwrap(), 26, &[]).await.unwrap();
    assert_eq!(other, addresses(&["192.0.2.1:26"]));
}

#[tokio::test]
async fn a_27_our_own_domain_without_exchangers_is_ourselves() {
    let (_dns, house) = house(Zone::new("a.example").a("mms.a.example", [192, 0, 2, 77])).await;
    assert!(never(hosts(&house, "mms.a.example").await).contains("loop"));
}

#[tokio::test]
async fn a_28_an_empty_exchanger_takes_no_mail() {
    let (_dns, house) =
        house(Zone::new("b.example").mx("b.example", 0, ".").a("b.example", [192, 0, 2, 9])).await;
    assert!(never(hosts(&house, "b.example").await).contains("RFC 7505"));
}

#[tokio::test]
async fn a_29_without_exchangers_the_addresses_count_also_ipv6_alone() {
    let (_dns, house) =
        house(Zone::new("b.example").aaaa("mms.b.example", 0x29).a("both.b.example", [192, 0, 2, 9])).await;
    assert_eq!(hosts(&house, "mms.b.example").await.unwrap(), addresses(&["[2001:db8::29]:25"]));
    assert_eq!(hosts(&house, "both.b.example").await.unwrap(), addresses(&["192.0.2.9:25"]));
}

#[tokio::test]
async fn exchangers_that_cannot_be_used_do_not_bring_back_the_domains_own_addresses() {
    let (_dns, house) =
        house(Zone::new("b.example").mx("b.example", 10, "gone.b.example").a("b.example", [192, 0, 2, 9]))
            .await;
    assert!(never(hosts(&house, "b.example").await).contains("no mail exchanger"));
    assert!(never(hosts(&house, "gone.b.example").await).contains("no address"));
}

#[tokio::test]
async fn aliases_are_followed() {
    let (dns, house) = house(
        Zone::new("b.example")
            .alias("mms.b.example", "real.b.example")
            .mx("real.b.example", 10, "mx.b.example")
            .alias("mx.b.example", "host.b.example")
            .a("host.b.example", [192, 0, 2, 9]),
    )
    .await;
    assert_eq!(hosts(&house, "mms.b.example").await.unwrap(), addresses(&["192.0.2.9:25"]));
    let before = dns.asked.count();
    hosts(&house, "mms.b.example").await.unwrap();
    assert_eq!(dns.asked.count(), before);
}

#[tokio::test]
async fn trouble_with_the_dns_passes() {
    let dns = OddDns::start(Odd::Code(ResponseCode::ServFail)).await;
    let house = House::new(&format!("resolvers = [\"{}\"]", dns.address));
    assert!(later(hosts(&house, "mms.b.example").await).contains("MX of mms.b.example"));
    // One exchanger in a zone of ours, the other where this server refuses to look.
    let (_dns, house) = self::house(
        Zone::new("b.example")
            .mx("b.example", 10, "mx.elsewhere.example")
            .mx("both.b.example", 10, "mx.elsewhere.example")
            .mx("both.b.example", 20, "mx.b.example")
            .a("mx.b.example", [192, 0, 2, 9]),
    )
    .await;
    assert!(later(hosts(&house, "b.example").await).contains("mx.elsewhere.example"));
    assert_eq!(hosts(&house, "both.b.example").await.unwrap(), addresses(&["192.0.2.9:25"]));
}

#[tokio::test]
async fn each_view_of_the_dns_has_its_own_answers() {
    let zone = |last| Zone::new("mnc006.mcc260.gprs").a("mms.mnc006.mcc260.gprs", [192, 0, 2, last]);
    let one = Dns::start([zone(1)]).await;
    let two = Dns::start([zone(2)]).await;
    let house = House::new(&format!("resolvers = [\"{}\"]", one.address));
    let domain = "mms.mnc006.mcc260.gprs".parse().unwrap();
    // 192.0.2.1:25 is where this house listens, so another port.
    let found = house.discovery.hosts(&domain, 2525, &[]).await.unwrap();
    assert_eq!(found, addresses(&["192.0.2.1:2525"]));
    let found = house.discovery.hosts(&domain, 2525, &[two.address]).await.unwrap();
    assert_eq!(found, addresses(&["192.0.2.2:2525"]));
}

#[tokio::test]
async fn a_32_a_private_name_is_never_asked_of_the_systems_resolvers() {
    let house = House::new("");
    let mut said = Vec::new();
    let domain = "mms.mnc006.mcc260.gprs".parse().unwrap();
    let outcome = house.discovery.hosts_shown(&domain, 25, &[], &mut said).await;
    assert!(later(outcome).contains("known to the private DNS alone"), "{said:?}");
}

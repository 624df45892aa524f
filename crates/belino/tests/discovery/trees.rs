//! ENUM: TS 23.140 annex G, RFC 6116.

use crate::world::*;
use belino::discovery::Found;
use hickory_server::net::xfer::Protocol;
use hickory_server::proto::op::ResponseCode;
use std::time::Duration;

const MMS: [&str; 3] = ["u", "E2U+mms:mailto", TO_B];

/// What gives the mailbox of another MMSE.
fn to(domain: &str) -> String {
    format!(r"!^(.*)$!mailto:\1/TYPE=PLMN@{domain}!")
}

#[tokio::test]
async fn a_10_a_16_the_number_is_asked_for_reversed_and_put_into_the_mailbox() {
    let dns = Dns::with([(100, 10, MMS)]).await;
    let house = House::asking(dns.address, "");
    assert_eq!(house.find(&number()).await, at_b());
    assert_eq!(dns.asked.names(), [NAME]);
    assert!(house.told(NAME) && house.told("used, it gives +441632960083/TYPE=PLMN@mms.b.example"));
}

#[tokio::test]
async fn a_11_spelling_of_service_and_flag_does_not_matter() {
    let dns = Dns::with([(100, 10, ["U", "E2U+MMS:mailto", TO_B])]).await;
    assert_eq!(House::asking(dns.address, "").find(&number()).await, at_b());
}

#[tokio::test]
async fn a_12_the_obsolete_order_is_taken_only_if_wanted() {
    let dns = Dns::with([(100, 10, ["u", "mms+E2U", TO_B])]).await;
    let house = House::asking(dns.address, "");
    assert_eq!(house.find(&number()).await, Found::Nothing);
    assert!(house.told("enum_legacy is off"));
    assert_eq!(House::asking(dns.address, "enum_legacy = true").find(&number()).await, at_b());
}

#[tokio::test]
async fn a_13_a_compound_service_serves_each_of_its_parts() {
    let dns = Dns::with([(100, 10, ["u", "E2U+sms:tel+mms:mailto", TO_B])]).await;
    assert_eq!(House::asking(dns.address, "").find(&number()).await, at_b());
}

#[tokio::test]
async fn a_14_lowest_order_then_lowest_preference() {
    let [c, d, e] = ["mms.c.example", "mms.d.example", "mms.e.example"].map(to);
    let mms = |regexp| ["u", "E2U+mms:mailto", regexp];
    let zone = Zone::new("e164.arpa")
        .naptr(NAME, 200, 1, mms(&c))
        .naptr(NAME, 100, 50, mms(&d))
        .naptr(NAME, 100, 10, MMS)
        .naptr(NAME, 200, 0, mms(&e));
    let dns = Dns::start([zone]).await;
    assert_eq!(House::asking(dns.address, "").find(&number()).await, at_b());
}

#[tokio::test]
async fn a_15_a_17_a_record_that_cannot_be_used_is_passed_over() {
    let dns = Dns::with([
        (1, 1, ["s", "E2U+mms:mailto", TO_B]),
        (1, 2, ["u", "E2U+email:mailto", r"!^(.*)$!mailto:\1@mail.example!"]),
        (1, 3, ["u", "E2U+mms:mailto", r"!^\+1202(.*)$!mailto:\1@mms.c.example!"]),
        (1, 4, ["u", "E2U+mms:mailto", "!(!"]),
        (1, 5, ["u", "E2U+mms:mailto", r"!^(.*)$!mailto:\1@[192.0.2.9]!"]),
        (9, 1, MMS),
    ])
    .await;
    let house = House::asking(dns.address, "");
    assert_eq!(house.find(&number()).await, at_b());
    for why in ["flag \"s\" is not known", "is not MMS", "does not match", "needs three", "no domain name"] {
        assert!(house.told(why), "{why}");
    }
}

#[tokio::test]
async fn a_record_with_both_uri_and_next_name_is_passed_over() {
    let zone = Zone::new("e164.arpa").record(NAME, naptr(1, 1, MMS, "np.example"));
    let dns = Dns::start([zone]).await;
    assert_eq!(House::asking(dns.address, "").find(&number()).await, Found::Nothing);
    assert_eq!(dns.asked.names(), [NAME]);
}

#[tokio::test]
async fn a_18_any_delimiter() {
    for regexp in [
        r"#^(.*)$#mailto:\1/TYPE=PLMN@mms.b.example#",
        r"!^(.*)$!mailto:\1/TYPE=PLMN@mms.b.example!i",
        r"=^\+(.*)$=mailto:+\1/TYPE\=PLMN@mms.b.example=",
    ] {
        let dns = Dns::with([(100, 10, ["u", "E2U+mms:mailto", regexp])]).await;
        assert_eq!(House::asking(dns.address, "").find(&number()).await, at_b(), "{regexp}");
    }
}

#[tokio::test]
async fn a_19_a_chain_is_followed_so_far_and_never_in_a_circle() {
    let chain = |steps: u32| {
        let mut zone = Zone::new("np.example").naptr(&format!("{steps}.np.example"), 1, 1, MMS);
        for step in 1..steps {
            zone = zone.onward(&format!("{step}.np.example"), 1, &format!("{}.np.example", step + 1));
        }
        [Zone::new("e164.arpa").onward(NAME, 1, "1.np.example"), zone]
    };
    for (steps, found) in [(2, at_b()), (5, at_b()), (6, Found::Static)] {
        let dns = Dns::start(chain(steps)).await;
        let house = House::asking(dns.address, "").with_table();
        assert_eq!(house.find(&number()).await, found, "{steps}");
        assert_eq!(dns.asked.count() as u32, steps.min(5) + 1);
    }

    let circle =
        Zone::new("np.example").onward("1.np.example", 1, "2.np.example").onward("2.np.example", 1, NAME);
    let dns = Dns::start([Zone::new("e164.arpa").onward(NAME, 1, "1.np.example"), circle]).await;
    let house = House::asking(dns.address, "").with_table();
    assert_eq!(house.find(&number()).await, Found::Static);
    assert_eq!(dns.asked.count(), 3);
    assert!(house.told("where we were"));
}

#[tokio::test]
async fn a_19_after_a_dead_end_the_next_record_of_the_set_before_counts() {
    let e164 = Zone::new("e164.arpa")
        .onward(NAME, 1, "nowhere.np.example")
        .onward(NAME, 2, "refused.example")
        .naptr(NAME, 3, 1, MMS);
    let dns = Dns::start([e164, Zone::new("np.example")]).await;
    let house = House::asking(dns.address, "").with_table();
    assert_eq!(house.find(&number()).await, at_b());
    assert!(house.told("NAPTR of refused.example: trouble"), "{:?}", house.said);
}

#[tokio::test]
async fn a_19_a_wide_tree_costs_a_bounded_number_of_questions() {
    let mut e164 = Zone::new("e164.arpa");
    for n in 0..80 {
        e164 = e164.onward(NAME, n, &format!("{n}.np.example"));
    }
    let dns = Dns::start([e164, Zone::new("np.example")]).await;
    assert_eq!(House::asking(dns.address, "").find(&number()).await, Found::Nothing);
    let names: std::collections::BTreeSet<_> = dns.asked.names().into_iter().collect();
    assert_eq!(names.len(), 30);
}

#[tokio::test]
async fn a_19_a_tree_in_trouble_is_given_up_for_now() {
    let mut e164 = Zone::new("e164.arpa");
    for n in 0..10 {
        e164 = e164.onward(NAME, n, &format!("{n}.refused.example"));
    }
    let dns = Dns::start([e164.naptr(NAME, 99, 1, MMS)]).await;
    let house = House::asking(dns.address, "");
    assert!(matches!(house.find(&number()).await, Found::Later(why) if why.contains("0.refused.example")));
    let names: std::collections::BTreeSet<_> = dns.asked.names().into_iter().collect();
    assert_eq!(names.len(), 4);
}

#[tokio::test]
async fn a_20_a_number_that_takes_mms_somewhere_is_left_to_the_next_source() {
    let dns = Dns::with([(100, 10, ["u", "E2U+mms:tel", r"!^(.*)$!tel:\1!"])]).await;
    let house = House::asking(dns.address, "").with_table();
    assert_eq!(house.find(&number()).await, Found::Static);
    assert!(house.told("the number takes MMS"));
}

#[tokio::test]
async fn a_21_a_name_that_does_not_exist_or_is_empty_is_left_to_the_next_source() {
    let missing = Dns::start([Zone::new("e164.arpa")]).await;
    let empty = Dns::start([Zone::new("e164.arpa").a(NAME, [192, 0, 2, 9])]).await;
    for (dns, why) in [(missing, "the name does not exist"), (empty, "no such records")] {
        let house = House::asking(dns.address, "").with_table();
        assert_eq!(house.find(&number()).await, Found::Static, "{why}");
        assert!(house.told(why), "{why}: {:?}", house.said);
        assert_eq!(House::asking(dns.address, "").find(&number()).await, Found::Nothing);
    }
}

#[tokio::test]
async fn a_21_trouble_is_not_the_same_as_not_found() {
    for (odd, why) in [
        (Odd::Code(ResponseCode::ServFail), "Server Failure"),
        (Odd::Code(ResponseCode::Refused), "Refused"),
        (Odd::Refers, "refers us"),
    ] {
        let dns = OddDns::start(odd).await;
        let house = House::asking(dns.address, "").with_table();
        match house.find(&number()).await {
            Found::Later(text) => assert!(text.contains(why) && text.contains(NAME), "{odd:?}: {text}"),
            other => panic!("{odd:?}: {other:?}"),
        }
        let house = House::asking(dns.address, "on_trouble = \"next\"").with_table();
        assert_eq!(house.find(&number()).await, Found::Static, "{odd:?}");
        // Nobody else knows it; that does not make the one in trouble know nothing.
        let house = House::asking(dns.address, "on_trouble = \"next\"");
        assert!(matches!(house.find(&number()).await, Found::Later(_)), "{odd:?}");
        dns.stop();
    }
}

#[tokio::test]
async fn a_21_silence_is_trouble_when_its_time_is_over() {
    let dns = OddDns::start(Odd::Silent).await;
    let house = House::asking(dns.address, "timeout = \"1h\"").with_table();
    let turn = async {
        dns.asked.first().await;
        house.advance(3600);
    };
    let (found, ()) = tokio::join!(async { house.find(&number()).await }, turn);
    assert!(matches!(&found, Found::Later(why) if why.contains("no answer")), "{found:?}");
}

#[tokio::test]
async fn a_21_a_resolver_that_is_not_there_is_trouble_and_the_second_is_asked() {
    let gone = OddDns::start(Odd::Silent).await;
    let nobody = gone.address;
    gone.stop();
    let house = House::asking(nobody, "timeout = \"200ms\"");
    assert!(matches!(house.find(&number()).await, Found::Later(_)));

    let broken = OddDns::start(Odd::Code(ResponseCode::ServFail)).await;
    let dns = Dns::with([(100, 10, MMS)]).await;
    let house = House::new(&format!(
        "enum_apexes = [\"e164.arpa\"]\nresolvers = [\"{}\", \"{}\"]",
        broken.address, dns.address
    ));
    assert_eq!(house.find(&number()).await, at_b());
}

#[tokio::test]
async fn a_22_a_truncated_answer_is_fetched_over_tcp() {
    let dns = OddDns::start(Odd::Truncates).await;
    assert_eq!(House::asking(dns.address, "").find(&number()).await, at_b());
    assert_eq!((dns.asked.over(Protocol::Udp), dns.asked.over(Protocol::Tcp)), (1, 1));

    // And from a server that truncates because it must: 60 records are more than a datagram holds.
    let mut zone = Zone::new("e164.arpa").naptr(NAME, 900, 1, MMS);
    for n in 0..60 {
        zone = zone.naptr(
            NAME,
            n,
            1,
            ["u", "E2U+sip", &format!("!^.*$!sip:{n}@{}.example!", "long".repeat(10))],
        );
    }
    let dns = Dns::start([zone]).await;
    assert_eq!(House::asking(dns.address, "").find(&number()).await, at_b());
    assert!(dns.asked.over(Protocol::Tcp) == 1, "{:?}", dns.asked.names());
}

#[tokio::test]
async fn a_23_the_mailbox_is_decoded() {
    let regexp = "!^.*$!mailto:%2B441632960083/TYPE%3DPLMN@mms.b.example!";
    let dns = Dns::with([(100, 10, ["u", "E2U+mms:mailto", regexp])]).await;
    assert_eq!(House::asking(dns.address, "").find(&number()).await, at_b());
}

#[tokio::test]
async fn a_24_an_answer_is_remembered_for_its_time_to_live() {
    let dns = Dns::with([(100, 10, MMS)]).await;
    let house = House::asking(dns.address, "");
    assert_eq!(house.find(&number()).await, at_b());
    house.advance(59);
    assert_eq!(house.find(&number()).await, at_b());
    assert_eq!(dns.asked.count(), 1);
    assert!(house.told("remembered for 1 s"));
    house.advance(1);
    assert_eq!(house.find(&number()).await, at_b());
    assert_eq!(dns.asked.count(), 2);
}

#[tokio::test]
async fn a_24_that_there_is_nothing_is_remembered_as_the_zone_says() {
    let dns = Dns::start([Zone::new("e164.arpa")]).await;
    let house = House::asking(dns.address, "");
    for (seconds, questions) in [(0, 1), (29, 1), (1, 2)] {
        house.advance(seconds);
        assert_eq!(house.find(&number()).await, Found::Nothing);
        assert_eq!(dns.asked.count(), questions, "{seconds}");
    }

    // Without a SOA nothing says how long (RFC 2308 5).
    let dns = OddDns::start(Odd::DeniesBarely).await;
    let house = House::asking(dns.address, "");
    for questions in 1..=2 {
        assert_eq!(house.find(&number()).await, Found::Nothing);
        assert_eq!(dns.asked.count(), questions);
    }
}

#[tokio::test]
async fn a_24_trouble_is_not_remembered() {
    let dns = OddDns::start(Odd::Code(ResponseCode::ServFail)).await;
    let house = House::asking(dns.address, "");
    house.find(&number()).await;
    let before = dns.asked.count();
    house.find(&number()).await;
    assert!(dns.asked.count() > before);
}

#[tokio::test]
async fn questions_at_the_same_time_share_one() {
    let dns = Dns::with([(100, 10, MMS)]).await;
    let house = House::asking(dns.address, "");
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let discovery = house.discovery.clone();
        tasks.spawn(async move { discovery.find(&number(), None, &|_| false, &mut Vec::new()).await });
    }
    assert!(tasks.join_all().await.iter().all(|found| *found == at_b()));
    assert_eq!(dns.asked.count(), 1);
}

#[tokio::test]
async fn several_trees_are_asked_in_their_order() {
    let other = "3.8.0.0.6.9.2.3.6.1.4.4.enum.example";
    let dns = Dns::start([Zone::new("e164.arpa"), Zone::new("enum.example").naptr(other, 1, 1, MMS)]).await;
    let config =
        format!("enum_apexes = [\"e164.arpa\", \"enum.example\"]\nresolvers = [\"{}\"]", dns.address);
    assert_eq!(House::new(&config).find(&number()).await, at_b());
    assert_eq!(dns.asked.names(), [NAME, other]);
}

#[tokio::test]
async fn the_order_of_sources_is_the_operators() {
    let dns = Dns::with([(100, 10, MMS)]).await;
    let house = House::asking(dns.address, "order = [\"static\", \"enum\"]").with_table();
    assert_eq!(house.find(&number()).await, Found::Static);
    assert_eq!(dns.asked.count(), 0);
    let house = House::asking(dns.address, "order = [\"static\", \"enum\"]");
    assert_eq!(house.find(&number()).await, at_b());
}

#[tokio::test]
async fn only_numbers_in_e164_form_are_asked_for() {
    let dns = Dns::with([(100, 10, MMS)]).await;
    let local = "01632960083".parse::<mms::Party>().unwrap().address.number().cloned().unwrap();
    let mut house = House::asking(dns.address, "");
    assert_eq!(house.find(&local).await, Found::Nothing);
    house.table.push(local.clone());
    assert_eq!(house.find(&local).await, Found::Static);
    assert_eq!(dns.asked.count(), 0);
}

#[tokio::test]
async fn a_domain_of_ours_means_here() {
    let regexp = to("MMS.A.example");
    let zone = Zone::new("e164.arpa").naptr(NAME, 1, 1, ["u", "E2U+mms:mailto", &regexp]);
    let dns = Dns::start([zone]).await;
    assert_eq!(House::asking(dns.address, "").find(&number()).await, Found::Here);
}

#[tokio::test]
async fn a_32_the_systems_resolvers_are_not_asked_about_a_carriers_tree() {
    // The system's view is the one without resolvers of its own; no question leaves this machine.
    let view =
        belino::discovery::dns::View::new(&[], Duration::from_secs(1), 10, belino::clock::Clock::System);
    let answer = view.ask("3.8.0.0.6.9.2.3.6.1.4.4.e164enum.net", belino::discovery::dns::Kind::Naptr).await;
    assert!(answer.to_string().contains("known to the private DNS alone"), "{answer}");
}

//! What `[discovery]` and peers found through the DNS may mean.

use crate::world::configuration;
use belino::config::{Config, parse};
use belino::discovery::Source;
use std::path::Path;

fn read(text: &str) -> Result<Config, String> {
    parse(text, Path::new("/etc/belino/belino.toml")).map_err(|error| error.to_string())
}

fn fine(discovery: &str) -> Config {
    read(&configuration(discovery)).unwrap_or_else(|error| panic!("{error}"))
}

fn wrong(discovery: &str) -> String {
    read(&configuration(discovery)).map(drop).expect_err(discovery)
}

fn peer(lines: &str) -> Result<Config, String> {
    read(&configuration("").replace("hosts = [\"127.0.0.2:2525\"]", lines))
}

#[test]
fn without_a_word_the_static_table_is_all() {
    let discovery = fine("").discovery;
    assert_eq!((discovery.order, discovery.portability_first), (vec![Source::Static], false));
}

#[test]
fn the_order_follows_from_what_is_configured() {
    let all = "enum_apexes = [\"e164.arpa\"]\n[discovery.lookup]\nurl = \"http://127.0.0.1:1/{number}\"";
    let discovery = fine(all).discovery;
    assert_eq!(discovery.order, [Source::Lookup, Source::Enum, Source::Static]);
    assert!(discovery.portability_first);
    assert!(!fine(&format!("portability_first = false\n{all}")).discovery.portability_first);
    let discovery = fine(&format!("order = [\"enum\", \"lookup\"]\n{all}")).discovery;
    assert_eq!(discovery.order, [Source::Enum, Source::Lookup]);
}

#[test]
fn errors_say_what_and_where() {
    for (lines, words) in [
        ("order = [\"lookup\"]", "no [discovery.lookup]"),
        ("order = [\"enum\"]", "no enum_apexes"),
        ("order = []", "order is empty"),
        ("order = [\"static\", \"static\"]", "twice"),
        ("order = [\"dns\"]", "lookup"),
        ("enum_apex = [\"e164.arpa\"]", "did you mean \"enum_apexes\"?"),
        ("enum_apexes = [\"e164 arpa\"]", "e164 arpa"),
        ("enum_experimental = [\"mms\"]", "begins with X- or P-"),
        ("resolvers = [\"dns.example\"]", "10.0.0.53:53"),
        ("resolvers = [\"0.0.0.0\"]", "10.0.0.53:53"),
        ("timeout = \"0s\"", "more than no time"),
        ("on_trouble = \"never\"", "later"),
        ("mmse_suffix = \"a b\"", "a b"),
        ("mnc_digits = { \"31\" = 3 }", "\"31\" = 3"),
        ("mnc_digits = { \"310\" = 4 }", "\"310\" = 4"),
        ("[discovery.lookup]\nurl = \"https://np.example/{number}\"", "https is not spoken yet"),
        ("[discovery.lookup]\nurl = \"http://np.example/\"", "{number}"),
        ("[discovery.lookup]\ntimeout = \"1s\"", "url"),
        ("[discovery.lookup]\nurl = \"http://np.example/{number}\"\ntoken_file = \"/nowhere\"", "/nowhere"),
    ] {
        let error = wrong(lines);
        assert!(error.contains(words) && error.contains("line 1"), "{lines}: {error}");
    }
}

#[test]
fn a_peer_is_found_through_the_dns_or_at_its_hosts() {
    let config = peer("discover = \"dns\"\nresolvers = [\"10.0.0.53\", \"[2001:db8::53]:5353\"]").unwrap();
    let discover = config.links[0].discover.clone().unwrap();
    assert_eq!(discover.resolvers, ["10.0.0.53:53".parse().unwrap(), "[2001:db8::53]:5353".parse().unwrap()]);
    assert!(config.links[0].hosts.is_empty());
    assert_eq!(fine("").links[0].discover, None);
    let error = peer("hosts = [\"127.0.0.2:2525\"]\ndiscover = \"dns\"").unwrap_err();
    assert!(error.contains("expected one of them") && error.contains("line 8"), "{error}");
    let error = peer("discover = \"mdns\"").unwrap_err();
    assert!(error.contains("dns") && error.contains("line 10"), "{error}");
    let error = peer("from = [\"127.0.0.2\"]\nresolvers = [\"10.0.0.53\"]").unwrap_err();
    assert!(error.contains("it would mean nothing") && error.contains("line 11"), "{error}");
    let error = peer("").unwrap_err();
    assert!(error.contains("neither hosts nor discover"), "{error}");
}

#[test]
fn a_32_a_private_name_needs_resolvers_of_its_own() {
    let private = |lines: &str, common: &str| {
        let text = configuration(common).replace("hosts = [\"127.0.0.2:2525\"]", lines);
        read(&text.replace("mms.b.example", "mms.mnc006.mcc260.gprs"))
    };
    let error = private("discover = \"dns\"", "").map(drop).unwrap_err();
    for words in ["mms.mnc006.mcc260.gprs", "private DNS", "the system's resolvers", "10.0.0.53:53", "line 9"]
    {
        assert!(error.contains(words), "{words}: {error}");
    }
    let error = private("discover = \"dns\"", "resolvers = [\"8.8.8.8\"]").map(drop).unwrap_err();
    assert!(error.contains("8.8.8.8:53, a resolver of the Internet"), "{error}");
    private("discover = \"dns\"\nresolvers = [\"1.1.1.1:53\"]", "resolvers = [\"10.0.0.53\"]")
        .map(drop)
        .unwrap_err();
    private("discover = \"dns\"\nresolvers = [\"10.0.0.53\"]", "").unwrap();
    private("discover = \"dns\"", "resolvers = [\"10.0.0.53\"]").unwrap();
    // With hosts of its own nobody asks for its name.
    private("hosts = [\"127.0.0.2:2525\"]", "").unwrap();

    let error = wrong("enum_apexes = [\"e164enum.net\"]");
    assert!(error.contains("enum_apexes: e164enum.net") && error.contains("private DNS"), "{error}");
    fine("enum_apexes = [\"e164enum.net\"]\nresolvers = [\"10.0.0.53\"]");
    fine("enum_apexes = [\"e164.arpa\"]");
}

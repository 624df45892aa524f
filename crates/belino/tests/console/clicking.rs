//! The console in a real browser: clicked through, by mouse and by keyboard, with everything that the browser complains of.
//!
//! With `BELINO_SCREENSHOTS=FOLDER` every page is written there as a picture, light and dark, for a desk and for a phone.

use crate::browser::Browser;
use crate::desk::*;
use crate::world::*;
use serde_json::Value;
use std::path::PathBuf;

/// Octets of a picture with something on it.
const PICTURE: &[u8] = include_bytes!("../../assets/picture.jpg");

/// A peer at whose port nobody listens, with names as long as they are in life.
const MORE: &str = "[[peer]]\nname = \"north-atlantic-interconnect\"\ndomains = [\"mms.mnc004.mcc310.north-atlantic.example\"]\n\
                    hosts = [\"127.0.0.9:9\"]\nfrom = [\"127.0.0.9\"]\nprefixes = [\"+1202555013\"]\n";

/// A relay at which things have gone well and badly.
fn eventful() -> (Desk, Vec<(&'static str, String)>) {
    use base64::Engine as _;
    let desk = Desk::with(Setup { more: MORE.into(), ..Setup::default() }, "session_life = \"7d\"");
    let picture = base64::engine::general_purpose::STANDARD.encode(PICTURE);
    let lines: Vec<&str> = picture.as_bytes().chunks(76).map(|c| std::str::from_utf8(c).unwrap()).collect();
    let body = format!(
        "--b1\r\nContent-Type: image/jpeg; name=\"evening.jpg\"\r\nContent-Transfer-Encoding: base64\r\n\r\n{}\r\n\
         --b1\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nThe lake, ten minutes ago.\r\n\
         --b1\r\nContent-Type: application/smil; name=\"p.smil\"\r\n\r\n<smil><body/></smil>\r\n--b1--\r\n",
        lines.join("\r\n")
    );
    let with_picture =
        Fwd::ids("mm-picture", "tx-picture").set("Subject", "The lake <b>tonight</b>").body(body.as_bytes());
    let mut b = desk.world.from_b();
    b.forward(&with_picture, &[U1, U2]);
    for _ in 0..3 {
        b.forward(&with_picture, &[U1, U2]);
    }
    b.forward(
        &Fwd::ids("mm-2", "tx-2").set("X-Mms-Priority", "urgent").set("X-Mms-Message-Class", "\"Personal\""),
        &["+4479009001"],
    );
    let mut bare = desk.world.from_b();
    bare.raw(b"NOOP\n");
    let _ = bare.reply();
    let send = |to: &str, text: &str| {
        desk.world.send(U1, &[to], &["--text", text])["id"].as_str().unwrap().to_owned()
    };
    // Peer B refuses one recipient and answers the other; peer C is full.
    desk.world.b.answer(|line| {
        line.contains("+12025550119").then(|| "550 5.1.1 user unknown since the upgrade".to_owned())
    });
    let refused = send("+12025550119", "nobody home");
    let awaited = send(B1, "an answer is awaited");
    desk.world
        .c
        .answer(|line| line.starts_with("RCPT").then(|| "452 4.3.1 insufficient system storage".to_owned()));
    let full = send(C1, "no room over there");
    let unreachable = send("+12025550130", "nobody listens");
    desk.world.until_state(&refused, 0, "failed");
    desk.world.until_state(&awaited, 0, "forwarded");
    desk.world
        .until("it was put off", |w| w.trace(&full)[0]["history"].to_string().contains("452").then_some(()));
    // Half an hour of traffic that comes and goes, with responses that take a while.
    for n in 0..60 {
        for m in 0..(3 + n % 7) {
            let fwd = Fwd::ids(&format!("mm-{n}-{m}"), &format!("tx-{n}-{m}"));
            b.forward(&fwd.set("Subject", &format!("postcard {n}")).set("X-Mms-Ack-Request", "No"), &[U2]);
        }
        let asked = (n % 3 == 0).then(|| {
            send(B1, "how are you?");
            loop {
                let mail = desk.world.b.mail();
                if mail.must("X-Mms-Message-Type") == "MM4_forward.REQ"
                    && mail.content.contains("how are you?")
                {
                    break mail.must("X-Mms-Transaction-ID");
                }
            }
        });
        desk.world.advance(["2s", "1s", "4s"][n % 9 / 3]);
        if let Some(id) = asked {
            b.mail("system-user@mms.b.example", &["system-user@mms.a.example"], &response(&id, "Ok", &[]));
        }
        desk.world.advance("26s");
    }
    let all = desk.world.all();
    // Repeats have ledgers of their own.
    let kept = |mm: &&Value| mm["message_id"] == "mm-picture" && mm["recipients"][0]["state"] == "stored";
    let picture = all.iter().find(kept).expect("the picture is kept")["id"].as_str().unwrap().to_owned();
    (
        desk,
        vec![
            ("picture", picture),
            ("refused", refused),
            ("awaited", awaited),
            ("full", full),
            ("unreachable", unreachable),
        ],
    )
}

/// Whether nothing was complained of, the page fits its window, and its words are as they should be.
fn content(browser: &mut Browser, what: &str) {
    let overflow = browser.eval("document.documentElement.scrollWidth - innerWidth");
    assert!(overflow.as_f64().unwrap() <= 1.0, "{what} is {overflow} pixels wider than its window");
    let faults = browser.eval(FAULTS);
    assert_eq!(faults, Value::Array(vec![]), "{what}");
    assert_eq!(browser.complaints, Vec::<String>::new(), "{what}");
}

/// What no page may have.
const FAULTS: &str = r#"(() => {
  const all = (query) => [...document.querySelectorAll(query)];
  const seen = (e) => { const box = e.getBoundingClientRect(); return box.width > 1 && box.height > 1 && box.right > 0; };
  const name = (e) => `${e.tagName}.${e.className} ${e.textContent.trim().slice(0, 40)}`;
  const faults = [];
  const none = (why, found) => found.forEach(e => faults.push(`${why}: ${name(e)}`));
  none('a field without a label', all('input:not([type=hidden]),select,textarea').filter(e => !e.labels.length));
  none('a picture without words', all('img').filter(e => !e.hasAttribute('alt')));
  none('a chart without words', all('svg[role=img]').filter(e => !e.getAttribute('aria-label')));
  none('a link or button without a name', all('a,button').filter(e => !e.hidden && !e.textContent.trim()));
  none('an empty cell at the head of a column', all('thead th').filter(e => !e.textContent.trim()));
  const ink = document.createElement('canvas').getContext('2d');
  none('a choice that is cut', all('select#state').filter(e => {
    ink.font = getComputedStyle(e).font;
    return [...e.options].some(o => ink.measureText(o.text).width > e.clientWidth - 36);
  }));
  if (all('h1').length !== 1) faults.push(`${all('h1').length} headings of the first level`);
  // At a desk and on a phone nothing has to be pushed aside to be read; in between a table may be wider than its place.
  if (innerWidth >= 1280 || innerWidth <= 760)
    none('wider than its place', all('main .scroll, main dl, main form, main figure, main section, main pre, header').filter(e => e.scrollWidth > e.clientWidth + 1));
  // WCAG 2.2, 2.5.8: what is tapped has 24 pixels at least, if it is no link within a sentence.
  none('too small to be tapped', all('header a, button, select, input:not([type=hidden]):not([type=checkbox]), label.check, nav a, td a, tbody th a')
    .filter(e => innerWidth <= 760 && seen(e) && Math.min(e.getBoundingClientRect().height, e.getBoundingClientRect().width) < 24));
  const text = document.querySelector('main').innerText + document.querySelector('footer').innerText;
  for (const time of text.match(/\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d+)?)?(?! UTC)(?![:\d.])/g) || []) faults.push(`a time without a zone: ${time}`);
  for (const one of text.match(/(?<![\d.:,-])1 (attempts|times|connections|entries|days|mails|octets|MMs|moments|recipients|repeats)\b/g) || []) faults.push(`not a plural: ${one}`);
  return faults;
})()"#;

#[test]
fn the_console_is_clicked_through_in_a_browser() {
    if !has("chromium", "chromium") {
        return;
    }
    let (desk, mms) = eventful();
    let id = |name: &str| mms.iter().find(|(n, _)| *n == name).unwrap().1.clone();
    let home = format!("http://{}", desk.at());
    let mut browser = Browser::start();
    let b = &mut browser;
    b.look(1280, false);

    // A wrong token, then the right one, by keyboard alone.
    b.open(&format!("{home}/"));
    assert_eq!(b.eval("location.pathname"), "/login");
    assert_eq!(b.eval("document.activeElement.id"), "token", "the field has the focus");
    b.write("#token", "no-such-token-at-all");
    b.follow(|b| b.press("Enter"));
    assert!(text(b).contains("Nobody has this token"));
    b.complaints.retain(|c| !c.contains("403")); // Chromium tells of the answer that was asked for.
    b.write("#token", ANN);
    b.follow(|b| b.press("Enter"));
    assert_eq!(b.eval("location.pathname"), "/");
    content(b, "overview");

    // The check finds what it is for.
    b.look(390, false);
    b.eval(
        r#"(() => { const main = document.querySelector('main'); main.insertAdjacentHTML('beforeend',
          '<p>2025-03-04 10:15 and 1 times</p><input><nav><a href="/">x</a></nav><h1>x</h1><svg role=img></svg><pre class=raw>x</pre>');
          main.lastElementChild.style.whiteSpace = 'pre'; main.lastElementChild.textContent = 'x'.repeat(200);
          main.lastElementChild.style.overflowWrap = 'normal'; })()"#,
    );
    let found = b.eval(FAULTS).to_string();
    for why in [
        "a field without a label",
        "a chart without words",
        "2 headings",
        "wider than its place",
        "too small to be tapped",
        "a time without a zone: 2025-03-04 10:15",
        "not a plural: 1 times",
    ] {
        assert!(found.contains(why), "{why}: {found}");
    }
    b.eval("document.querySelector('main > h1').style.color = '#999'");
    assert!(low_contrast(b).to_string().contains("Overview"));
    b.look(1280, false);
    b.open(&format!("{home}/"));

    // The first stop of the keyboard leads past the menu, and what has the focus is seen.
    b.press("Tab");
    assert_eq!(b.eval("document.activeElement.className"), "skip");
    assert_eq!(b.eval("getComputedStyle(document.activeElement).outlineStyle"), "solid");

    // Every page of the menu.
    for path in ["/peers", "/messages", "/send", "/routes", "/alarms", "/audit", "/configuration", "/"] {
        b.follow(|b| b.click(&format!("header nav a[href='{path}']")));
        assert_eq!(b.eval("location.pathname"), path);
        assert_eq!(b.eval("document.querySelectorAll('[aria-current=page]').length"), 1, "{path}");
        content(b, path);
    }

    // A page is live: what happens is there without a click.
    let before = text(b);
    desk.world.from_b().forward(&Fwd::ids("mm-live", "tx-live"), &[U1]);
    desk.world.until("the overview has changed by itself", |_| (text(b) != before).then_some(()));
    content(b, "live overview");

    // From a list to an MM with a picture, which is really drawn.
    b.open(&format!("{home}/messages"));
    b.write("#text", "mm-picture");
    b.follow(|b| b.press("Enter"));
    b.follow(|b| b.click("main td a"));
    assert!(
        text(b).contains("sent this MM 3 times more") || text(b).contains("What happened"),
        "{}",
        text(b)
    );
    b.open(&format!("{home}/messages/{}", id("picture")));
    b.eval("document.querySelector('.parts img').scrollIntoView()");
    desk.world.until("the picture is drawn", |_| {
        (b.eval("document.querySelector('.parts img').naturalWidth").as_f64()? > 10.0).then_some(())
    });
    assert_eq!(
        b.eval("document.querySelectorAll('main b').length >= 0 && !document.querySelector('dd b')"),
        true,
        "a subject is no markup"
    );
    // Live: said as soon as the index has them.
    desk.world.until("the repeats are told", |_| {
        text(b).contains("Peer b sent this MM 3 times more").then_some(())
    });
    assert_eq!(b.eval("document.querySelectorAll('ul.plain li').length"), 3);
    content(b, "one MM");
    b.follow(|b| b.click("a[href$='/raw']"));
    assert!(text(b).contains("X-Mms-Message-Type: MM4_forward.REQ"));
    content(b, "raw mail");

    // Retry and drop, with a reason; without one the browser asks.
    b.open(&format!("{home}/messages/{}", id("full")));
    assert!(text(b).contains("disk is full"), "{}", text(b));
    b.click("form[action$='/drop'] button");
    assert_eq!(b.eval("document.activeElement.id"), "drop-reason");
    b.write("#retry-reason", "c says it has room again");
    b.follow(|b| b.press("Enter"));
    assert!(text(b).contains("is tried now"), "{}", text(b));
    content(b, "retried");
    b.write("#drop-reason", "the sender has called");
    b.follow(|b| b.click("form[action$='/drop'] button"));
    assert!(text(b).contains("An operator dropped it"), "{}", text(b));
    content(b, "dropped");

    // A peer is paused and resumed.
    b.open(&format!("{home}/peers/b"));
    b.write("#pause-reason", "their window");
    b.follow(|b| b.click("form[action$='/pause'] button"));
    assert!(text(b).contains("Gate paused"), "{}", text(b));
    b.write("#resume-reason", "window closed");
    b.follow(|b| b.click("form[action$='/resume'] button"));
    assert!(text(b).contains("Gate open"), "{}", text(b));
    content(b, "peer");

    // A test MM, and a route.
    b.open(&format!("{home}/send"));
    b.write("#to", B2);
    b.follow(|b| b.click("form[action='/send'] button"));
    assert!(text(b).contains("The test MM was taken"), "{}", text(b));
    assert_eq!(b.eval("document.querySelectorAll('.parts img').length"), 1);
    content(b, "test MM");
    b.open(&format!("{home}/routes"));
    b.write("#address", C1);
    b.follow(|b| b.press("Enter"));
    assert!(text(b).contains("It goes to peer c"), "{}", text(b));
    content(b, "route");
    b.open(&format!("{home}/audit"));
    for word in ["the sender has called", "their window", "window closed", "test MM"] {
        assert!(text(b).contains(word), "{word}: {}", text(b));
    }

    // Something to tell: a pause, and a night without a word from either peer.
    desk.world.json(&["pause", "c"]);
    desk.world.advance("25h");
    desk.world.from_b().forward(&Fwd::ids("mm-late", "tx-late"), &[U1]);
    desk.world.json(&["send", "--from", U1, "--to", C1, "--text", "waits"]);
    desk.world.json(&["send", "--from", U1, "--to", "+12025550130", "--text", "waits"]);

    // Every page on a phone and at a desk, light and dark.
    let mut pages: Vec<(String, String)> =
        ["", "peers", "peers/b", "messages", "send", "alarms", "audit", "configuration"]
            .map(|p| (if p.is_empty() { "overview".into() } else { p.replace('/', "-") }, format!("/{p}")))
            .into();
    pages.push(("routes".into(), "/routes?address=%2B12025550120".into()));
    pages.extend(mms.iter().map(|(name, id)| (format!("mm-{name}"), format!("/messages/{id}"))));
    pages.push(("raw".into(), format!("/messages/{}/raw", id("picture"))));
    let folder = std::env::var_os("BELINO_SCREENSHOTS").map(PathBuf::from);
    for (width, size) in [(1280, "desk"), (390, "phone")] {
        for dark in [false, true] {
            b.look(width, dark);
            let light = if dark { "dark" } else { "light" };
            for (name, path) in &pages {
                b.open(&format!("{home}{path}"));
                content(b, &format!("{name}, {size}, {light}"));
                assert_eq!(low_contrast(b), Value::Array(vec![]), "{name}, {light}");
                if let Some(folder) = &folder {
                    b.eval("Promise.all([...document.images].map(i => { i.loading = 'eager'; return i.decode(); }))");
                    std::fs::create_dir_all(folder).unwrap();
                    std::fs::write(folder.join(format!("{name}-{size}-{light}.png")), b.shoot()).unwrap();
                }
            }
        }
    }

    // WCAG 2.1, 1.4.10: down to 320 pixels nothing has to be read sideways; and what lies between phone and desk.
    for width in [320, 820] {
        b.look(width, false);
        for (name, path) in &pages {
            b.open(&format!("{home}{path}"));
            content(b, &format!("{name}, {width} pixels wide"));
        }
    }
    b.look(390, true);

    b.follow(|b| b.click("form[action='/logout'] button"));
    assert_eq!(b.eval("location.pathname"), "/login");
    if let Some(folder) = &folder {
        std::fs::write(folder.join("login-phone-dark.png"), b.shoot()).unwrap();
        b.look(1280, false);
        std::fs::write(folder.join("login-desk-light.png"), b.shoot()).unwrap();
    }
    b.open(&format!("{home}/messages"));
    assert_eq!(b.eval("location.pathname"), "/login", "the session has ended");
}

fn text(browser: &mut Browser) -> String {
    browser.eval("document.body.innerText").as_str().unwrap_or_default().to_owned()
}

/// Texts whose contrast with what lies behind them is below 4.5 to 1 (WCAG 2.1, 1.4.3), and edges of fields, lines of charts
/// and the ring of the focus where it is below 3 to 1 (1.4.11).
fn low_contrast(browser: &mut Browser) -> Value {
    browser.eval(
        r#"(() => {
          const part = (c) => { c /= 255; return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; };
          const read = (text) => { const m = (text.match(/[\d.]+/g) || [0, 0, 0, 0]).map(Number); return m.length > 3 && m[3] === 0 ? null : m; };
          const light = ([r, g, b]) => 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
          const behind = (e) => { for (; e; e = e.parentElement) { const c = read(getComputedStyle(e).backgroundColor); if (c) return c; } return [255, 255, 255]; };
          const low = new Set();
          const check = (e, colour, ground, least) => {
            const [a, b] = [light(read(colour) || [0, 0, 0]), light(ground)];
            const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
            if (ratio < least) low.add(`${e.tagName}.${e.className.baseVal ?? e.className} ${ratio.toFixed(2)} of ${least} ${e.textContent.trim().slice(0, 30)}`);
          };
          for (const e of document.querySelectorAll('main *, header *, footer *')) {
            const box = e.getBoundingClientRect();
            if (!box.width || box.right < 0) continue;
            const style = getComputedStyle(e);
            if (e.matches('text')) check(e, style.fill, behind(e), 4.5);
            else if (e.matches('path.line')) check(e, style.stroke, behind(e), 3);
            else if (!e.closest('svg') && [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())) check(e, style.color, behind(e), 4.5);
            if (e.matches('input, select, textarea')) {
              check(e, style.borderTopColor, behind(e.parentElement), 3);
              if (e.placeholder) check(e, getComputedStyle(e, '::placeholder').color, behind(e), 4.5);
            }
          }
          const link = document.querySelector('header nav a');
          link.focus({ focusVisible: true });
          if (getComputedStyle(link).outlineStyle !== 'solid') low.add('the focus is not seen');
          check(link, getComputedStyle(link).outlineColor, behind(link.parentElement), 3);
          link.blur();
          return [...low];
        })()"#,
    )
}

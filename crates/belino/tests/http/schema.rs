//! The JSON Schema that our OpenAPI document uses: whether a value fits one, and values that fit or do not.
//!
//! Only the keywords that the document has. Any other one is a panic, so that nothing in the document goes unchecked.

use serde_json::{Map, Value, json};

/// A small random generator: the seed is all that a repeat needs.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below.max(1) as u64) as usize
    }

    pub fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.roll(list.len())]
    }

    fn text(&mut self, alphabet: &str, min: usize, max: usize) -> String {
        let all: Vec<char> = alphabet.chars().collect();
        let len = min + self.roll(max + 1 - min);
        (0..len).map(|_| *self.pick(&all)).collect()
    }
}

/// What patterns of the document mean: letters that fit, and how many.
struct Pattern {
    text: &'static str,
    fits: fn(&str) -> bool,
    make: fn(&mut Dice, usize) -> String,
}

const BASE32: &str = "0123456789abcdefghjkmnpqrstvwxyz";
const MIXED: &str = "aZ 09 äß€ 漢字 😀 \" ' \\ < > & % = ; , . : / @ + - _ ( )";

fn is_line(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}'))
}

const PATTERNS: &[Pattern] = &[
    Pattern {
        text: "^[0-7][0-9a-hjkmnp-tv-z]{25}$",
        fits: |t| t.len() == 26 && t.as_bytes()[0] <= b'7' && t.chars().all(|c| BASE32.contains(c)),
        make: |dice, _| format!("0{}", dice.text(BASE32, 25, 25)),
    },
    Pattern {
        text: "^[0-7][0-9a-hjkmnp-tv-z]{25}\\.[0-9]+$",
        fits: |t| {
            t.split_once('.').is_some_and(|(a, b)| a.len() == 26 && b.bytes().all(|b| b.is_ascii_digit()))
        },
        make: |dice, _| format!("0{}.1", dice.text(BASE32, 25, 25)),
    },
    Pattern {
        text: "^t=[0-9]+,v1=[0-9a-f]{64}$",
        fits: |t| t.split_once(",v1=").is_some_and(|(a, b)| a.starts_with("t=") && b.len() == 64),
        make: |_, _| String::new(),
    },
    Pattern {
        text: "^[^\\u0000-\\u001f\\u007f-\\u009f\\u2028\\u2029]*$",
        fits: is_line,
        make: |dice, max| dice.text(MIXED, 1, max.min(60)),
    },
    Pattern {
        text: "^[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+( *;.*)?$",
        fits: |t| t.contains('/'),
        make: |dice, _| {
            let kinds = [
                "image/jpeg",
                "image/png; name=\"x\"",
                "application/smil",
                "text/plain;charset=utf-8",
                "a!#$/b^_",
            ];
            (*dice.pick(&kinds)).to_owned()
        },
    },
    Pattern {
        text: "^[A-Za-z0-9+/]*={0,2}$",
        fits: |t| {
            t.trim_end_matches('=').bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/')
        },
        make: |dice, _| ["", "AA==", "AAE=", "AAEC", "/+8="][dice.roll(5)].to_owned(),
    },
    Pattern {
        text: "^[!#-'*-;=?-\\[\\]-~]+$",
        fits: |t| t.bytes().all(|b| b.is_ascii_graphic() && !b"\"()<>\\".contains(&b)),
        make: |dice, max| dice.text("abcXYZ019!#$%&'*+,-./:;=?@[]^_`{|}~", 1, max.min(40)),
    },
    Pattern {
        text: "^[!-~]([ -~]*[!-~])?$",
        fits: |t| t.bytes().all(|b| (b' '..=b'~').contains(&b)),
        make: |dice, max| format!("k{}", dice.text("abc 019!\"~", 0, max.min(60)).trim_end()),
    },
];

fn pattern(text: &str) -> &'static Pattern {
    PATTERNS.iter().find(|p| p.text == text).unwrap_or_else(|| panic!("pattern {text} is not known here"))
}

/// The document.
pub struct Document(pub Value);

impl Document {
    /// A schema, a response or a parameter, where it is only referred to.
    pub fn resolved<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value["$ref"].as_str() {
            Some(path) => {
                let found = self.0.pointer(path.strip_prefix('#').unwrap());
                self.resolved(found.unwrap_or_else(|| panic!("{path} leads nowhere")))
            }
            None => value,
        }
    }

    /// Why a value does not fit a schema.
    pub fn misfit(&self, schema: &Value, value: &Value, at: &str) -> Option<String> {
        let schema = self.resolved(schema);
        let no = |what: String| Some(format!("{at}: {value}: {what}"));
        let Some(keywords) = schema.as_object() else { return no("no schema".into()) };
        for (keyword, limit) in keywords {
            let length = value.as_str().map(|t| t.chars().count() as i64);
            let items = value.as_array().map(|l| l.len() as i64);
            let wrong = match keyword.as_str() {
                "type" => !types(limit).iter().any(|t| is_of(value, t)),
                "const" => value != limit,
                "enum" => !limit.as_array().unwrap().contains(value),
                "minLength" => length.is_some_and(|n| n < limit.as_i64().unwrap()),
                "maxLength" => length.is_some_and(|n| n > limit.as_i64().unwrap()),
                "minItems" => items.is_some_and(|n| n < limit.as_i64().unwrap()),
                "maxItems" => items.is_some_and(|n| n > limit.as_i64().unwrap()),
                "minimum" => value.as_i64().is_some_and(|n| n < limit.as_i64().unwrap()),
                "maximum" => value.as_i64().is_some_and(|n| n > limit.as_i64().unwrap()),
                "pattern" => value.as_str().is_some_and(|t| !(pattern(limit.as_str().unwrap()).fits)(t)),
                "format" => match limit.as_str() {
                    Some("date-time") => value.as_str().is_some_and(|t| {
                        !matches!(wire::mime::parse_date(t), Some((_, wire::mime::DateForm::Rfc3339)))
                    }),
                    other => panic!("format {other:?}"),
                },
                "oneOf" => {
                    let fits = |s: &&Value| self.misfit(s, value, at).is_none();
                    limit.as_array().unwrap().iter().filter(fits).count() != 1
                }
                "anyOf" => {
                    let fits = |s: &Value| self.misfit(s, value, at).is_none();
                    !limit.as_array().unwrap().iter().any(fits)
                }
                "required" => {
                    let names = limit.as_array().unwrap().iter().filter_map(Value::as_str);
                    value.as_object().is_some_and(|map| names.into_iter().any(|name| !map.contains_key(name)))
                }
                "properties" | "items" | "additionalProperties" => false, // below
                "description" | "default" | "contentEncoding" | "contentMediaType" => false,
                other => panic!("keyword {other} is not known here"),
            };
            if wrong {
                return no(format!("{keyword} {limit}"));
            }
        }
        for (i, item) in value.as_array().into_iter().flatten().enumerate() {
            if let Some(why) = keywords.get("items").and_then(|s| self.misfit(s, item, &format!("{at}[{i}]")))
            {
                return Some(why);
            }
        }
        for (name, inner) in value.as_object().into_iter().flatten() {
            let at = format!("{at}.{name}");
            let known = schema["properties"].get(name).or(keywords.get("additionalProperties"));
            match known {
                Some(Value::Bool(false)) => return Some(format!("{at}: no such field in the document")),
                Some(known) => {
                    if let Some(why) = self.misfit(known, inner, &at) {
                        return Some(why);
                    }
                }
                None => {}
            }
        }
        None
    }

    /// A value that fits.
    pub fn sample(&self, schema: &Value, dice: &mut Dice) -> Value {
        let schema = self.resolved(schema);
        if let Some(list) = schema["enum"].as_array() {
            return dice.pick(list).clone();
        }
        if let Some(list) = schema["oneOf"].as_array() {
            let one = dice.pick(list).clone();
            return self.sample(&one, dice);
        }
        if let Some(value) = schema.get("const") {
            return value.clone();
        }
        match *dice.pick(&types(&schema["type"])) {
            "object" => {
                let mut map = Map::new();
                let required =
                    |name: &str| schema["required"].as_array().is_some_and(|r| r.contains(&json!(name)));
                for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
                    let one_of = schema["anyOf"].to_string().contains(&format!("\"{name}\""));
                    if required(name) || one_of || dice.roll(3) > 0 {
                        map.insert(name.clone(), self.sample(inner, dice));
                    }
                }
                Value::Object(map)
            }
            // One at least, which is what an anyOf of ours asks of one list or the other.
            "array" => (0..=dice.roll(4)).map(|_| self.sample(&schema["items"], dice)).collect(),
            "boolean" => json!(dice.roll(2) == 0),
            "integer" => {
                let min = schema["minimum"].as_i64().unwrap_or(0);
                let max = schema["maximum"].as_i64().unwrap_or(1_000_000);
                match dice.roll(4) {
                    0 => json!(min),
                    1 => json!(max),
                    _ => json!(min + dice.roll(usize::try_from(max - min + 1).unwrap()) as i64),
                }
            }
            "string" => {
                let (min, max) = (schema["minLength"].as_u64(), schema["maxLength"].as_u64());
                let max = usize::try_from(max.unwrap_or(100)).unwrap();
                if let Some(text) = schema["pattern"].as_str() {
                    return json!((pattern(text).make)(dice, max));
                }
                if schema["format"] == "date-time" {
                    let forms = [
                        "2025-03-05T10:15:30Z",
                        "2025-12-31T23:59:60.5+14:00",
                        "9999-01-01T00:00:00-00:00",
                        "1999-01-01T00:00:00Z",
                    ];
                    return json!(dice.pick(&forms));
                }
                json!(dice.text(MIXED, usize::try_from(min.unwrap_or(0)).unwrap(), max.min(80)))
            }
            "null" => Value::Null,
            other => panic!("type {other}"),
        }
    }

    /// Values that do not fit, each wrong in one place, made of one that does.
    pub fn misfits(&self, schema: &Value, fitting: &Value, dice: &mut Dice) -> Vec<Value> {
        let schema = self.resolved(schema);
        let wrongs = [
            json!(null),
            json!(true),
            json!(-1),
            json!(1.5),
            json!("\u{0}\r\n"),
            json!("x".repeat(2000)),
            json!(""),
            json!([]),
            json!([null]),
            json!({}),
            json!({ "a": [] }),
            json!(9_007_199_254_740_993_u64),
            json!([[[[]]]]),
        ];
        let mut made: Vec<Value> =
            wrongs.iter().filter(|w| self.misfit(schema, w, "").is_some()).cloned().collect();
        if let (Some(properties), Some(map)) = (schema["properties"].as_object(), fitting.as_object()) {
            for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                let mut less = map.clone();
                less.remove(name);
                made.push(Value::Object(less));
            }
            let mut more = map.clone();
            more.insert("unheard_of".into(), json!(1));
            made.push(Value::Object(more));
            for (name, inner) in properties {
                let inside = map.get(name).cloned().unwrap_or_else(|| self.sample(inner, dice));
                for wrong in self.misfits(inner, &inside, dice) {
                    let mut changed = map.clone();
                    changed.insert(name.clone(), wrong);
                    made.push(Value::Object(changed));
                }
            }
        }
        if schema["items"].is_object() {
            let inside = self.sample(&schema["items"], dice);
            let inner = self.misfits(&schema["items"], &inside, dice);
            made.extend(inner.into_iter().map(|wrong| json!([inside, wrong])));
        }
        if let Some(most) = schema["maxItems"].as_u64() {
            let one = self.sample(&schema["items"], dice);
            made.push((0..=most).map(|_| one.clone()).collect());
        }
        made
    }
}

fn types(value: &Value) -> Vec<&str> {
    match value {
        Value::String(one) => vec![one],
        Value::Array(list) => list.iter().map(|t| t.as_str().unwrap()).collect(),
        _ => panic!("a schema without a type"),
    }
}

fn is_of(value: &Value, kind: &str) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "null" => value.is_null(),
        other => panic!("type {other}"),
    }
}

/// The yardstick itself: it tells what fits from what does not.
#[test]
fn the_yardstick_measures() {
    let document = Document(serde_json::from_str(belino::dock::http::OPENAPI).unwrap());
    let mut dice = Dice(7);
    for name in ["Submission", "NewPart", "Receipt", "Page", "Problem", "Received", "Status"] {
        let schema = &document.0["components"]["schemas"][name];
        for _ in 0..200 {
            let fitting = document.sample(schema, &mut dice);
            assert_eq!(document.misfit(schema, &fitting, name), None);
        }
        let fitting = document.sample(schema, &mut dice);
        let misfits = document.misfits(schema, &fitting, &mut dice);
        assert!(misfits.len() > 10, "{name}");
        for wrong in misfits {
            assert!(document.misfit(schema, &wrong, name).is_some(), "{name}: {wrong}");
        }
    }
}

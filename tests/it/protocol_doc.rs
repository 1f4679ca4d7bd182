//! `docs/PROTOCOL.md` says what the code does: every command, reply, push, field, close code and
//! error code, no more and no fewer.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

use std::collections::BTreeSet;

use bytes::Bytes;
use hubbub::protocol::close::Disconnect;
use hubbub::protocol::cursor;
use hubbub::protocol::data::Data;
use hubbub::protocol::error::{ErrorCode, Refusal};
use hubbub::protocol::native::{
    Codec, Request, RequestError, RequestId, decode_packed_request, decode_request, encode_push,
    encode_reply,
};
use hubbub::protocol::reply::GapReason;
use serde_json::Value;

use crate::harness::msgpack;
use samples::{bodies, commands, data, message_views, pushes, replies};

mod samples;

const DOC: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/PROTOCOL.md"));
const MESSAGE_BYTES: usize = 65_536;

type Names = BTreeSet<String>;

/// What stands under a heading, up to the next of the same or a higher level.
fn section<'a>(text: &'a str, heading: &str) -> &'a str {
    let level = heading.find(' ').unwrap();
    let start = text
        .find(&format!("\n{heading}\n"))
        .unwrap_or_else(|| panic!("no heading {heading:?}"));
    let body = &text[start + heading.len() + 2..];
    let end = (1..=level)
        .filter_map(|hashes| body.find(&format!("\n{} ", "#".repeat(hashes))))
        .min();
    &body[..end.unwrap_or(body.len())]
}

/// The code-quoted names of the headings below a section.
fn headings(section: &str) -> Vec<&str> {
    section
        .lines()
        .filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`'))
        .collect()
}

/// The cells of the tables' rows, without heads and rules.
fn rows(section: &str) -> Vec<Vec<&str>> {
    let lines: Vec<&str> = section.lines().collect();
    lines
        .iter()
        .enumerate()
        .filter(|(i, line)| {
            let is_head = lines
                .get(i + 1)
                .is_some_and(|next| next.starts_with("|---"));
            line.starts_with('|') && !line.starts_with("|---") && !is_head
        })
        .map(|(_, line)| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect()
}

/// A cell such as `` `seq`° `` → its name, and whether it may be missing.
fn field(cell: &str) -> (String, bool) {
    let name = cell.trim_end_matches('°').trim_matches('`');
    (name.to_owned(), cell.ends_with('°'))
}

/// The fields in the tables of a section: those that are always there, and all.
fn fields(section: &str) -> (Names, Names) {
    let fields: Vec<_> = rows(section).iter().map(|row| field(row[0])).collect();
    let always = fields.iter().filter(|it| !it.1).map(|it| it.0.clone());
    (
        always.collect(),
        fields.iter().map(|it| it.0.clone()).collect(),
    )
}

/// The payload of a frame: of text in JSON, of bytes in MessagePack.
fn payload(frame: &Bytes) -> Value {
    let start = match frame[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    match frame[0] {
        0x81 => serde_json::from_slice(&frame[start..]).unwrap(),
        0x82 => msgpack::unpack(&frame[start..]),
        other => panic!("a frame of kind {other:x}"),
    }
}

/// What both codecs say, in JSON's words.
fn in_both(encode: impl Fn(Codec) -> Bytes) -> Value {
    let [json, packed] = [Codec::Json, Codec::MessagePack].map(|codec| payload(&encode(codec)));
    let mut with_bytes = json.clone();
    let messages = with_bytes.pointer_mut("/ok/messages");
    match messages.and_then(Value::as_array_mut) {
        Some(messages) => messages.iter_mut().for_each(msgpack::with_bytes),
        None => msgpack::with_bytes(&mut with_bytes),
    }
    assert_eq!(with_bytes, packed);
    json
}

/// What both codecs read.
fn read_in_both(request: &str) -> Result<Request, RequestError> {
    let value: Value = serde_json::from_str(request).unwrap();
    let json = decode_request(request, MESSAGE_BYTES);
    let packed = decode_packed_request(&msgpack::pack(&value), MESSAGE_BYTES);
    assert_eq!(json, packed, "{request}");
    json
}

fn keys(value: &Value) -> Names {
    value.as_object().unwrap().keys().cloned().collect()
}

#[test]
fn every_command_is_described_and_every_description_is_of_a_command() {
    let known: Names = commands().iter().map(|it| it.name().to_owned()).collect();
    let described: Names = headings(section(DOC, "## Commands"))
        .into_iter()
        .map(str::to_owned)
        .collect();
    assert_eq!(described, known);

    for name in &known {
        let section = section(DOC, &format!("### `{name}`"));
        let (_, example) = section.split_once("```json\n").unwrap();
        let example = example.lines().next().unwrap();
        let request = read_in_both(example).unwrap();
        assert_eq!(request.command.name(), name);

        // The fields of the example are in the table; a field that must be there is in the
        // example, and without it the request is refused by its name.
        let fields_section = section.split("\nReply").next().unwrap();
        let (needed, all) = fields(fields_section);
        let mut example: Value = serde_json::from_str(example).unwrap();
        let given: Names = keys(&example)
            .into_iter()
            .filter(|it| it != "id" && it != "cmd")
            .collect();
        assert!(given.is_subset(&all), "{name}: {given:?} {all:?}");
        for field in &needed {
            let value = example.as_object_mut().unwrap().remove(field);
            let error = read_in_both(&example.to_string()).unwrap_err();
            assert_eq!(error.refusal.message, format!("`{field}` is missing"));
            example[field] = value.unwrap();
        }
        for field in &all {
            let value = std::mem::replace(&mut example[field], serde_json::json!([[]]));
            if field != "data" {
                let error = read_in_both(&example.to_string()).unwrap_err();
                let message = error.refusal.message;
                assert!(message.starts_with(&format!("`{field}` ")), "{message}");
            }
            example[field] = value;
        }
    }
}

#[test]
fn every_reply_has_the_fields_that_are_described() {
    let known: Names = commands().iter().map(|it| it.name().to_owned()).collect();
    let sampled: Names = replies().iter().map(|it| it.0.to_owned()).collect();
    assert_eq!(sampled, known);

    for (name, replies) in replies() {
        let section = section(DOC, &format!("### `{name}`"));
        let (_, reply) = section.split_once("\nReply").unwrap();
        let (always, all) = fields(reply);
        let given = |reply| {
            let reply = in_both(|codec| encode_reply(codec, &RequestId::Number(1), reply));
            keys(&reply["ok"])
        };
        assert_eq!(given(&replies[0]), always, "{name}");
        assert_eq!(given(replies.last().unwrap()), all, "{name}");
    }

    let (always, all) = fields(section(DOC, "### A message in a page"));
    let [plain, full] = message_views().map(|it| keys(&serde_json::to_value(it).unwrap()));
    assert_eq!((always, all), (plain, full));
}

#[test]
fn every_push_has_the_fields_that_are_described() {
    let (data, [text, bytes]) = (data(), bodies());
    let section_of_pushes = section(DOC, "## Pushes");
    let mut known: Vec<(String, Vec<Names>)> = Vec::new();
    let refusal = Refusal::new(ErrorCode::NotAMember, "no member");
    for push in pushes([&text, &bytes], &data, &refusal) {
        let mut value = in_both(|codec| encode_push(codec, &push));
        let name = value["push"].as_str().unwrap().to_owned();
        value.as_object_mut().unwrap().remove("push");
        match known.last_mut() {
            Some((last, samples)) if *last == name => samples.push(keys(&value)),
            _ => known.push((name, vec![keys(&value)])),
        }
    }
    let names: Vec<_> = known.iter().map(|it| it.0.as_str()).collect();
    assert_eq!(headings(section_of_pushes), names);
    let table = section_of_pushes.split("\n### ").next().unwrap();
    let listed: Vec<_> = rows(table).iter().map(|row| field(row[0]).0).collect();
    assert_eq!(listed, names);
    for (name, samples) in &known {
        let section = section(section_of_pushes, &format!("### `{name}`"));
        let (always, all) = fields(section);
        let in_each = |field: &&String| samples.iter().all(|sample| sample.contains(*field));
        let union: Names = samples.iter().flatten().cloned().collect();
        let common: Names = union.iter().filter(in_each).cloned().collect();
        assert_eq!(common, always, "{name}");
        assert_eq!(union, all, "{name}");
    }
}

/// A cell of bytes in hexadecimal.
fn bytes(cell: &str) -> Vec<u8> {
    let cell = cell.trim_matches('`').split(' ');
    cell.map(|byte| u8::from_str_radix(byte, 16).unwrap())
        .collect()
}

#[test]
fn the_examples_in_messagepack_are_those_in_json() {
    let section_of_codec = section(DOC, "## MessagePack");
    let examples = section_of_codec.split("\n### ").next().unwrap();
    let examples = rows(examples);
    assert!(examples.len() > 1);
    for row in examples {
        let (json, packed) = (row[0].trim_matches('`'), bytes(row[1]));
        assert_eq!(
            msgpack::unpack(&packed),
            serde_json::from_str::<Value>(json).unwrap()
        );
        assert_eq!(
            decode_packed_request(&packed, MESSAGE_BYTES),
            decode_request(json, MESSAGE_BYTES)
        );
        assert!(decode_request(json, MESSAGE_BYTES).is_ok());
    }
    let values = rows(section(section_of_codec, "### Bytes"));
    assert!(values.len() > 3);
    for row in values {
        let (json, packed) = (row[0].trim_matches('`'), bytes(row[1]));
        let data: Data = serde_json::from_str(json).unwrap();
        assert_eq!(data.message_pack(), packed);
        assert_eq!(Data::from_message_pack(&packed).unwrap().json(), json);
    }
}

#[test]
fn the_table_of_close_codes_is_whole() {
    let described: Vec<_> = rows(section(DOC, "## Close codes"))
        .iter()
        .map(|row| {
            let reconnect = match row[2] {
                "yes" => true,
                "no" => false,
                other => panic!("{other}"),
            };
            (row[0].parse().unwrap(), field(row[1]).0, reconnect)
        })
        .collect();
    let known: Vec<(u16, String, bool)> = Disconnect::ALL
        .iter()
        .map(|it| (it.code(), it.reason().to_owned(), it.reconnect()))
        .collect();
    assert_eq!(described, known);
}

#[test]
fn the_table_of_error_codes_is_whole() {
    let described: Vec<_> = rows(section(DOC, "## Error codes"))
        .iter()
        .map(|row| (field(row[0]).0, row[1].to_owned()))
        .collect();
    let known: Vec<_> = ErrorCode::ALL
        .iter()
        .map(|it| {
            let retry = if it.retry() { "yes" } else { "no" };
            (it.as_str().to_owned(), retry.to_owned())
        })
        .collect();
    assert_eq!(described, known);
}

#[test]
fn the_limits_are_those_of_the_default_configuration() {
    let defaults = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/config/default.toml"));
    let defaults: toml::Table = defaults.parse().unwrap();
    let described = rows(section(DOC, "## Limits"));
    assert!(described.len() > 10);
    for row in described {
        let key = field(row[0]).0;
        let (section, name) = key.split_once('.').unwrap();
        let known = defaults[section]
            .get(name)
            .and_then(toml::Value::as_integer);
        assert_eq!(known, row[1].parse().ok(), "{key}");
    }
    // And wherever else a key is named, there is one.
    for name in DOC.split('`').skip(1).step_by(2) {
        if commands().iter().any(|it| it.name() == name) {
            continue;
        }
        if let Some((section, key)) = name.split_once('.')
            && let Some(section) = defaults.get(section).and_then(toml::Value::as_table)
        {
            assert!(section.contains_key(key), "{name}");
        }
    }
}

#[test]
fn the_reasons_of_a_gap_are_listed() {
    let listed: Vec<_> = rows(section(DOC, "## Coming back"))
        .iter()
        .map(|row| Value::String(field(row[0]).0))
        .collect();
    let known = [GapReason::Epoch, GapReason::Retention, GapReason::History]
        .map(|it| serde_json::to_value(it).unwrap());
    assert_eq!(listed, known);
}

#[test]
fn the_transcript_is_one() {
    let transcript = section(DOC, "## A transcript");
    let sent: Vec<_> = transcript
        .lines()
        .filter_map(|it| it.strip_prefix("> "))
        .collect();
    let got: Vec<Value> = transcript
        .lines()
        .filter_map(|it| it.strip_prefix("< "))
        .map(|it| serde_json::from_str(it).unwrap())
        .collect();
    assert!(sent.len() >= 5 && got.len() >= 8);

    for request in sent {
        let id = serde_json::from_str::<Value>(request).unwrap()["id"].clone();
        let answer = got.iter().find(|it| !id.is_null() && it["id"] == id);
        match read_in_both(request) {
            Ok(request) => {
                let Some(answer) = answer else {
                    assert!(request.id.is_none(), "no answer to {request:?}");
                    continue;
                };
                let name = request.command.name();
                let (_, reply) = section(DOC, &format!("### `{name}`"))
                    .split_once("\nReply")
                    .unwrap();
                let (always, all) = fields(reply);
                let given = keys(&answer["ok"]);
                assert!(always.is_subset(&given) && given.is_subset(&all), "{name}");
            }
            Err(error) => {
                assert_eq!(
                    answer.unwrap()["err"],
                    serde_json::to_value(error.refusal).unwrap()
                );
            }
        }
    }
    for push in got.iter().filter(|it| it.get("push").is_some()) {
        let name = push["push"].as_str().unwrap();
        let section = section(section(DOC, "## Pushes"), &format!("### `{name}`"));
        let (mut always, mut all) = fields(section);
        always.insert("push".into());
        all.insert("push".into());
        let given = keys(push);
        assert!(always.is_subset(&given) && given.is_subset(&all), "{push}");
    }
    for answer in &got {
        if let Some(text) = answer.pointer("/ok/cursor").and_then(Value::as_str) {
            for position in cursor::decode(text).unwrap() {
                assert_eq!(answer["ok"]["room"], position.room_id.to_string());
                assert_eq!(answer["ok"]["last_seq"], position.seq);
            }
        }
    }
}

//! The lines of the file.

use bytes::Bytes;
use data_encoding::BASE64;
use everwire_session::{Kind, MAX_NUMBER, Message, SnapshotChange};
use serde_json::{Value, json};

use crate::session::client::Snapshot;

/// A line, with its end.
pub(super) struct Line {
    pub(super) text: String,
    /// The bytes of each message in it.
    pub(super) lens: Vec<usize>,
}

impl Line {
    /// Puts messages behind the members of an object.
    fn new(object: &Value, messages: &[Message]) -> Self {
        let mut text = object.to_string();
        text.pop(); // The brace.
        text.push_str(",\"unacknowledged\":[");
        let mut lens = Vec::with_capacity(messages.len());
        for (index, message) in messages.iter().enumerate() {
            let before = text.len();
            if index > 0 {
                text.push(',');
            }
            text.push_str(&encode_message(message).to_string());
            lens.push(text.len() - before);
        }
        text.push_str("]}\n");
        Self { text, lens }
    }
}

pub(super) fn encode(session: &Snapshot) -> Line {
    let object = json!({
        "everwire": 1,
        "token": BASE64.encode(&session.token),
        "attempt": session.attempt,
        "epoch": session.epoch,
        "recv": session.recv,
        "next": session.next,
    });
    Line::new(&object, &session.unacknowledged)
}

pub(super) fn encode_change(change: &SnapshotChange) -> Line {
    let mut object = json!({
        "attempt": change.attempt,
        "epoch": change.epoch,
        "recv": change.recv,
        "next": change.next,
        "lo": change.lo,
    });
    if let Some(token) = &change.token {
        object["token"] = json!(BASE64.encode(token));
    }
    Line::new(&object, &change.new)
}

/// Messages are strings if they are text, and base64 in an object if they are binary.
fn encode_message(message: &Message) -> Value {
    match message.as_text() {
        Some(text) => json!(text),
        None => json!({ "base64": BASE64.encode(&message.payload) }),
    }
}

/// Returns the session that the first line is, with the changes of the others. What stands behind the
/// last end of a line was not finished.
pub(super) fn decode(text: &[u8]) -> Option<Snapshot> {
    let mut lines = text.split_inclusive(|byte| *byte == b'\n');
    let mut session = decode_whole(&serde_json::from_slice(lines.next()?).ok()?)?;
    for line in lines.filter(|line| line.ends_with(b"\n")) {
        let change = decode_change(&serde_json::from_slice(line).ok()?)?;
        session.apply(change).then_some(())?;
    }
    Some(session)
}

fn decode_whole(value: &Value) -> Option<Snapshot> {
    if number(value, "everwire")? != 1 {
        return None;
    }
    let [attempt, epoch, recv, next] = marks(value)?;
    let mut session = Snapshot::new(bytes(value.get("token")?)?, attempt, epoch, recv, next);
    session.unacknowledged = messages(value, next)?;
    Some(session)
}

fn decode_change(value: &Value) -> Option<SnapshotChange> {
    let [attempt, epoch, recv, next] = marks(value)?;
    let mut change = SnapshotChange::new(attempt, epoch, recv, next, number(value, "lo")?);
    if let Some(token) = value.get("token") {
        change.token = Some(bytes(token)?);
    }
    change.new = messages(value, next)?;
    Some(change)
}

fn marks(value: &Value) -> Option<[u64; 4]> {
    let [attempt, epoch, recv, next] =
        ["attempt", "epoch", "recv", "next"].map(|it| number(value, it));
    Some([attempt?, epoch?, recv?, next?])
}

/// Returns the messages in a line, the last ones before `next`.
fn messages(value: &Value, next: u64) -> Option<Vec<Message>> {
    let stored = value.get("unacknowledged")?.as_array()?;
    let first = next.checked_sub(stored.len() as u64).filter(|first| *first > 0)?;
    let messages = (first..).zip(stored).map(|(number, stored)| {
        let (kind, payload) = match stored.as_str() {
            Some(text) => (Kind::Text, Bytes::copy_from_slice(text.as_bytes())),
            None => (Kind::Binary, bytes(stored.get("base64")?)?),
        };
        Some(Message { number: Some(number), kind, payload })
    });
    messages.collect()
}

fn number(value: &Value, name: &str) -> Option<u64> {
    value.get(name)?.as_u64().filter(|number| *number < MAX_NUMBER)
}

fn bytes(value: &Value) -> Option<Bytes> {
    BASE64.decode(value.as_str()?.as_bytes()).ok().map(Bytes::from)
}

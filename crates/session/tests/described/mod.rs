//! Frames and events in the words of `docs/vectors.json`.

use bytes::Bytes;
use everwire_session::{
    Counts, Direction, EndedBy, Event, Frame, GapReason, Kind, Message, Status, Welcome,
};
use serde_json::{Value, json};

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn unhex(text: &str) -> Bytes {
    let digits = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex");
    (0..text.len()).step_by(2).map(digits).collect()
}

pub(crate) fn frame(frame: &Frame) -> Value {
    match frame {
        Frame::Data { kind, volatile, payload } => {
            let kind = if *kind == Kind::Text { "text" } else { "binary" };
            json!({"type": "data", "kind": kind, "volatile": volatile, "payload": hex(payload)})
        }
        Frame::Ack(c) => json!({"type": "ack", "counts": counts(c)}),
        Frame::Ping { token, counts: c } => {
            json!({"type": "ping", "token": token, "counts": counts(c)})
        }
        Frame::Pong { token, counts: c } => {
            json!({"type": "pong", "token": token, "counts": counts(c)})
        }
        Frame::Hello(h) => json!({
            "type": "hello", "version": h.version, "attempt": h.attempt, "recv": h.recv, "lo": h.lo,
            "next": h.next, "window": h.window, "max_message": h.max_message, "ttl": h.ttl,
            "token": hex(&h.token), "auth": hex(&h.auth),
        }),
        Frame::Welcome(answer) => welcome(answer),
        Frame::Gap(gap) => {
            json!({"type": "gap", "from": gap.from, "to": gap.to, "reason": reason(gap.reason)})
        }
        Frame::Goaway(g) => {
            json!({"type": "goaway", "after": g.after, "spread": g.spread, "url": g.url})
        }
        Frame::Bye { reply, code, counts: c, reason } => json!({
            "type": "bye", "reply": reply, "code": code.number(), "counts": counts(c),
            "reason": reason,
        }),
        Frame::AuthTicket(ticket) => json!({"type": "auth-ticket", "ticket": hex(&ticket.0)}),
        Frame::AuthRequest(expires) => json!({"type": "auth-request", "expires": expires}),
        Frame::AuthAccepted(expires) => json!({"type": "auth-accepted", "expires": expires}),
        frame => panic!("{frame:?} is not in the vectors"),
    }
}

fn welcome(welcome: &Welcome) -> Value {
    match welcome {
        Welcome::Accepted(status, a) => {
            let status = match status {
                Status::New => "new",
                Status::Resumed => "resumed",
                Status::Lost => "lost",
            };
            json!({
                "type": "welcome", "status": status, "epoch": a.epoch, "counts": counts(&a.counts),
                "max_message": a.max_message, "ttl": a.ttl, "heartbeat": a.heartbeat,
                "heartbeat_timeout": a.heartbeat_timeout, "first_spread": a.first_spread,
                "token": hex(&a.token), "id": hex(&a.id),
            })
        }
        Welcome::Ended { code, recv, reason } => json!({
            "type": "welcome", "status": "ended", "code": code.number(), "recv": recv,
            "reason": reason,
        }),
        Welcome::Busy { after, spread } => {
            json!({"type": "welcome", "status": "busy", "after": after, "spread": spread})
        }
        Welcome::Moved(url) => json!({"type": "welcome", "status": "moved", "url": url}),
        Welcome::Auth => json!({"type": "welcome", "status": "auth"}),
        Welcome::Stale => json!({"type": "welcome", "status": "stale"}),
        Welcome::Version(v) => json!({"type": "welcome", "status": "version", "version": v}),
        welcome => panic!("{welcome:?} is not in the vectors"),
    }
}

fn counts(counts: &Counts) -> Value {
    let Counts { recv, done, sent, window } = counts;
    json!({"recv": recv, "done": done, "sent": sent, "window": window})
}

fn reason(reason: GapReason) -> &'static str {
    match reason {
        GapReason::EvictedBytes => "evicted-bytes",
        GapReason::EvictedAge => "evicted-age",
        GapReason::Conflated => "conflated",
        GapReason::Restart => "restart",
        GapReason::Oversize => "oversize",
        reason => panic!("{reason:?} is not in the vectors"),
    }
}

/// Describes an event of a client, or of a server's session of this principal.
pub(crate) fn event(event: &Event, principal: Option<&str>) -> Value {
    match event {
        Event::Opened { id } => match principal {
            None => json!({"event": "open", "id": hex(id)}),
            Some(principal) => json!({"event": "new", "principal": principal}),
        },
        Event::Resumed { epoch } => json!({"event": "resumed", "epoch": epoch}),
        Event::Detached => json!({"event": "detached"}),
        Event::Message(received) => message(received),
        Event::Gap(direction, gap) => {
            let direction = if *direction == Direction::In { "in" } else { "out" };
            json!({
                "event": "gap", "direction": direction, "from": gap.from, "to": gap.to,
                "reason": reason(gap.reason),
            })
        }
        Event::Lost { unacknowledged } => {
            json!({"event": "lost", "unacknowledged": texts(unacknowledged)})
        }
        Event::Refused(answer) => {
            let mut refused = welcome(answer);
            refused["event"] = "refused".into();
            refused.as_object_mut().expect("an object").remove("type");
            refused
        }
        Event::TicketWanted(_) => json!({"event": "ticket"}),
        Event::TokenReused => json!({"event": "token-reused"}),
        Event::Goaway(g) => {
            json!({"event": "goaway", "after": g.after, "spread": g.spread, "url": g.url})
        }
        Event::Ended(end) => {
            let by = match end.by {
                EndedBy::Us | EndedBy::Violation(_) | EndedBy::Expiry => "us",
                _ => "peer",
            };
            json!({
                "event": "ended", "code": end.code.number(), "by": by, "reason": end.reason,
                "unacknowledged": texts(&end.unacknowledged),
            })
        }
        event => panic!("{event:?} is not in the vectors"),
    }
}

fn message(message: &Message) -> Value {
    let mut described = match message.as_text() {
        Some(text) => json!({"event": "message", "text": text}),
        None => json!({"event": "message", "binary": hex(&message.payload)}),
    };
    if message.number.is_none() {
        described["volatile"] = true.into();
    }
    described
}

fn texts(messages: &[Message]) -> Vec<&str> {
    messages.iter().map(|message| message.as_text().expect("a text")).collect()
}

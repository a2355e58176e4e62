//! `/metrics`: the text format of Prometheus, version 0.0.4.
//!
//! Nothing is counted for it while messages flow: the totals are added up when they are asked for.

use std::{
    collections::BTreeMap,
    fmt::{Display, Write},
};

use everwire::{Totals, session::SessionStats};
use http::StatusCode;

use crate::serve::reply::{Reply, body};

/// Answers with the metrics.
pub(super) fn reply(
    totals: &Totals,
    sessions: &[(&'static str, SessionStats)],
    max_connections: usize,
) -> Reply {
    let text = render(totals, sessions, max_connections);
    body(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text)
}

fn render(
    totals: &Totals,
    sessions: &[(&'static str, SessionStats)],
    max_connections: usize,
) -> String {
    let mut text = Text::default();
    let version = env!("CARGO_PKG_VERSION");
    text.labelled("build_info", "The version that runs.", "gauge", "version", [(&version, &1)]);
    text.gauge(
        "connections_limit",
        "How many connections there may be, opening handshakes and ordinary HTTP included.",
        max_connections as u64,
    );
    connections(&mut text, totals);
    handshakes(&mut text, totals);
    traffic(&mut text, totals);
    if !sessions.is_empty() {
        self::sessions(&mut text, sessions);
    }
    text.0
}

fn connections(text: &mut Text, totals: &Totals) {
    text.gauge("connections_open", "Open connections.", totals.open);
    let (all, keeping) = (totals.deflate, totals.deflate_takeover);
    text.labelled(
        "connections_deflate",
        "Open connections that agreed on compression, by whether history is kept.",
        "gauge",
        "context",
        [(&"none", &(all - keeping)), (&"kept", &keeping)],
    );
    text.counter("connections_opened_total", "Connections that were opened.", totals.opened);
    text.labelled(
        "connections_closed_total",
        "Connections that have ended, by cause.",
        "counter",
        "cause",
        &totals.closed,
    );
    text.labelled(
        "close_codes_received_total",
        "Connections that have ended, by the close code of the client; 1006 if it sent no Close.",
        "counter",
        "code",
        &by_code(&totals.codes),
    );
}

fn handshakes(text: &mut Text, totals: &Totals) {
    text.labelled(
        "handshakes_refused_total",
        "Opening handshakes that were refused, by HTTP status.",
        "counter",
        "status",
        &totals.refused,
    );
    text.labelled(
        "handshakes_failed_total",
        "Opening handshakes that ended without an answer, by reason.",
        "counter",
        "reason",
        &totals.failed,
    );
}

fn traffic(text: &mut Text, totals: &Totals) {
    let counters = &totals.counters;
    let known = totals.rtt_known;
    let mean = totals.rtt_sum.as_secs_f64() / known.max(1) as f64;
    text.gauge("rtt_connections", "Open connections that have answered a ping.", known);
    text.gauge("rtt_mean_seconds", "Their round-trip time on average.", mean);
    let max = totals.rtt_max.as_secs_f64();
    text.gauge("rtt_max_seconds", "The longest round-trip time of them.", max);
    text.gauge(
        "send_queued_bytes",
        "Bytes that wait to be sent on open connections.",
        totals.queued_bytes,
    );
    text.gauge(
        "send_queues_full",
        "Open connections whose send queue is full.",
        totals.full_queues,
    );
    text.counter(
        "messages_dropped_total",
        "Messages that were queued on connections that have ended, and never written whole.",
        totals.unsent,
    );
    let received = counters.messages_received;
    text.counter("messages_received_total", "Messages received.", received);
    text.counter("messages_sent_total", "Messages sent.", counters.messages_sent);
    text.counter(
        "bytes_received_total",
        "Bytes received after the opening handshake.",
        counters.bytes_received,
    );
    text.counter(
        "bytes_sent_total",
        "Bytes sent after the opening handshake.",
        counters.bytes_sent,
    );
}

fn sessions(text: &mut Text, all: &[(&'static str, SessionStats)]) {
    let mut each = |name: &str, help: &str, of: fn(&SessionStats) -> u64| {
        let values: Vec<(&str, u64)> = all.iter().map(|(path, stats)| (*path, of(stats))).collect();
        let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
        text.labelled(name, help, kind, "path", values.iter().map(|(path, n)| (path, n)));
    };
    each("sessions", "Sessions that live.", |it| it.sessions as u64);
    each("sessions_detached", "Those of them without a connection.", |it| it.detached as u64);
    each("session_kept_bytes", "Bytes of messages that sessions keep, each counted once.", |it| {
        it.bytes as u64
    });
    each("sessions_opened_total", "Sessions that began.", |it| it.opened);
    each("sessions_resumed_total", "Returns of clients on another connection.", |it| it.resumed);
    each("session_connections_lost_total", "Connections that sessions lost.", |it| {
        it.lost_connections
    });
    each(
        "session_messages_missing_total",
        "Messages that clients were told to be missing.",
        |it| it.missing,
    );
    each("sessions_ended_total", "Sessions that ended with a goodbye of either side.", |it| {
        it.ended
    });
    each(
        "sessions_expired_total",
        "Sessions that ended because nobody came back in time, or their memory was needed.",
        |it| it.expired,
    );
    each(
        "sessions_violated_total",
        "Sessions that ended because a client broke the protocol.",
        |it| it.violated,
    );
    each(
        "session_tokens_reused_total",
        "Tokens that were shown after they had been replaced: somebody has a copy.",
        |it| it.reused_tokens,
    );
}

/// Names the codes. Those that clients may invent are counted together, so that they cannot make
/// ever more time series.
fn by_code(codes: &BTreeMap<u16, u64>) -> BTreeMap<String, u64> {
    let mut named = BTreeMap::new();
    for (code, n) in codes {
        let name = match code {
            0..3000 => code.to_string(),
            _ => format!("{}xxx", code / 1000),
        };
        *named.entry(name).or_default() += n;
    }
    named
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn head(&mut self, name: &str, help: &str, kind: &str) {
        // Writing to a string cannot fail.
        let _ = write!(self.0, "# HELP everwire_{name} {help}\n# TYPE everwire_{name} {kind}\n");
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.head(name, help, "gauge");
        let _ = writeln!(self.0, "everwire_{name} {value}");
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, help, "counter");
        let _ = writeln!(self.0, "everwire_{name} {value}");
    }

    /// Writes a value for each value of a label. The values are words and numbers of our own,
    /// which need no escapes.
    fn labelled<'a, L: Display + 'a>(
        &mut self,
        name: &str,
        help: &str,
        kind: &str,
        label: &str,
        values: impl IntoIterator<Item = (&'a L, &'a u64)>,
    ) {
        self.head(name, help, kind);
        for (of, value) in values {
            let _ = writeln!(self.0, "everwire_{name}{{{label}=\"{of}\"}} {value}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_metric_has_its_help_and_type() {
        let mut totals = Totals::default();
        totals.opened = 5;
        totals.open = 2;
        totals.closed.insert("peer_closed", 3);
        totals.refused.insert(403, 7);
        totals.failed.insert("timeout", 4);
        totals.codes = [(1000, 1), (3000, 1), (3999, 2), (4001, 5)].into();
        totals.queued_bytes = 10;
        totals.full_queues = 1;
        totals.deflate = 5;
        totals.deflate_takeover = 2;
        totals.rtt_known = 2;
        totals.rtt_sum = Duration::from_millis(50);
        totals.rtt_max = Duration::from_millis(40);
        totals.counters.bytes_sent = 9;
        let mut stats = SessionStats::default();
        (stats.sessions, stats.detached, stats.opened, stats.missing) = (3, 1, 5, 7);
        let text = render(&totals, &[("/chat", stats), ("/echo", SessionStats::default())], 9);
        for expected in [
            "# HELP everwire_connections_open Open connections.\n# TYPE everwire_connections_open gauge\n\
             everwire_connections_open 2\n",
            "# TYPE everwire_connections_opened_total counter\neverwire_connections_opened_total 5\n",
            "everwire_connections_closed_total{cause=\"peer_closed\"} 3\n",
            "everwire_handshakes_refused_total{status=\"403\"} 7\n",
            "everwire_handshakes_failed_total{reason=\"timeout\"} 4\n",
            "code=\"1000\"} 1\neverwire_close_codes_received_total{code=\"3xxx\"} 3\n",
            "everwire_close_codes_received_total{code=\"4xxx\"} 5\n",
            "# TYPE everwire_send_queued_bytes gauge\neverwire_send_queued_bytes 10\n",
            "everwire_send_queues_full 1\n",
            "everwire_connections_deflate{context=\"none\"} 3\neverwire_connections_deflate{context=\"kept\"} 2\n",
            "everwire_rtt_connections 2\n",
            "everwire_rtt_mean_seconds 0.025\n",
            "everwire_rtt_max_seconds 0.04\n",
            "# TYPE everwire_build_info gauge\neverwire_build_info{version=\"",
            "everwire_connections_limit 9\n",
            "everwire_bytes_sent_total 9\n",
            "# TYPE everwire_sessions gauge\neverwire_sessions{path=\"/chat\"} 3\n\
             everwire_sessions{path=\"/echo\"} 0\n",
            "everwire_sessions_detached{path=\"/chat\"} 1\n",
            "# TYPE everwire_sessions_opened_total counter\n",
            "everwire_session_messages_missing_total{path=\"/chat\"} 7\n",
        ] {
            assert!(text.contains(expected), "{expected:?} in\n{text}");
        }
    }
}

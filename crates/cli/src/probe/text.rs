//! The report for people: one line for each check, then what is wrong.

use std::fmt::Write;

use super::{
    closing::Closing,
    fault::Fault,
    idle::{How, Idle},
    message::{Largest, Sign},
    ping::Pings,
    report::{Certificate, Dns, Extensions, Report, Tcp, Tls, Verdict},
    upgrade::Upgrade,
};

/// The checks in the order in which they are shown.
const CHECKS: [&str; 11] = [
    "dns",
    "tcp",
    "proxy",
    "tls",
    "upgrade",
    "extensions",
    "connection",
    "ping",
    "message",
    "close",
    "idle",
];

/// The interval that everwire keeps connections alive with unless told otherwise.
const DEFAULT_INTERVAL_MS: f64 = 25_000.0;

/// Writes the report.
pub(super) fn render(report: &Report, verbose: bool) -> String {
    let mut out = format!("everwire probe {}\n", report.url);
    for check in CHECKS.into_iter().chain(["protocol"]) {
        let faults: Vec<&Fault> =
            report.faults.iter().filter(|fault| fault.id.check() == check).collect();
        let mark = match faults.as_slice() {
            [] if check == "ping" && report.ping.as_ref().is_some_and(Pings::is_cut_short) => "-",
            [] => "ok",
            _ => "WRONG",
        };
        let line = line(report, check);
        if let Some(line) = &line {
            push(&mut out, mark, check, line);
        }
        if check == "upgrade" && verbose {
            heads(&mut out, report.upgrade.as_ref());
        }
        for note in report.notes.iter().filter(|note| note.check == check) {
            push(&mut out, "-", check, &note.text);
        }
        for (at, fault) in faults.into_iter().enumerate() {
            let what = format!("{} [{}]", fault.what, fault.id.id());
            if at == 0 && line.is_none() {
                push(&mut out, mark, check, &what);
            } else {
                push(&mut out, "", "", &what);
            }
            details(&mut out, fault);
        }
    }
    out.push_str(&summary(report));
    out
}

/// Says who is to blame and what to do, each on a line of its own.
fn details(out: &mut String, fault: &Fault) {
    for (name, text) in [
        ("to blame", fault.blame.to_string()),
        ("expected", fault.expected.clone()),
        ("came", fault.came.clone()),
        ("to do", fault.advice.clone()),
    ] {
        writeln!(out, "{:20}{name:9} {text}", "").expect("a string takes everything");
    }
}

fn push(out: &mut String, mark: &str, check: &str, text: &str) {
    writeln!(out, "{mark:6} {check:10} {text}").expect("a string takes everything");
}

fn heads(out: &mut String, upgrade: Option<&Upgrade>) {
    let Some(upgrade) = upgrade else { return };
    let sent = upgrade.request.iter().map(|line| ('>', line));
    for (arrow, line) in sent.chain(upgrade.response.iter().map(|line| ('<', line))) {
        writeln!(out, "{:18}{arrow} {line}", "").expect("a string takes everything");
    }
}

/// Says what a check has found out.
fn line(report: &Report, check: &str) -> Option<String> {
    match check {
        "dns" => report.dns.as_ref().map(dns),
        "tcp" => report.tcp.as_ref().map(tcp),
        "tls" => report.tls.as_ref().map(tls),
        "upgrade" => report.upgrade.as_ref().and_then(upgrade),
        "extensions" => report.extensions.as_ref().map(extensions),
        "ping" => report.ping.as_ref().map(pings),
        "message" => report.message.as_ref().map(message),
        "close" => report.close.as_ref().and_then(close),
        "idle" => report.idle.as_ref().map(idle),
        _ => None,
    }
}

fn dns(dns: &Dns) -> String {
    format!("{} is {} ({})", dns.host, dns.addresses.join(", "), ms(dns.took_ms))
}

fn tcp(tcp: &Tcp) -> String {
    let through =
        tcp.proxy.as_ref().map(|proxy| format!(", the proxy {proxy}")).unwrap_or_default();
    let address = tcp.address.as_deref().unwrap_or("one of the addresses");
    format!("connected to {address}{through} ({})", ms(tcp.took_ms))
}

fn tls(tls: &Tls) -> String {
    let mut text = format!("TLS {}", tls.version.as_deref().unwrap_or("of no version"));
    text += &match &tls.alpn {
        Some(alpn) => format!(", {alpn}"),
        None => ", no ALPN".to_owned(),
    };
    text += &tls.certificate.as_ref().map(certificate).unwrap_or_default();
    if !tls.verified {
        text += ", not verified";
    }
    format!("{text} ({})", ms(tls.took_ms))
}

fn certificate(certificate: &Certificate) -> String {
    match certificate.days_left {
        left @ 0.. => format!(", certificate for {left} more {}", plural(left, "day")),
        over => format!(", certificate expired for {} {}", -over, plural(-over, "day")),
    }
}

fn upgrade(upgrade: &Upgrade) -> Option<String> {
    let status = upgrade.status?;
    let subprotocol = match &upgrade.subprotocol {
        Some(name) => format!(", subprotocol {name}"),
        None if status == 101 => ", no subprotocol".to_owned(),
        None => String::new(),
    };
    Some(format!("{status}{subprotocol} ({})", ms(upgrade.took_ms)))
}

fn extensions(extensions: &Extensions) -> String {
    match extensions.accepted.as_slice() {
        [] => format!("none of {}", extensions.offered.join(", ")),
        accepted => accepted.join(", "),
    }
}

fn pings(pings: &Pings) -> String {
    let mut text = format!("{} of {} answered", pings.answered, pings.sent);
    if let Some(rtt) = &pings.rtt {
        write!(
            text,
            ": min {}, median {}, p90 {}, p99 {}, max {}",
            ms(rtt.min_ms),
            ms(rtt.p50_ms),
            ms(rtt.p90_ms),
            ms(rtt.p99_ms),
            ms(rtt.max_ms),
        )
        .expect("a string takes everything");
    }
    text
}

fn message(largest: &Largest) -> String {
    let seen = match largest.sign {
        Sign::Echo => "echoes",
        Sign::Pong => "does not echo; survives",
    };
    let size = bytes(largest.largest.unwrap_or_default());
    match largest.refused {
        None if largest.largest == Some(largest.bound) => {
            format!("{seen} {size}, the most that was tried (--max-message)")
        }
        None => format!("{seen} {size}, the most there was time for"),
        Some(refused) => {
            let code = largest.code.map(|code| format!(" with {code}")).unwrap_or_default();
            let verb = match (largest.code, largest.other) {
                (Some(_), _) => "refuses",
                (None, Some(_)) => "does not echo",
                (None, None) => "does not take",
            };
            format!("{seen} {size}, {verb} {refused}{code}")
        }
    }
}

fn bytes(n: u64) -> String {
    format!("{n} {}", if n == 1 { "byte" } else { "bytes" })
}

fn close(closing: &Closing) -> Option<String> {
    let (code, answer) = (closing.received?, closing.answer_ms?);
    let tcp = match (closing.tcp_closed_by, closing.tcp_closed_ms) {
        (Some(who), Some(after)) => format!("the {who} ended TCP first, {} later", ms(after)),
        _ => "TCP stayed open".to_owned(),
    };
    Some(format!("{} answered with {code} after {}; {tcp}", closing.sent, ms(answer)))
}

fn idle(idle: &Idle) -> String {
    if let Some(age) = idle.lifetime_ms {
        let code = idle.code.map(|code| format!(" with {code}")).unwrap_or_default();
        let age = seconds(age);
        return format!(
            "every connection is cut{code} at the age of {age}, silent or not: no keepalive helps, clients must reconnect"
        );
    }
    let mut text = match (idle.limit_ms, idle.how) {
        (Some(limit), Some(How::Silent)) => format!(
            "a silent connection is forgotten without a word between {} and {}",
            seconds(idle.survived_ms),
            seconds(limit)
        ),
        (Some(limit), how) => {
            let how = match how {
                Some(How::Close) => "closed",
                Some(How::Fin) => "cut without a Close frame",
                Some(How::Reset) => "reset",
                _ => "cut",
            };
            let code = idle.code.map(|code| format!(" with {code}")).unwrap_or_default();
            format!("a silent connection is {how}{code} after {}", seconds(limit))
        }
        (None, _) => format!("a connection survives {} of silence", seconds(idle.survived_ms)),
    };
    if let Some(every) = idle.server_speaks_ms {
        write!(text, "; the server itself speaks after {}, and so keeps it alive", seconds(every))
            .expect("a string takes everything");
    }
    text += &match (idle.keepalive_ms, idle.limit_ms) {
        (None, _) => "; no keepalive interval is known to help".to_owned(),
        (Some(interval), None) => {
            format!("; a keepalive interval of {} is safe", seconds(interval))
        }
        (Some(interval), Some(_)) => {
            let verdict = if interval < DEFAULT_INTERVAL_MS { "too long" } else { "short enough" };
            let interval = seconds(interval);
            format!(
                "; a keepalive interval of {interval} keeps it alive (the default of 25 s is {verdict})"
            )
        }
    };
    text
}

fn summary(report: &Report) -> String {
    let n = report.faults.len();
    match report.verdict {
        Verdict::Ok => format!("all is well ({})\n", ms(report.took_ms)),
        Verdict::Wrong => format!("{n} {} ({})\n", plural(n as i64, "fault"), ms(report.took_ms)),
        Verdict::NoConnection => format!("no connection ({})\n", ms(report.took_ms)),
    }
}

fn plural(n: i64, word: &str) -> String {
    if n == 1 { word.to_owned() } else { format!("{word}s") }
}

fn ms(ms: f64) -> String {
    match ms {
        ms if ms >= 1000.0 => seconds(ms),
        ms if ms >= 10.0 => format!("{ms:.0} ms"),
        ms => format!("{ms:.2} ms"),
    }
}

fn seconds(ms: f64) -> String {
    let secs = format!("{:.1}", ms / 1000.0);
    format!("{} s", secs.trim_end_matches(".0"))
}

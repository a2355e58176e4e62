//! Figures by name: what a report says, what is expected of it, and what is compared.

use std::{fmt, time::Duration};

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Count,
    PerSecond,
    Seconds,
    Bytes,
    /// Processor cores that are kept busy.
    Cores,
}

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Better {
    Less,
    More,
    /// It says what was done and not how well, or no two runs have it alike.
    Neither,
}

/// A figure that has a name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Metric {
    pub(super) name: &'static str,
    /// In seconds, bytes, or as it is counted.
    pub(super) value: f64,
}

/// Every name, with its unit and which way is better.
const KNOWN: &[(&str, Unit, Better)] = &[
    ("opened", Unit::Count, Better::Neither),
    ("deflated", Unit::Count, Better::Neither),
    ("failed", Unit::Count, Better::Less),
    ("closed", Unit::Count, Better::Less),
    ("connect.p50", Unit::Seconds, Better::Less),
    ("connect.p99", Unit::Seconds, Better::Less),
    ("connect.max", Unit::Seconds, Better::Neither),
    ("close.p50", Unit::Seconds, Better::Less),
    ("close.p99", Unit::Seconds, Better::Less),
    ("close.max", Unit::Seconds, Better::Neither),
    ("connects", Unit::PerSecond, Better::More),
    ("back", Unit::Count, Better::More),
    ("sent", Unit::Count, Better::Neither),
    ("unsent", Unit::Count, Better::Less),
    ("answered", Unit::Count, Better::Neither),
    ("lost", Unit::Count, Better::Less),
    ("duplicated", Unit::Count, Better::Less),
    ("reordered", Unit::Count, Better::Less),
    ("corrupt", Unit::Count, Better::Less),
    ("foreign", Unit::Count, Better::Less),
    ("wire.sent", Unit::Bytes, Better::Less),
    ("wire.received", Unit::Bytes, Better::Less),
    ("offered", Unit::PerSecond, Better::Neither),
    ("rate", Unit::PerSecond, Better::More),
    ("min", Unit::Seconds, Better::Less),
    ("mean", Unit::Seconds, Better::Less),
    ("p50", Unit::Seconds, Better::Less),
    ("p90", Unit::Seconds, Better::Less),
    ("p99", Unit::Seconds, Better::Less),
    ("p99.9", Unit::Seconds, Better::Neither),
    ("max", Unit::Seconds, Better::Neither),
    ("late.p99", Unit::Seconds, Better::Neither),
    ("late.max", Unit::Seconds, Better::Neither),
    ("cpu", Unit::Seconds, Better::Less),
    ("cores", Unit::Cores, Better::Less),
    ("memory", Unit::Bytes, Better::Less),
    ("growth", Unit::Bytes, Better::Less),
    ("slow.opened", Unit::Count, Better::Neither),
    ("slow.closed", Unit::Count, Better::Neither),
    ("slow.undecided", Unit::Count, Better::Neither),
    ("slow.received", Unit::Count, Better::Neither),
    ("slow.drained", Unit::Count, Better::Neither),
    ("alone.p50", Unit::Seconds, Better::Less),
    ("alone.p99", Unit::Seconds, Better::Less),
    ("alone.max", Unit::Seconds, Better::Neither),
];

/// Returns what a name counts, and which way is better; `p` and a number is any percentile.
pub(super) fn known(name: &str) -> Option<(Unit, Better)> {
    let found = KNOWN.iter().find(|(known, ..)| *known == name);
    let is_percentile = || percentile(name).is_some();
    found
        .map(|(_, unit, better)| (*unit, *better))
        .or_else(|| is_percentile().then_some((Unit::Seconds, Better::Less)))
}

/// Returns whether a name is of a time that a late generator spoils.
pub(super) fn is_latency(name: &str) -> bool {
    let is_other = name == "cpu" || name.starts_with("late.");
    !is_other && known(name).is_some_and(|(unit, _)| unit == Unit::Seconds)
}

/// Returns every name.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    KNOWN.iter().map(|(name, ..)| *name)
}

/// Reads a name such as `p99.95`.
pub(super) fn percentile(name: &str) -> Option<f64> {
    let digits = name.strip_prefix('p')?;
    let is_number = digits.starts_with(|c: char| c.is_ascii_digit());
    let percent: f64 = digits.parse().ok().filter(|_| is_number)?;
    (percent <= 100.0).then_some(percent)
}

/// A value as people write it.
pub(super) struct Shown(pub(super) f64, pub(super) Unit);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(value, unit) = *self;
        match unit {
            Unit::Count => write!(f, "{}", grouped(value)),
            Unit::PerSecond if value < 100.0 => write!(f, "{value:.1}/s"),
            Unit::PerSecond => write!(f, "{}/s", grouped(value)),
            Unit::Seconds => f.write_str(&time(value)),
            Unit::Bytes => f.write_str(&bytes(value)),
            Unit::Cores => write!(f, "{value:.3}"),
        }
    }
}

/// Writes a duration in the unit that suits it, with three digits.
pub(super) fn shown_time(time: Duration) -> String {
    self::time(time.as_secs_f64())
}

fn time(seconds: f64) -> String {
    match seconds.abs() {
        0.0 => "0 s".to_owned(),
        s if s < 0.999_5e-6 => format!("{:.0} ns", seconds * 1e9),
        s if s < 0.999_5e-3 => format!("{} µs", three_digits(seconds * 1e6)),
        s if s < 0.999_5 => format!("{} ms", three_digits(seconds * 1e3)),
        _ => format!("{} s", three_digits(seconds)),
    }
}

fn bytes(bytes: f64) -> String {
    match bytes.abs() {
        b if b < 10_000.0 => format!("{bytes:.0} B"),
        b if b < 10_240_000.0 => format!("{} KiB", three_digits(bytes / 1024.0)),
        _ => format!("{} MiB", three_digits(bytes / 1_048_576.0)),
    }
}

fn three_digits(value: f64) -> String {
    match value.abs() {
        v if v < 9.995 => format!("{value:.2}"),
        v if v < 99.95 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// Writes a whole number in groups of three digits.
pub(super) fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut grouped = String::new();
    for (idx, digit) in digits.chars().enumerate() {
        if idx > 0 && (digits.len() - idx) % 3 == 0 {
            grouped.push(' ');
        }
        grouped.push(digit);
    }
    if value <= -0.5 { format!("-{grouped}") } else { grouped }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: f64, unit: Unit, expected: &str) {
        assert_eq!(Shown(value, unit).to_string(), expected);
    }

    #[test]
    fn values_are_shown_in_the_unit_that_suits_them() {
        check(1_234_567.0, Unit::Count, "1 234 567");
        check(-1234.0, Unit::Count, "-1 234");
        check(0.5, Unit::PerSecond, "0.5/s");
        check(98_765.4, Unit::PerSecond, "98 765/s");
        check(0.0, Unit::Seconds, "0 s");
        check(42e-9, Unit::Seconds, "42 ns");
        check(1.5e-6, Unit::Seconds, "1.50 µs");
        check(0.000_999_9, Unit::Seconds, "1.00 ms");
        check(0.0123, Unit::Seconds, "12.3 ms");
        check(75.0, Unit::Seconds, "75.0 s");
        check(751.0, Unit::Bytes, "751 B");
        check(20_480.0, Unit::Bytes, "20.0 KiB");
        check(1e9, Unit::Bytes, "954 MiB");
    }

    #[test]
    fn the_documentation_knows_every_name() {
        let page = include_str!("../../../../docs/bench.md");
        for name in names() {
            assert!(page.contains(&format!("`{name}`")), "{name}");
        }
    }

    #[test]
    fn any_percentile_is_a_name() {
        assert_eq!(known("p99.95"), Some((Unit::Seconds, Better::Less)));
        assert_eq!(known("lost"), Some((Unit::Count, Better::Less)));
        for name in ["p", "p101", "p-1", "p1e1x", "pinf", "q99", ""] {
            assert_eq!(known(name), None, "{name}");
        }
    }
}

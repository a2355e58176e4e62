//! What is expected of a run, such as `p99<20ms`: for a job that shall fail when it is not held.

use std::{fmt, str::FromStr};

use super::metric::{Shown, Unit, known, names};
use crate::{period::Period, size::Size};

/// A figure, how it is to compare, and with what.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Expectation {
    pub(super) name: String,
    comparison: Comparison,
    /// In seconds, bytes, or as it is counted.
    bound: f64,
    unit: Unit,
}

/// Several of them, with commas or ends of lines between them.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Expectations(pub(super) Vec<Expectation>);

impl FromStr for Expectations {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let texts = text.split([',', '\n']).map(str::trim).filter(|text| !text.is_empty());
        let all: Vec<_> = texts.map(str::parse).collect::<Result<_, _>>()?;
        // An empty one is a variable that a job forgot to fill.
        if all.is_empty() {
            Err("expected something such as p99<20ms".to_owned())
        } else {
            Ok(Self(all))
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Less,
    AtMost,
    Equal,
    Unequal,
    AtLeast,
    More,
}

/// Longer signs first, of which others are the beginning.
const SIGNS: [(&str, Comparison); 6] = [
    ("<=", Comparison::AtMost),
    (">=", Comparison::AtLeast),
    ("==", Comparison::Equal),
    ("!=", Comparison::Unequal),
    ("<", Comparison::Less),
    (">", Comparison::More),
];

impl Expectation {
    /// Returns whether a value is as expected.
    pub(super) fn is_held_by(&self, value: f64) -> bool {
        match self.comparison {
            Comparison::Less => value < self.bound,
            Comparison::AtMost => value <= self.bound,
            Comparison::Equal => value == self.bound,
            Comparison::Unequal => value != self.bound,
            Comparison::AtLeast => value >= self.bound,
            Comparison::More => value > self.bound,
        }
    }

    /// Returns whether every value up to `most` is as expected.
    pub(super) fn is_held_below(&self, most: f64) -> bool {
        matches!(self.comparison, Comparison::Less | Comparison::AtMost) && self.is_held_by(most)
    }

    /// Returns a value in the unit of this figure.
    pub(super) fn shown(&self, value: f64) -> Shown {
        Shown(value, self.unit)
    }
}

impl FromStr for Expectation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let at = text.find(['<', '>', '=', '!']);
        let at = at.ok_or("expected NAME, one of < <= == != >= >, and a value: p99<20ms")?;
        let (name, rest) = (text[..at].trim(), &text[at..]);
        let sign = SIGNS.iter().find(|(sign, _)| rest.starts_with(sign));
        let (sign, comparison) = sign.ok_or("expected one of < <= == != >= >")?;
        let (unit, _) = known(name).ok_or_else(|| {
            let known: Vec<_> = names().collect();
            format!(
                "there is no figure {name:?}; there are {}, and any percentile",
                known.join(", ")
            )
        })?;
        let bound = bound(rest[sign.len()..].trim(), unit)?;
        Ok(Self { name: name.to_owned(), comparison: *comparison, bound, unit })
    }
}

fn bound(text: &str, unit: Unit) -> Result<f64, String> {
    let number = || text.parse::<f64>().ok().filter(|number| number.is_finite());
    match unit {
        Unit::Seconds if text == "0" => Some(0.0),
        Unit::Seconds => {
            // What is below a microsecond has a point: 5.2us.
            text.parse::<Period>().ok().map(|time| time.0.as_secs_f64()).or_else(|| scaled(text))
        }
        Unit::Bytes => text.parse::<Size>().ok().map(|size| size.0 as f64).or_else(number),
        Unit::Count | Unit::Cores => number(),
        Unit::PerSecond => text
            .strip_suffix("/s")
            .unwrap_or(text)
            .trim_end()
            .parse()
            .ok()
            .filter(|n: &f64| n.is_finite()),
    }
    .ok_or_else(|| match unit {
        Unit::Seconds => format!("expected a time such as 20ms or 5.2us instead of {text:?}"),
        Unit::Bytes => format!("expected a size such as 2KiB instead of {text:?}"),
        Unit::Count | Unit::Cores => format!("expected a number instead of {text:?}"),
        Unit::PerSecond => format!("expected a number a second instead of {text:?}"),
    })
}

/// Reads a number with a fraction and a unit of time.
fn scaled(text: &str) -> Option<f64> {
    let units = [("ns", 1e-9), ("us", 1e-6), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0)];
    let found = units.iter().find_map(|(unit, scale)| Some((text.strip_suffix(unit)?, scale)));
    let (number, scale) = found?;
    let number: f64 = number.trim_end().parse().ok()?;
    (number.is_finite() && number >= 0.0).then_some(number * scale)
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = SIGNS.iter().find(|(_, comparison)| *comparison == self.comparison);
        let sign = sign.expect("every comparison has a sign").0;
        write!(f, "{} {sign} {}", self.name, self.shown(self.bound))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, held: f64, broken: f64, shown: &str) {
        let expectation: Expectation = text.parse().unwrap();
        assert!(expectation.is_held_by(held), "{held}");
        assert!(!expectation.is_held_by(broken), "{broken}");
        assert_eq!(expectation.to_string(), shown);
    }

    #[test]
    fn every_comparison_is_read() {
        check("p99<20ms", 0.019, 0.020, "p99 < 20.0 ms");
        check("p99.95 <= 20ms", 0.020, 0.021, "p99.95 <= 20.0 ms");
        check("lost==0", 0.0, 1.0, "lost == 0");
        check("opened != 0", 1.0, 0.0, "opened != 0");
        check("rate>=5000", 5000.0, 4999.9, "rate >= 5 000/s");
        check("rate > 1.5/s", 1.6, 1.5, "rate > 1.5/s");
        check("memory<2KiB", 2047.0, 2048.0, "memory < 2048 B");
        check("cpu<5.5us", 5.4e-6, 5.6e-6, "cpu < 5.50 µs");
        check("max<1s", 0.9, 1.0, "max < 1.00 s");
        check("min>0", 1e-9, 0.0, "min > 0 s");
    }

    #[test]
    fn only_bounds_from_above_are_held_by_all_that_is_less() {
        for (text, held) in
            [("p99<20ms", true), ("p99<=20ms", true), ("p99>1ms", false), ("p99!=1ms", false)]
        {
            assert_eq!(text.parse::<Expectation>().unwrap().is_held_below(0.019), held, "{text}");
        }
        assert!(!"p99<20ms".parse::<Expectation>().unwrap().is_held_below(0.021));
    }

    #[test]
    fn several_have_commas_or_ends_of_lines_between_them() {
        let shown = |text: &str| {
            let Expectations(all) = text.parse().unwrap();
            all.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(shown("lost==0"), ["lost == 0"]);
        assert_eq!(
            shown("lost==0, sent>5\r\n\n closed==0,\n"),
            ["lost == 0", "sent > 5", "closed == 0"]
        );
        for text in ["", " , ", "lost==0,p99", "lost==0 sent>5"] {
            text.parse::<Expectations>().unwrap_err();
        }
    }

    #[test]
    fn what_cannot_be_expected_is_told() {
        for (text, says) in [
            ("p99", "expected NAME"),
            ("<20ms", "no figure \"\""),
            ("p99=20ms", "expected one of <"),
            ("p99<20", "expected a time"),
            ("p99<20 parsecs", "expected a time"),
            ("p99<-1ms", "expected a time"),
            ("speed>1", "there is no figure \"speed\"; there are opened, "),
            ("lost==none", "expected a number"),
            ("lost<inf", "expected a number"),
            ("rate>NaN", "expected a number a second"),
            ("memory<2 potatoes", "expected a size"),
        ] {
            let error = text.parse::<Expectation>().unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}

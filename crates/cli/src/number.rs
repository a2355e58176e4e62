//! Whole numbers on the command line, and what is said about others.

use std::{
    fmt::Display,
    ops::{Bound, RangeBounds},
    str::FromStr,
};

/// Returns what reads a whole number in a range that has a beginning.
pub(crate) fn whole<T>(
    range: impl RangeBounds<T> + Clone + Send + Sync + 'static,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static
where
    T: FromStr + PartialOrd + Display + Send + Sync + 'static,
{
    move |text| match text.parse() {
        Ok(number) if range.contains(&number) => Ok(number),
        _ => Err(match (range.start_bound(), range.end_bound()) {
            (Bound::Included(least), Bound::Included(most)) => {
                format!("expected a whole number from {least} to {most}")
            }
            (Bound::Included(least), _) => format!("expected a whole number, {least} or more"),
            _ => "expected a whole number".to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_within_their_range() {
        let expected = Err("expected a whole number from 1 to 1000".to_owned());
        for text in ["0", "1001", "99999999999999999999", "-1", "1.5", "x", ""] {
            assert_eq!(whole(1_u32..=1000)(text), expected, "{text:?}");
        }
        assert_eq!(whole(1_u32..=1000)("1000"), Ok(1000));
        let expected = Err("expected a whole number, 1 or more".to_owned());
        assert_eq!(whole(1_u32..)("0"), expected);
        assert_eq!(whole(1_u32..)("4294967295"), Ok(u32::MAX));
    }
}

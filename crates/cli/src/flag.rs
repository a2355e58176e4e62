//! Flags that the environment can set, and what is said about other words.

/// Reads what a variable of the environment says of a flag.
///
/// # Errors
/// What was expected.
pub(crate) fn yes_or_no(text: &str) -> Result<bool, &'static str> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" | "y" | "t" => Ok(true),
        "0" | "false" | "no" | "off" | "n" | "f" => Ok(false),
        _ => Err("expected 1, true, yes or on, or else 0, false, no or off"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_is_set_or_not() {
        assert_eq!(["1", "true", "YES", "on"].map(yes_or_no), [Ok(true); 4]);
        assert_eq!(["0", "false", "No", "off"].map(yes_or_no), [Ok(false); 4]);
        assert!(["", "2", "maybe"].into_iter().all(|text| yes_or_no(text).is_err()));
    }
}

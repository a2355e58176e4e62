//! What can be said about compression on the command line.

use std::str::FromStr;

use everwire::{DeflateConfig, DeflateMode};

/// A way to compress, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DeflateArg(pub(crate) Option<DeflateMode>);

impl DeflateArg {
    /// Returns the configuration, with messages compressed from so many bytes on.
    pub(crate) fn config(self, threshold: u64) -> Option<DeflateConfig> {
        let mut config = DeflateConfig::new(self.0?);
        config.threshold = usize::try_from(threshold).unwrap_or(usize::MAX);
        Some(config)
    }

    /// Returns the word that stands for it.
    pub(crate) fn word(self) -> &'static str {
        match self.0 {
            None => "off",
            Some(DeflateMode::Shared) => "shared",
            Some(_) => "dedicated",
        }
    }
}

impl FromStr for DeflateArg {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "off" => Ok(Self(None)),
            "shared" => Ok(Self(Some(DeflateMode::Shared))),
            "dedicated" => Ok(Self(Some(DeflateMode::Dedicated))),
            _ => Err("expected shared, dedicated or off"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mode_has_its_word() {
        let mode = |text: &str| text.parse().map(|DeflateArg(mode)| mode);
        assert_eq!(mode("off"), Ok(None));
        assert_eq!(mode("shared"), Ok(Some(DeflateMode::Shared)));
        assert_eq!(mode("dedicated"), Ok(Some(DeflateMode::Dedicated)));
        for word in ["off", "shared", "dedicated"] {
            assert_eq!(word.parse().map(DeflateArg::word), Ok(word));
        }
        assert_eq!(mode("on"), Err("expected shared, dedicated or off"));
    }

    #[test]
    fn off_has_no_configuration() {
        assert_eq!(DeflateArg(None).config(512), None);
        let config = DeflateArg(Some(DeflateMode::Shared)).config(1);
        assert_eq!(config.map(|config| config.threshold), Some(1));
    }
}

//! What the two ends agree upon about permessage-deflate. See RFC 7692 §5 and §7.1.

use super::client::Agreed;
use super::client_error::ClientHandshakeError;
use super::error::shorten;
use super::extension::{Extension, Param};
use crate::{DeflateConfig, DeflateMode, DeflateParams};

const NAME: &str = "permessage-deflate";
const SERVER_NO_CONTEXT_TAKEOVER: &str = "server_no_context_takeover";
const CLIENT_NO_CONTEXT_TAKEOVER: &str = "client_no_context_takeover";
const SERVER_MAX_WINDOW_BITS: &str = "server_max_window_bits";
const CLIENT_MAX_WINDOW_BITS: &str = "client_max_window_bits";

/// The window that a server which keeps it asks the client to stay within: 4 KiB.
const DEDICATED_CLIENT_BITS: u8 = 12;

/// The largest window, which is meant where none is named.
const MAX_BITS: u8 = 15;

impl DeflateConfig {
    /// Chooses, as a server, from the client's offers, and returns the answer and what follows from
    /// it; nothing if no offer is acceptable.
    ///
    /// The first offer that makes sense is taken, and everything in it honoured. An offer with a
    /// parameter that is unknown, occurs twice or has a value it cannot have is declined (§5.1,
    /// §7.1), which leaves the next.
    ///
    /// # Examples
    /// ```
    /// use everwire_proto::{DeflateConfig, handshake::Extension};
    ///
    /// let offers = Extension::parse_list("permessage-deflate; server_max_window_bits=10; client_max_window_bits")?;
    /// let (answer, params) = DeflateConfig::default().accept(&offers).expect("there is an offer");
    /// assert_eq!(
    ///     answer.to_string(),
    ///     "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=10",
    /// );
    /// assert_eq!(params.send_window_bits, 10);
    /// # Ok::<(), everwire_proto::handshake::ExtensionError>(())
    /// ```
    #[must_use]
    pub fn accept(&self, offers: &[Extension]) -> Option<(Extension, DeflateParams)> {
        let offers = offers.iter().filter(|offer| offer.name() == NAME);
        let offer = offers.filter_map(|offer| Params::parse(offer, Origin::Client)).next()?;
        let is_shared = self.mode == DeflateMode::Shared;
        let answer = Params {
            // §7.1.1.1: a server that accepts it says so, and may do it unasked.
            server_no_context_takeover: is_shared || offer.server_no_context_takeover,
            // §7.1.1.2: a hint in the offer, an order in the answer.
            client_no_context_takeover: is_shared || offer.client_no_context_takeover,
            server_max_window_bits: offer.server_max_window_bits,
            // §7.1.2.2: only a client that names it can be told. Without takeover the window is
            // memory that is there anyway.
            client_max_window_bits: match offer.client_max_window_bits {
                Some(bits) if !is_shared && !offer.client_no_context_takeover => {
                    Some(Some(bits.unwrap_or(MAX_BITS).min(DEDICATED_CLIENT_BITS)))
                }
                _ => None,
            },
        };
        let params = DeflateParams {
            send_window_bits: answer.server_max_window_bits.unwrap_or(MAX_BITS),
            send_takeover: !answer.server_no_context_takeover,
            recv_window_bits: answer.client_max_window_bits.flatten().unwrap_or(MAX_BITS),
            recv_takeover: !answer.client_no_context_takeover,
        };
        Some((answer.extension(), params))
    }

    /// Returns what a client offers.
    #[must_use]
    pub fn offer(&self) -> Extension {
        let is_shared = self.mode == DeflateMode::Shared;
        let offer = Params {
            server_no_context_takeover: is_shared,
            client_no_context_takeover: is_shared,
            server_max_window_bits: None,
            client_max_window_bits: Some(None),
        };
        offer.extension()
    }

    /// Judges, as a client, what the server has chosen; nothing if it did not choose compression.
    ///
    /// # Errors
    /// The answer has a parameter that is unknown, occurs twice, has a value it cannot have, or
    /// leaves out what was [asked for](Self::offer) (§5.1, §7.1).
    pub fn agree(&self, agreed: &Agreed) -> Result<Option<DeflateParams>, ClientHandshakeError> {
        let Some(answer) = agreed.extensions.iter().find(|it| it.name() == NAME) else {
            return Ok(None);
        };
        let params = Params::parse(answer, Origin::Server)
            // §7.1.1.1: a server that does not do it must decline the offer.
            .filter(|it| self.mode != DeflateMode::Shared || it.server_no_context_takeover)
            .ok_or_else(|| ClientHandshakeError::Deflate { found: shorten(&answer.to_string()) })?;
        Ok(Some(DeflateParams {
            send_window_bits: params.client_max_window_bits.flatten().unwrap_or(MAX_BITS),
            // Whoever said that it would not need not.
            send_takeover: !params.client_no_context_takeover && self.mode != DeflateMode::Shared,
            recv_window_bits: params.server_max_window_bits.unwrap_or(MAX_BITS),
            recv_takeover: !params.server_no_context_takeover,
        }))
    }
}

/// Who wrote the parameters.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    Client,
    Server,
}

/// The parameters of an offer or an answer.
#[derive(Default)]
struct Params {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    /// In an offer it may stand without a value.
    client_max_window_bits: Option<Option<u8>>,
}

impl Params {
    /// Reads the parameters; `None` if one is unknown, repeated, or not as it must be.
    fn parse(extension: &Extension, origin: Origin) -> Option<Self> {
        let mut params = Self::default();
        for (at, param) in extension.params().iter().enumerate() {
            if extension.params()[..at].iter().any(|before| before.name() == param.name()) {
                return None;
            }
            match param.name() {
                SERVER_NO_CONTEXT_TAKEOVER if param.value().is_none() => {
                    params.server_no_context_takeover = true;
                }
                CLIENT_NO_CONTEXT_TAKEOVER if param.value().is_none() => {
                    params.client_no_context_takeover = true;
                }
                SERVER_MAX_WINDOW_BITS => params.server_max_window_bits = Some(bits(param)?),
                CLIENT_MAX_WINDOW_BITS if param.value().is_none() && origin == Origin::Client => {
                    params.client_max_window_bits = Some(None);
                }
                CLIENT_MAX_WINDOW_BITS => params.client_max_window_bits = Some(Some(bits(param)?)),
                _ => return None,
            }
        }
        Some(params)
    }

    fn extension(&self) -> Extension {
        let flags = [
            (self.server_no_context_takeover, SERVER_NO_CONTEXT_TAKEOVER),
            (self.client_no_context_takeover, CLIENT_NO_CONTEXT_TAKEOVER),
        ];
        let values = [
            (self.server_max_window_bits.map(Some), SERVER_MAX_WINDOW_BITS),
            (self.client_max_window_bits, CLIENT_MAX_WINDOW_BITS),
        ];
        let add_flag = |extension: Extension, (is_set, name): (bool, &str)| match is_set {
            true => extension.flag(name),
            false => Ok(extension),
        };
        let add_value =
            |extension: Extension, (value, name): (Option<Option<u8>>, &str)| match value {
                None => Ok(extension),
                Some(None) => extension.flag(name),
                Some(Some(bits)) => extension.param(name, &bits.to_string()),
            };
        Extension::new(NAME)
            .and_then(|extension| flags.into_iter().try_fold(extension, add_flag))
            .and_then(|extension| values.into_iter().try_fold(extension, add_value))
            .expect("names and numbers are tokens")
    }
}

/// §7.1.2.1: "a decimal integer value without leading zeroes between 8 to 15, inclusive".
fn bits(param: &Param) -> Option<u8> {
    let value = param.value()?;
    let bits = (8..=MAX_BITS).find(|bits| bits.to_string() == value)?;
    Some(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARED: DeflateConfig = DeflateConfig::new(DeflateMode::Shared);
    const DEDICATED: DeflateConfig = DeflateConfig::new(DeflateMode::Dedicated);

    #[track_caller]
    fn check_accept(config: DeflateConfig, offers: &str, answer: Option<&str>) {
        let offers = Extension::parse_list(offers).unwrap();
        let accepted = config.accept(&offers).map(|(answer, _)| answer.to_string());
        assert_eq!(accepted.as_deref(), answer);
    }

    const BOTH: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

    #[test]
    fn a_shared_server_keeps_no_context_and_says_so() {
        check_accept(SHARED, "permessage-deflate", Some(BOTH));
        check_accept(SHARED, "permessage-deflate; client_max_window_bits=9", Some(BOTH));
        check_accept(SHARED, "foo, permessage-deflate; server_no_context_takeover", Some(BOTH));
    }

    #[test]
    fn a_dedicated_server_asks_for_a_small_window_if_it_may() {
        for (offer, answer) in [
            ("", ""),
            ("; client_max_window_bits", "; client_max_window_bits=12"),
            ("; client_max_window_bits=15", "; client_max_window_bits=12"),
            ("; client_max_window_bits=\"10\"", "; client_max_window_bits=10"),
            ("; client_max_window_bits=8", "; client_max_window_bits=8"),
            ("; server_max_window_bits=8", "; server_max_window_bits=8"),
            ("; server_no_context_takeover", "; server_no_context_takeover"),
            (
                "; client_max_window_bits; client_no_context_takeover",
                "; client_no_context_takeover",
            ),
        ] {
            let (offer, answer) = (format!("{NAME}{offer}"), format!("{NAME}{answer}"));
            check_accept(DEDICATED, &offer, Some(&answer));
        }
    }

    #[test]
    fn every_number_of_window_bits_is_honoured() {
        for bits in 8..=15 {
            let offer =
                format!("{NAME}; server_max_window_bits={bits}; client_max_window_bits={bits}");
            let offers = Extension::parse_list(&offer).unwrap();
            let (_, params) = DEDICATED.accept(&offers).unwrap();
            assert_eq!(params.send_window_bits, bits);
            assert_eq!(params.recv_window_bits, bits.min(12));
        }
    }

    const SENSELESS: [&str; 16] = [
        "server_max_window_bits",
        "server_max_window_bits=7",
        "server_max_window_bits=16",
        "server_max_window_bits=08",
        "server_max_window_bits=1e1",
        "server_max_window_bits=-9",
        "client_max_window_bits=7",
        "client_max_window_bits=16",
        "client_max_window_bits=\"08\"",
        "server_no_context_takeover=1",
        "client_no_context_takeover=true",
        "server_no_context_takeover; server_no_context_takeover",
        "client_max_window_bits; client_max_window_bits=10",
        "server_max_window_bits=10; server_max_window_bits=10",
        "unknown",
        "Server_No_Context_Takeover",
    ];

    #[test]
    fn an_offer_that_makes_no_sense_is_declined_and_the_next_is_looked_at() {
        for params in SENSELESS {
            let offer = format!("{NAME}; {params}");
            check_accept(DEDICATED, &offer, None);
            let then = format!("{offer}, {NAME}; server_max_window_bits=11, {NAME}");
            check_accept(DEDICATED, &then, Some("permessage-deflate; server_max_window_bits=11"));
        }
        check_accept(DEDICATED, "x-webkit-deflate-frame, permessage-bzip2", None);
    }

    #[track_caller]
    fn agree(config: DeflateConfig, answer: &str) -> Result<Option<DeflateParams>, String> {
        let extensions = Extension::parse_list(answer).unwrap();
        let agreed = Agreed { extensions, ..Agreed::default() };
        config.agree(&agreed).map_err(|error| error.to_string())
    }

    #[test]
    fn a_client_takes_an_answer_to_what_it_offered() {
        assert_eq!(DEDICATED.offer().to_string(), "permessage-deflate; client_max_window_bits");
        assert_eq!(SHARED.offer().to_string(), format!("{BOTH}; client_max_window_bits"));
        let answer = "permessage-deflate; client_max_window_bits=9; server_max_window_bits=10";
        let params = agree(DEDICATED, answer).unwrap().unwrap();
        assert_eq!((params.send_window_bits, params.recv_window_bits), (9, 10));
        assert!(params.send_takeover && params.recv_takeover);
        let params = agree(SHARED, "permessage-deflate; server_no_context_takeover");
        let params = params.unwrap().unwrap();
        assert!(!params.send_takeover && !params.recv_takeover);
        assert_eq!(agree(SHARED, "other"), Ok(None));
    }

    #[test]
    fn a_client_refuses_an_answer_that_makes_no_sense() {
        for params in SENSELESS.into_iter().chain(["client_max_window_bits"]) {
            let answer = format!("{NAME}; server_no_context_takeover; {params}");
            let error = agree(SHARED, &answer).unwrap_err();
            assert!(error.contains("permessage-deflate"), "{error}");
        }
        // It was asked for, so a server that does not do it has to decline.
        agree(SHARED, "permessage-deflate; client_no_context_takeover").unwrap_err();
    }

    #[test]
    fn both_ends_draw_the_same_conclusions() {
        for (client, server) in
            [(SHARED, SHARED), (SHARED, DEDICATED), (DEDICATED, SHARED), (DEDICATED, DEDICATED)]
        {
            let (answer, of_server) = server.accept(&[client.offer()]).unwrap();
            let of_client = agree(client, &answer.to_string()).unwrap().unwrap();
            assert_eq!(of_client.send_window_bits, of_server.recv_window_bits);
            assert_eq!(of_client.recv_window_bits, of_server.send_window_bits);
            assert_eq!(of_client.recv_takeover, of_server.send_takeover);
            // The server must be able to follow whatever the client may do.
            assert!(of_server.recv_takeover || !of_client.send_takeover);
        }
    }
}

//! What was agreed upon about compression, as small as it gets.

use everwire_proto::DeflateParams;

/// Two bytes, for every connection has them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Agreed {
    /// The window bits of both directions, 8 to 15 each; 0 if nothing was agreed upon.
    bits: u8,
    takeover: u8,
}

impl From<Option<DeflateParams>> for Agreed {
    fn from(params: Option<DeflateParams>) -> Self {
        let Some(params) = params else { return Self::default() };
        Self {
            bits: params.send_window_bits | params.recv_window_bits << 4,
            takeover: u8::from(params.send_takeover) | u8::from(params.recv_takeover) << 1,
        }
    }
}

impl From<Agreed> for Option<DeflateParams> {
    fn from(Agreed { bits, takeover }: Agreed) -> Self {
        let mut params = DeflateParams::default();
        params.send_window_bits = bits & 15;
        params.recv_window_bits = bits >> 4;
        params.send_takeover = takeover & 1 != 0;
        params.recv_takeover = takeover & 2 != 0;
        (bits != 0).then_some(params)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_what_was_agreed() {
        let there_and_back = |params: Option<DeflateParams>| Agreed::from(params).into();
        assert_eq!(None::<DeflateParams>, there_and_back(None));
        for (bits, takeover) in [(8, false), (9, true), (12, false), (15, true)] {
            let mut params = DeflateParams::default();
            (params.send_window_bits, params.send_takeover) = (bits, takeover);
            (params.recv_window_bits, params.recv_takeover) = (23 - bits, !takeover);
            assert_eq!(Some(params), there_and_back(Some(params)));
        }
    }
}
